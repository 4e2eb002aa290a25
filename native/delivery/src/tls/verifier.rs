//! Which receivers are trusted. The signatures of a handshake are verified in every mode: the
//! receiver has the key of the certificate that it shows.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{Sni, TlsOptions, VerifyMode, pem, self_signed};
use crate::settings::InvalidSettings;

/// Verifies the certificates of receivers.
#[derive(Debug)]
pub(super) struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: Trust,
    expected: Expected,
}

#[derive(Debug)]
enum Trust {
    Anyone,
    Roots { roots: RootCertStore, self_signed: bool },
}

/// The name that a certificate has to be for.
#[derive(Debug)]
enum Expected {
    Any,
    OfConnection,
    Name(ServerName<'static>),
}

// === impl Verifier ===

impl Verifier {
    pub(super) fn new(
        options: &TlsOptions,
        provider: &CryptoProvider,
    ) -> Result<Self, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let trust = complaints.keep(Trust::new(options));
        let expected = complaints.keep(Expected::new(&options.sni));
        let (Some(trust), Some(expected)) = (trust, expected) else { return Err(complaints) };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { algorithms, trust, expected })
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        roots: &RootCertStore,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            algorithms,
        )?;
        name.map_or(Ok(()), |name| verify_server_name(&certificate, name))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let accepted = Ok(ServerCertVerified::assertion());
        let Trust::Roots { roots, self_signed } = &self.trust else { return accepted };
        let name = match &self.expected {
            Expected::Any => None,
            Expected::OfConnection => Some(server_name),
            Expected::Name(name) => Some(name),
        };
        match self.verify(end_entity, intermediates, roots, name, now) {
            Err(error) if *self_signed => {
                self_signed::verify(end_entity, name, now).unwrap_or(Err(error))?;
            }
            result => result?,
        }
        accepted
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

// === impl Trust ===

impl Trust {
    fn new(options: &TlsOptions) -> Result<Self, InvalidSettings> {
        if !options.verifies() {
            return Ok(Self::Anyone);
        }
        let certificates = match &options.cacertfile {
            Some(path) => pem::certificates("tls.cacertfile", path)?,
            // Files of the system that cannot be read leave the others.
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            return Err(no_roots(options));
        }
        Ok(Self::Roots { roots, self_signed: options.verify_mode == VerifyMode::SelfsignedPeer })
    }
}

fn no_roots(options: &TlsOptions) -> InvalidSettings {
    match &options.cacertfile {
        Some(path) => {
            let allowed = "a PEM file with X.509 certificates";
            InvalidSettings::one("tls.cacertfile", allowed, format_args!("{path:?}"))
        }
        None => {
            let allowed = "given on a system without certificate authorities";
            InvalidSettings::one("tls.cacertfile", allowed, "nothing")
        }
    }
}

// === impl Expected ===

impl Expected {
    fn new(sni: &Sni) -> Result<Self, InvalidSettings> {
        match sni {
            Sni::Default => Ok(Self::OfConnection),
            Sni::Disabled => Ok(Self::Any),
            Sni::Name(name) => match DnsName::try_from(name.clone()) {
                Ok(name) => Ok(Self::Name(ServerName::DnsName(name))),
                Err(_) => {
                    let (field, allowed) = ("tls.server_name_indication.host", "a host name");
                    Err(InvalidSettings::one(field, allowed, format_args!("{name:?}")))
                }
            },
        }
    }
}
