//! What a test does with a running server, whatever the server speaks.

use std::{sync::Arc, time::Duration};

use crate::{Fault, Request, Stats, server::Server, stage::Stage};

/// Steers a server and tells what happened on it; dropping it ends the server.
///
/// The methods that wait for something exist twice: blocking ones with a time limit, which panic
/// inside an asynchronous context, and asynchronous ones, which work on any runtime.
pub struct Controls<T> {
    server: Server,
    stage: Arc<Stage<T>>,
}

// === impl Controls ===

impl<T> Controls<T> {
    pub(crate) fn new(server: Server, stage: Arc<Stage<T>>) -> Self {
        Self { server, stage }
    }

    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub(crate) fn url(&self, tls: bool) -> String {
        let origin = if tls { "https://localhost" } else { "http://127.0.0.1" };
        format!("{origin}:{}", self.port())
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The next message that was received; each is handed out once.
    pub async fn message(&self) -> T {
        self.stage.inbox.take().await
    }

    /// As [`message`](Self::message), for as long as the time limit allows; blocking.
    pub fn next_message(&self, limit: Duration) -> Option<T> {
        self.block(limit, self.message())
    }

    /// All messages that were received and not yet handed out.
    pub fn messages(&self) -> Vec<T> {
        self.stage.inbox.take_all()
    }

    /// Plans the faults of the next requests, one for each, after those already planned.
    pub fn script(&self, faults: Vec<Fault>) {
        self.stage.script.extend(faults);
    }

    /// Treats every request like this once the script is consumed.
    pub fn always(&self, fault: Fault) {
        self.stage.script.always(fault);
    }

    /// Forgets all planned faults.
    pub fn clear(&self) {
        self.stage.script.clear();
    }

    /// Lets requests wait from now on, before they are processed.
    pub fn hold(&self) {
        self.stage.gate.hold();
    }

    /// Lets all waiting requests continue, and those to come.
    pub fn release(&self) {
        self.stage.gate.release();
    }

    /// Stops listening and drops all connections, until [`go_up`](Self::go_up).
    pub fn go_down(&self) {
        self.server.down();
    }

    /// Listens again, on the same port.
    pub fn go_up(&self) {
        self.server.up();
    }

    /// The log of requests, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.stage.journal.requests()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.stage.stats()
    }

    /// Waits until the counters are as wanted; returns them.
    pub async fn until(&self, wanted: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            let changed = self.stage.journal.changed();
            let stats = self.stats();
            if wanted(&stats) {
                return stats;
            }
            changed.await;
        }
    }

    /// As [`until`](Self::until), for as long as the time limit allows; blocking.
    pub fn wait_until(&self, limit: Duration, wanted: impl Fn(&Stats) -> bool) -> Option<Stats> {
        self.block(limit, self.until(wanted))
    }

    fn block<R>(&self, limit: Duration, event: impl Future<Output = R>) -> Option<R> {
        self.server.runtime().block_on(async { tokio::time::timeout(limit, event).await.ok() })
    }
}
