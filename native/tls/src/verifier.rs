//! Which receivers are trusted. The signatures of a handshake are verified in every mode: the
//! receiver has the key of the certificate that it shows.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::distrust::Distrust;
use super::roots::Roots;
use super::{Settable, Sni, TlsOptions, Validity, VerifyMode, issued, self_signed, signature};
use event_pusher_settings::InvalidSettings;

/// Verifies the certificates of receivers.
#[derive(Debug)]
pub(super) struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    trust: Trust,
    expected: Expected,
    validity: Validity,
}

#[derive(Debug)]
enum Trust {
    Anyone,
    Roots { roots: Roots, self_signed: bool },
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
        validity: &Validity,
        settable: Settable,
    ) -> Result<Self, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let trust = complaints.keep(Trust::new(options, settable));
        let expected = complaints.keep(Expected::new(&options.sni));
        let (Some(trust), Some(expected)) = (trust, expected) else { return Err(complaints) };
        let algorithms = provider.signature_verification_algorithms;
        Ok(Self { algorithms, trust, expected, validity: validity.clone() })
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        roots: &Roots,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let roots = &roots.store;
        if let Some(result) = issued::verify(end_entity, roots, name, now, &self.algorithms) {
            return result;
        }
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
        self.validity.shown(end_entity);
        let accepted = Ok(ServerCertVerified::assertion());
        let Trust::Roots { roots, self_signed } = &self.trust else { return accepted };
        let name = match &self.expected {
            Expected::Any => None,
            Expected::OfConnection => Some(server_name),
            Expected::Name(name) => Some(name),
        };
        let verified = match self.verify(end_entity, intermediates, roots, name, now) {
            Err(error) if *self_signed => {
                self_signed::verify(end_entity, name, now, &self.algorithms).unwrap_or(Err(error))
            }
            result => result,
        };
        match verified {
            Ok(()) => accepted,
            Err(error) => Err(with_reason(error, end_entity, intermediates, roots)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls12(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls13(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signature::schemes(&self.algorithms)
    }
}

// === impl Trust ===

impl Trust {
    fn new(options: &TlsOptions, settable: Settable) -> Result<Self, InvalidSettings> {
        if !options.verifies() {
            return Ok(Self::Anyone);
        }
        let self_signed = options.verify_mode == VerifyMode::SelfsignedPeer;
        Ok(Self::Roots { roots: Roots::new(options, settable)?, self_signed })
    }
}

/// What can be told about a chain from both its ends; other faults name themselves.
fn with_reason(
    error: Error,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &Roots,
) -> Error {
    let Error::InvalidCertificate(fault) = &error else { return error };
    match fault {
        CertificateError::BadSignature => Distrust::forged(end_entity).into(),
        CertificateError::UnknownIssuer => {
            Distrust::unknown(end_entity, intermediates, roots.unread.as_deref()).into()
        }
        // Only what is self-signed has been asked this way: see `issued`.
        CertificateError::Other(other) if is_odd(other) => {
            Distrust::unknown(end_entity, intermediates, roots.unread.as_deref()).into()
        }
        _ => error,
    }
}

fn is_odd(fault: &OtherError) -> bool {
    let fault = fault.0.downcast_ref();
    matches!(fault, Some(webpki::Error::CaUsedAsEndEntity | webpki::Error::UnsupportedCertVersion))
}

// === impl Expected ===

impl Expected {
    fn new(sni: &Sni) -> Result<Self, InvalidSettings> {
        Ok(match (sni, sni.name()?) {
            (Sni::Disabled, _) => Self::Any,
            (_, Some(name)) => Self::Name(name),
            (_, None) => Self::OfConnection,
        })
    }
}
