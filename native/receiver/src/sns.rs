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

use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{Authority, Controls, Identity, TlsConfig, Validity, server::Server};
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
    /// How many seconds the service's clock is ahead at first.
    pub clock_ahead: i64,
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
/// What a test does with it while it runs is in [`Controls`].
pub struct SnsServer {
    controls: Controls<Received>,
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
    /// The number of its request, as in [`Request::number`](crate::Request::number).
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
            clock_ahead: 0,
            delay: Duration::ZERO,
            threads: 1,
        }
    }
}

// === impl SnsServer ===

impl SnsServer {
    /// Starts a server; it listens when this returns.
    pub fn start(config: SnsConfig) -> Self {
        let authority = config.tls.then(|| Authority::new("receiver on loopback"));
        let acceptor = authority
            .as_ref()
            .map(|it| TlsConfig::new(it.identity(&Identity::LOOPBACK, Validity::Now)).acceptor());
        let ca_pem = authority.map(|it| it.pem());
        let threads = config.threads;
        let service = Arc::new(Service::new(config));
        let server = Server::start(threads, acceptor, Arc::clone(&service));
        let controls = Controls::new(server, Arc::clone(&service.stage));
        Self { controls, service, ca_pem }
    }

    /// Where the service is: `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub fn url(&self) -> String {
        self.controls.url(self.ca_pem.is_some())
    }

    /// The certificate authority that vouches for the server, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Sets the service's clock so many seconds ahead.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.service.clock_ahead.store(seconds, Ordering::Relaxed);
    }

    /// The ARN of a topic in the server's region and account.
    pub fn topic_arn(&self, name: &str) -> String {
        self.service.topics.arn(name)
    }
}

/// All but the topics is the same for every server.
impl Deref for SnsServer {
    type Target = Controls<Received>;

    fn deref(&self) -> &Self::Target {
        &self.controls
    }
}
