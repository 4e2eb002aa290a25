//! How a server speaks TLS.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

use crate::Identity;

/// Which identity a server shows, and what it asks of a client.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Who the server is.
    pub identity: Identity,
    /// Offer `h2` before `http/1.1`.
    pub http2: bool,
    /// Ask for the certificate of the client, and refuse whom these authorities (in PEM) do not
    /// vouch for.
    pub client_authority: Option<String>,
    /// The versions on offer.
    pub versions: TlsVersions,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    Both,
    /// Nothing newer than 1.2.
    Only12,
    /// Nothing older than 1.3.
    Only13,
}

// === impl TlsConfig ===

impl TlsConfig {
    /// HTTP/1.1 for every client, over TLS 1.2 or 1.3.
    pub fn new(identity: Identity) -> Self {
        Self { identity, http2: false, client_authority: None, versions: TlsVersions::Both }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = self.server_config().expect("certificates and keys belong together");
        TlsAcceptor::from(Arc::new(config))
    }

    fn server_config(&self) -> Result<ServerConfig, Box<dyn std::error::Error>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions.supported())?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(pem) => builder.with_client_cert_verifier(client_verifier(pem, provider)?),
        };
        let chain = vec![self.identity.certificate()];
        let mut config = builder.with_single_cert(chain, self.identity.key())?;
        let protocols: &[&[u8]] = if self.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

fn client_verifier(
    pem: &str,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
}

// === impl TlsVersions ===

impl TlsVersions {
    fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Both => vec![&TLS12, &TLS13],
            Self::Only12 => vec![&TLS12],
            Self::Only13 => vec![&TLS13],
        }
    }
}
