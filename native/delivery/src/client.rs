//! The HTTP client of the targets: keep-alive, time limits, TLS by rustls; no redirects, no proxy.

mod tls_name;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use url::Url;

use crate::outcome::{self, Failure};
pub use tls_name::TlsName;

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// How long a whole request may take, from the connection to the last byte of the answer.
    pub request_timeout: Duration,
    /// How many idle connections to keep per receiver.
    pub idle_connections: usize,
    /// How to make TLS connections, from [`client_config`](crate::client_config). Without it, no
    /// certificate is accepted, so that there is only plain HTTP.
    pub tls: Option<ClientConfig>,
    /// Whether to speak HTTP/2 with a receiver that prefers it in the TLS handshake.
    pub http2: bool,
    /// Another name that a receiver has in TLS. HTTP/2 is not spoken then, because it has no
    /// header for the host.
    pub tls_name: Option<TlsName>,
}

/// Makes requests. A clone shares the connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client,
    tls_name: Option<TlsName>,
}

/// The client cannot be made.
#[derive(Debug, Error)]
#[error("http client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// Makes a client. Nothing is connected yet.
///
/// # Errors
///
/// See [`ClientError`].
pub fn http_client(settings: &ClientSettings) -> Result<HttpClient, ClientError> {
    let mut tls = settings.tls.clone().unwrap_or_else(trust_nobody);
    let mut builder = Client::builder();
    if let Some(tls_name) = &settings.tls_name {
        builder = builder.dns_resolver(tls_name.clone());
    }
    if settings.http2 && settings.tls_name.is_none() {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    } else {
        builder = builder.http1_only();
    }
    let client = builder
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .pool_max_idle_per_host(settings.idle_connections)
        .user_agent(concat!("event_pusher/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(HttpClient { client, tls_name: settings.tls_name.clone() })
}

fn trust_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for every version")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// A request that got no whole answer: worth another try, whatever happened to it.
pub(crate) fn transport_failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        let what = if error.is_connect() { "connect timeout" } else { "request timeout" };
        return Failure::transient(what);
    }
    // The innermost cause names the fact; what is around it repeats the URL.
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Failure::transient(outcome::cause(&cause.to_string()))
}

// === impl HttpClient ===

impl HttpClient {
    /// Begins a POST request.
    pub fn post(&self, url: &Url) -> RequestBuilder {
        match self.tls_name.as_ref().and_then(|tls_name| tls_name.instead_of(url)) {
            Some((renamed, authority)) => self.client.post(renamed).header(HOST, authority),
            None => self.client.post(url.clone()),
        }
    }
}
