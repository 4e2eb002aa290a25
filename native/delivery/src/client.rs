//! The HTTP client of the backends: keep-alive, time limits, TLS by rustls; no redirects, no proxy.
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
mod body;
mod connector;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod http1;
mod http2;
mod lease;
mod pool;
mod post;
mod settings;
mod status;
mod wire;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use event_pusher_tls::{Settable, Tls, Validity};
use http::HeaderMap;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::fate::Failure;
pub use answer::Answer;
use connector::Connector;
use pool::{Limits, Pool};
use post::Place;
pub(crate) use post::can_be_posted_to;
pub use settings::{ClientOptions, ClientSettings};
pub(crate) use status::{Verdict, may_be_away, retry_after, verdict};

/// Posts to one URL.
pub struct HttpClient {
    place: Place,
    pool: Arc<Pool>,
    validity: Option<Validity>,
}

// === impl HttpClient ===

impl HttpClient {
    /// A client for this URL. Nothing is connected yet.
    pub fn new(url: &Url, settings: &ClientSettings) -> Self {
        let mut tls =
            settings.tls.as_ref().map_or_else(trust_nobody, |tls| (*tls.config()).clone());
        let http2 = settings.http2 && url.scheme() == "https";
        if http2 {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        let limits = Limits {
            opening: settings.connect_timeout.min(settings.request_timeout),
            answer: settings.request_timeout,
        };
        let name = settings.tls.as_ref().and_then(|tls| tls.server_name().cloned());
        let settable = settings.tls.as_ref().map_or(Settable::Section, Tls::settable);
        let connector = Connector::new(url, tls, name, settable, limits.opening);
        let pool = Pool::new(connector, limits, settings.idle_connections, http2);
        let validity = settings.tls.as_ref().map(Tls::validity);
        Self { place: Place::new(url), pool: Arc::new(pool), validity }
    }

    /// Until when the certificate of the receiver is valid, if it has one.
    pub fn validity(&self) -> Option<Validity> {
        self.validity.clone()
    }

    /// Makes a connection, and ends it.
    pub(crate) async fn connect(&self) -> Result<(), Failure> {
        self.pool.connect().await
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
