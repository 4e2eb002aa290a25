//! Amazon SNS: `Publish` and `PublishBatch` over its query protocol.

mod answer;
mod attributes;
mod batch;
mod draft;
mod fifo;
mod form;
mod refusal;
mod service;
mod signature;
mod sink;
mod topic;

use std::{sync::Arc, time::Duration};

use crate::{Fault, Request, Stats, server::Server, tls::Identity};
use service::Service;

pub use attributes::AttributeValue;

/// What an [`SnsServer`] should be.
#[derive(Clone, Debug)]
pub struct SnsConfig {
    /// Pairs of an access key id and its secret.
    pub credentials: Vec<(String, String)>,
    /// The region that topics lie in and requests are signed for.
    pub region: String,
    /// The account that owns the topics.
    pub account_id: String,
    /// The names of the topics that exist; without a list every topic does.
    pub topics: Option<Vec<String>>,
    /// Speak TLS, with a certificate authority of the server's own.
    pub tls: bool,
    /// Verify signatures.
    pub verify: bool,
    /// Keep what was accepted, to be read as [`Received`].
    pub capture: bool,
    /// How long every answer takes at least.
    pub delay: Duration,
    /// Threads that serve; one is plenty for tests.
    pub threads: usize,
}

/// An SNS service on loopback, on a thread of its own until it is dropped.
///
/// It accepts what the real service documents as acceptable, and nothing else. With neither
/// `verify` nor `capture` it is a sink for benchmarks: it looks only at what it needs for an
/// answer, keeps no log, and faults of single entries have no effect.
///
/// The methods that wait for something exist twice: blocking ones with a time limit, which panic
/// inside an asynchronous context, and asynchronous ones, which work on any runtime.
pub struct SnsServer {
    server: Server,
    service: Arc<Service>,
    ca_pem: Option<String>,
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The topic it was published to.
    pub topic_arn: String,
    /// Its body.
    pub message: String,
    /// Its attributes, in the order they were sent.
    pub attributes: Vec<(String, AttributeValue)>,
    /// `MessageGroupId`.
    pub group: Option<String>,
    /// `MessageDeduplicationId`.
    pub deduplication: Option<String>,
    /// The id it was acknowledged with.
    pub message_id: String,
    /// How it came.
    pub action: Action,
    /// How many messages came with this one, itself included.
    pub batch_size: usize,
    /// The number of its request, as in [`Request::number`].
    pub request: u64,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// One message.
    Publish,
    /// Up to ten messages of one topic.
    PublishBatch,
}

// === impl SnsConfig ===

impl Default for SnsConfig {
    /// Strict, without TLS: account 123456789012 in eu-west-1, with the example credentials that
    /// AWS prints in its documentation.
    fn default() -> Self {
        Self {
            credentials: vec![(
                "AKIDEXAMPLE".into(),
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            )],
            region: "eu-west-1".into(),
            account_id: "123456789012".into(),
            topics: None,
            tls: false,
            verify: true,
            capture: true,
            delay: Duration::ZERO,
            threads: 1,
        }
    }
}

// === impl SnsServer ===

impl SnsServer {
    /// Starts a server; it listens when this returns.
    pub fn start(config: SnsConfig) -> Self {
        let identity = config.tls.then(Identity::generate);
        let (acceptor, ca_pem) = identity.map(|it| (it.acceptor, it.ca_pem)).unzip();
        let threads = config.threads;
        let service = Arc::new(Service::new(config));
        let server = Server::start(threads, acceptor, Arc::clone(&service));
        Self { server, service, ca_pem }
    }

    /// Where the service is: `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub fn url(&self) -> String {
        match self.ca_pem {
            None => format!("http://127.0.0.1:{}", self.port()),
            Some(_) => format!("https://localhost:{}", self.port()),
        }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The certificate authority that vouches for the server, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The ARN of a topic in the server's region and account.
    pub fn topic_arn(&self, name: &str) -> String {
        self.service.topics.arn(name)
    }

    /// The next message that was accepted; each is handed out once.
    pub async fn message(&self) -> Received {
        self.service.inbox.take().await
    }

    /// As [`message`](Self::message), for as long as the time limit allows; blocking.
    pub fn next_message(&self, limit: Duration) -> Option<Received> {
        self.block(limit, self.message())
    }

    /// All messages that were accepted and not yet handed out.
    pub fn messages(&self) -> Vec<Received> {
        self.service.inbox.take_all()
    }

    /// Plans the faults of the next requests, one for each, after those already planned.
    pub fn script(&self, faults: Vec<Fault>) {
        self.service.script.extend(faults);
    }

    /// Treats every request like this once the script is consumed.
    pub fn always(&self, fault: Fault) {
        self.service.script.always(fault);
    }

    /// Forgets all planned faults.
    pub fn clear(&self) {
        self.service.script.clear();
    }

    /// Lets requests wait from now on, before they are processed.
    pub fn hold(&self) {
        self.service.gate.hold();
    }

    /// Lets all waiting requests continue, and those to come.
    pub fn release(&self) {
        self.service.gate.release();
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
        self.service.journal.requests()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.service.stats()
    }

    /// Waits until the counters are as wanted; returns them.
    pub async fn until(&self, wanted: impl Fn(&Stats) -> bool) -> Stats {
        loop {
            let changed = self.service.journal.changed();
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

    fn block<T>(&self, limit: Duration, event: impl Future<Output = T>) -> Option<T> {
        self.server.runtime().block_on(async { tokio::time::timeout(limit, event).await.ok() })
    }
}
