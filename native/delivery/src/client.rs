//! The HTTP client of the targets: keep-alive, time limits, TLS by rustls; no redirects, no proxy.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use thiserror::Error;

use crate::outcome::Failure;

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// How long a whole request may take, from the connection to the last byte of the answer.
    pub request_timeout: Duration,
    /// How many idle connections to keep per receiver.
    pub idle_connections: usize,
    /// Whom to trust.
    pub roots: Roots,
}

/// The certificate authorities that a receiver's certificate may come from.
#[derive(Clone, Debug)]
pub enum Roots {
    /// Those of the operating system.
    System,
    /// These and no others, in DER form.
    Only(Vec<Vec<u8>>),
}

/// The client cannot be made: the system has no certificate authorities, or one is broken.
#[derive(Debug, Error)]
pub enum ClientError {
    /// TLS cannot be set up.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// The client cannot be built.
    #[error("http client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Makes a client. Nothing is connected yet.
///
/// # Errors
///
/// See [`ClientError`].
pub fn http_client(settings: &ClientSettings) -> Result<Client, ClientError> {
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?;
    let tls = match &settings.roots {
        Roots::System => tls.with_platform_verifier()?,
        Roots::Only(certificates) => {
            let mut store = RootCertStore::empty();
            for certificate in certificates {
                store.add(CertificateDer::from(certificate.as_slice()))?;
            }
            tls.with_root_certificates(store)
        }
    };
    let client = Client::builder()
        .tls_backend_preconfigured(tls.with_no_client_auth())
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .pool_max_idle_per_host(settings.idle_connections)
        .user_agent(concat!("event_pusher/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
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
    Failure::transient(cause.to_string())
}
