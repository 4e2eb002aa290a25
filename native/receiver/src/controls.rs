//! What a test does with a running server, whatever the server speaks.

use std::{sync::Arc, time::Duration};

use crate::{Fault, Request, Stats, server::Server, stage::Stage};

/// Steers a server and tells what happened on it; dropping it ends the server.
///
/// The methods that wait for something are asynchronous and work on any runtime. The one that blocks has
/// a time limit, and panics inside an asynchronous context.
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

    /// Treats every request of so many like this, once the script is consumed. None if it is 0.
    pub fn every(&self, requests: usize, fault: Fault) {
        self.stage.script.every(requests, fault);
    }

    /// Asks the clients of all connections to go away: over HTTP/2 by `GOAWAY`, over HTTP/1.1 by the
    /// end of the connection. What is under way is answered.
    pub fn send_away(&self) {
        self.stage.farewell.notify_waiters();
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

    fn block<R>(&self, limit: Duration, event: impl Future<Output = R>) -> Option<R> {
        self.server.runtime().block_on(async { tokio::time::timeout(limit, event).await.ok() })
    }
}
