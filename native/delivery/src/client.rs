//! The HTTP client of the targets: keep-alive, time limits, TLS by rustls; no redirects, no proxy.
//!
//! It stands on the connections of hyper and h2, as reqwest does, with a pool of its own. reqwest
//! opens one connection of HTTP/2, however few requests the receiver takes at a time, and lets the
//! time limit run while a request waits for its turn. It does not tell a connection that was kept
//! from a fresh one, so an attempt is lost with each that has died meanwhile. And it gives back no
//! status where it cannot read what follows.
//!
//! A request whose connection turns out to be dead is sent once more, over another one, within the
//! same attempt. That is not done where a time limit ended it, or where anything came back: the
//! receiver may have it.

mod answer;
mod connector;
mod http1;
mod http2;
mod pool;
mod post;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::outcome::Failure;
pub use answer::Answer;
use connector::Connector;
use pool::{Limits, Pool};
use post::Place;

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// How long a connection may take to be made, TLS included; and no longer than a request.
    pub connect_timeout: Duration,
    /// How long a request may take, from when it has a connection to the last byte of the answer.
    pub request_timeout: Duration,
    /// How many idle connections to keep.
    pub idle_connections: usize,
    /// How to make TLS connections, from [`client_config`](crate::client_config). Without it, no
    /// certificate is accepted, so that there is only plain HTTP.
    pub tls: Option<ClientConfig>,
    /// Whether to speak HTTP/2 with a receiver that prefers it in the TLS handshake.
    pub http2: bool,
}

/// Posts to one URL.
pub struct HttpClient {
    place: Place,
    pool: Arc<Pool>,
}

// === impl HttpClient ===

impl HttpClient {
    /// A client for this URL. Nothing is connected yet. `tls_name` is the name that the receiver
    /// has in TLS, if it is not the host of the URL.
    pub fn new(
        url: &Url,
        tls_name: Option<ServerName<'static>>,
        settings: &ClientSettings,
    ) -> Self {
        let mut tls = settings.tls.clone().unwrap_or_else(trust_nobody);
        let http2 = settings.http2 && url.scheme() == "https";
        if http2 {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        let limits = Limits {
            opening: settings.connect_timeout.min(settings.request_timeout),
            answer: settings.request_timeout,
        };
        let connector = Connector::new(url, tls, tls_name, limits.opening);
        let pool = Pool::new(connector, limits, settings.idle_connections, http2);
        Self { place: Place::new(url), pool: Arc::new(pool) }
    }

    /// Makes a `POST` request and reads the answer. The client adds what belongs to the connection,
    /// and says who sends it.
    ///
    /// # Errors
    ///
    /// There was no answer, or the request cannot be sent.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        let post = self.place.post(headers, body)?;
        let result = match self.pool.exchange(&post).await {
            Err(broken) if broken.free => self.pool.exchange(&post).await,
            result => result,
        };
        result.map_err(|broken| broken.failure)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

fn trust_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
