//! A receiver on the other end of a connection in memory.

use std::sync::Arc;

use rcgen::KeyPair;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ALL_VERSIONS, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use super::{Tls, explain};

pub(super) struct Receiver {
    identity: Arc<CertifiedKey>,
    versions: Vec<&'static SupportedProtocolVersion>,
    client_authority: Option<CertificateDer<'static>>,
}

/// What a receiver knows about a connection.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) sni: Option<String>,
    pub(super) version: ProtocolVersion,
    pub(super) suite: &'static str,
    pub(super) client_certificates: usize,
}

/// Shows its certificate whatever its key is.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

// === impl Receiver ===

impl Receiver {
    pub(super) fn new(certificate: CertificateDer<'static>, key: &KeyPair) -> Self {
        let identity = Arc::new(CertifiedKey::new(vec![certificate], signer(key)));
        Self { identity, versions: ALL_VERSIONS.to_vec(), client_authority: None }
    }

    pub(super) fn with_key(self, key: &KeyPair) -> Self {
        let identity = Arc::new(CertifiedKey::new(self.identity.cert.clone(), signer(key)));
        Self { identity, ..self }
    }

    pub(super) fn with_version(self, version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..self }
    }

    pub(super) fn asking_for(self, authority: &CertificateDer<'static>) -> Self {
        Self { client_authority: Some(authority.clone()), ..self }
    }

    /// A handshake with a client that connects to `name`: what the receiver saw, or why either
    /// side refused.
    pub(super) fn shake(&self, tls: &Tls, name: &'static str) -> Result<Seen, String> {
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(tls.config(), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(self.config())).unwrap();
        // The client is done with TLS 1.3 before the server has looked at its certificate.
        while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            feed(&wire, |wire| server.read_tls(wire).unwrap());
            server.process_new_packets().map_err(|error| format!("receiver: {error}"))?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            feed(&wire, |wire| client.read_tls(wire).unwrap());
            client.process_new_packets().map_err(|error| {
                explain(&error, tls.settable()).expect("an error of TLS").into_owned()
            })?;
        }
        Ok(Seen {
            sni: server.server_name().map(str::to_owned),
            version: server.protocol_version().unwrap(),
            suite: server.negotiated_cipher_suite().unwrap().suite().as_str().unwrap(),
            client_certificates: server.peer_certificates().map_or(0, <[_]>::len),
        })
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions)
            .unwrap();
        let config = match &self.client_authority {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        config.with_cert_resolver(Arc::new(Shown(self.identity.clone())))
    }
}

fn signer(key: &KeyPair) -> Arc<dyn rustls::sign::SigningKey> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    any_supported_type(&key).unwrap()
}

fn feed(mut wire: &[u8], mut read: impl FnMut(&mut &[u8]) -> usize) {
    while !wire.is_empty() {
        assert_ne!(read(&mut wire), 0);
    }
}

// === impl Shown ===

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
