//! A receiver of webhooks: takes any request and says 200.

mod service;

use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::Version;

use crate::{Controls, Fault, TlsConfig, server::Server};
use service::Service;

/// What an [`HttpServer`] should be.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Speak TLS like this; without it, plain HTTP/1.1.
    pub tls: Option<TlsConfig>,
    /// Keep what arrives, to be read as [`HttpReceived`], and a log of it.
    pub capture: bool,
    /// How many requests a client may have under way on one connection of HTTP/2.
    pub streams: u32,
    /// How long every answer takes at least.
    pub delay: Duration,
    /// Threads that serve; one is plenty for tests.
    pub threads: usize,
}

/// A receiver of webhooks on loopback, on a thread of its own until it is dropped.
///
/// It keeps every request that has arrived completely, before it looks at the fault: so a test sees
/// what was sent again after a failure. A request counts as a message once it has been processed.
/// Without `capture` it is a sink for benchmarks, which only counts.
///
/// What a test does with it while it runs is in [`Controls`].
///
/// ```
/// use event_pusher_receiver::{Authority, HttpConfig, HttpServer, Identity, TlsConfig, Validity};
///
/// let authority = Authority::new("authority of a test");
/// let identity = authority.identity(&Identity::LOOPBACK, Validity::Now);
/// let tls = TlsConfig { http2: true, ..TlsConfig::new(identity) };
/// let server = HttpServer::start(HttpConfig { tls: Some(tls), ..HttpConfig::default() });
/// assert_eq!(server.url(), format!("https://localhost:{}", server.port()));
/// ```
pub struct HttpServer {
    controls: Controls<HttpReceived>,
    tls: bool,
}

/// A request that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReceived {
    /// `POST`, for one.
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// Whom it asked for: the header `Host`, or the pseudo-header of HTTP/2.
    pub authority: Option<String>,
    /// The version of HTTP.
    pub version: Version,
    /// Headers in the order they were sent, but the values of one name together; names are in
    /// lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// The connection it came on, as in [`Request::connection`](crate::Request::connection).
    pub connection: u64,
    /// Its number, as in [`Request::number`](crate::Request::number).
    pub request: u64,
    /// The client has shown a certificate, and it was good.
    pub client_certificate: bool,
    /// The server name that the client asked for in the TLS handshake; an address is no name.
    pub server_name: Option<String>,
    /// When all of it had been read, by the clock of the system.
    pub arrived: SystemTime,
    /// How it was treated then.
    pub fault: Fault,
}

// === impl HttpConfig ===

impl Default for HttpConfig {
    /// Plain HTTP, keeping everything; over HTTP/2, as many streams as hyper has by default.
    fn default() -> Self {
        Self { tls: None, capture: true, streams: 200, delay: Duration::ZERO, threads: 1 }
    }
}

// === impl HttpServer ===

impl HttpServer {
    /// Starts a server; it listens when this returns.
    pub fn start(config: HttpConfig) -> Self {
        let acceptor = config.tls.as_ref().map(TlsConfig::acceptor);
        let tls = acceptor.is_some();
        let service = Arc::new(Service::new(&config));
        let stage = Arc::clone(&service.stage);
        let server = Server::start(config.threads, acceptor, service);
        Self { controls: Controls::new(server, stage), tls }
    }

    /// Where the server is: `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    pub fn url(&self) -> String {
        self.controls.url(self.tls)
    }
}

/// Nearly all is the same for every server.
impl Deref for HttpServer {
    type Target = Controls<HttpReceived>;

    fn deref(&self) -> &Self::Target {
        &self.controls
    }
}

// === impl HttpReceived ===

impl HttpReceived {
    /// The first value of the header with this name (in lower case), if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        std::str::from_utf8(value).ok()
    }
}
