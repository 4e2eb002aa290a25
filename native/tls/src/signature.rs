//! Signatures, by the parts of a certificate that they need: the certificate as a whole may have a
//! form that rustls does not take, such as version 1.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, alg_id};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use x509_parser::asn1_rs::{Any, BitString, FromDer};
use x509_parser::prelude::X509Certificate;

use super::distrust::Distrust;
use super::pss;

/// The shortest RSA key that ring verifies with.
const RSA_BITS: usize = 2048;

type Candidates<'a> = &'a [&'static dyn SignatureVerificationAlgorithm];

/// What a signature is verified with. Identifiers are without the tag of their sequence.
struct PublicKey<'a> {
    algorithm: &'a [u8],
    bits: &'a [u8],
}

/// Verifies the signature of a handshake of TLS 1.2. There, a scheme leaves the curve open.
pub(super) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    of_handshake(message, certificate, signed, mapped(signed.scheme, algorithms)?)
}

/// Verifies the signature of a handshake of TLS 1.3.
pub(super) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let candidates = match signed.scheme {
        // https://www.rfc-editor.org/rfc/rfc8446#section-4.2.3: only inside of certificates.
        SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512 => return Err(unadvertised()),
        scheme => match pss::candidates(scheme) {
            Some(candidates) => candidates,
            None => &mapped(scheme, algorithms)?[..1],
        },
    };
    of_handshake(message, certificate, signed, candidates)
}

fn mapped(
    scheme: SignatureScheme,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Candidates<'static>, Error> {
    let mapped = algorithms.mapping.iter().find(|(known, _)| *known == scheme);
    mapped.map(|(_, candidates)| *candidates).ok_or_else(unadvertised)
}

/// The schemes that a receiver may sign a handshake with.
pub(super) fn schemes(algorithms: &WebPkiSupportedAlgorithms) -> Vec<SignatureScheme> {
    let mut schemes = algorithms.supported_schemes();
    // Last, so that no receiver that has another key takes to them.
    schemes.extend(pss::schemes());
    schemes
}

/// Verifies that the key of this authority has signed the certificate.
pub(super) fn verify_issued(
    certificate: &CertificateDer<'_>,
    authority: &TrustAnchor<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    let key = public_key(&authority.subject_public_key_info).ok_or_else(unreadable)?;
    of_certificate(certificate, &key, algorithms)
}

/// Verifies that a certificate is signed by its own key.
pub(super) fn verify_own(
    certificate: &CertificateDer<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
    let key = own_key(&parsed)?;
    of_certificate(certificate, &key, algorithms)
}

fn of_handshake(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    candidates: Candidates<'_>,
) -> Result<HandshakeSignatureValid, Error> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| unreadable())?;
    let key = own_key(&certificate)?;
    verify(candidates, &key, message, signed.signature(), &[])?;
    Ok(HandshakeSignatureValid::assertion())
}

fn of_certificate(
    certificate: &CertificateDer<'_>,
    key: &PublicKey<'_>,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    let (signed, algorithm, signature) = parts(certificate).ok_or_else(unreadable)?;
    let candidates: Vec<_> = algorithms
        .all
        .iter()
        .filter(|candidate| candidate.signature_alg_id().as_ref() == algorithm)
        .copied()
        .collect();
    if candidates.is_empty() {
        return Err(CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: algorithm.to_vec(),
            supported_algorithms: Vec::new(),
        }
        .into());
    }
    verify(&candidates, key, signed, &signature, algorithm)
}

fn verify(
    candidates: Candidates<'_>,
    key: &PublicKey<'_>,
    message: &[u8],
    signature: &[u8],
    signature_algorithm: &[u8],
) -> Result<(), Error> {
    let fits = |candidate: &&&dyn SignatureVerificationAlgorithm| {
        candidate.public_key_alg_id().as_ref() == key.algorithm
    };
    let Some(candidate) = candidates.iter().find(fits) else {
        return Err(CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: signature_algorithm.to_vec(),
            public_key_algorithm_id: key.algorithm.to_vec(),
        }
        .into());
    };
    candidate.verify_signature(key.bits, message, signature).map_err(|_| match rsa_bits(key) {
        Some(bits) if bits < RSA_BITS => Distrust::short_key().into(),
        _ => CertificateError::BadSignature.into(),
    })
}

/// The length of an RSA key's modulus.
fn rsa_bits(key: &PublicKey<'_>) -> Option<usize> {
    if key.algorithm != alg_id::RSA_ENCRYPTION.as_ref() {
        return None;
    }
    let (_, numbers) = Any::from_der(key.bits).ok()?;
    let (_, modulus) = Any::from_der(numbers.data).ok()?;
    // It is positive: where its first bit is set, there is a byte of zeros in front.
    Some(8 * modulus.data.iter().skip_while(|byte| **byte == 0).count())
}

/// What is signed, by which algorithm, and the signature.
fn parts<'a>(certificate: &'a CertificateDer<'_>) -> Option<(&'a [u8], &'a [u8], Vec<u8>)> {
    let (_, certificate) = Any::from_der(certificate).ok()?;
    let content = certificate.data;
    let (rest, _) = Any::from_der(content).ok()?;
    let signed = &content[..content.len() - rest.len()];
    let (rest, algorithm) = Any::from_der(rest).ok()?;
    let (_, signature) = BitString::from_der(rest).ok()?;
    Some((signed, algorithm.data, signature.data.into_owned()))
}

fn own_key<'a>(certificate: &'a X509Certificate<'_>) -> Result<PublicKey<'a>, Error> {
    let (_, key) = Any::from_der(certificate.public_key().raw).map_err(|_| unreadable())?;
    public_key(key.data).ok_or_else(unreadable)
}

/// A key from the content of its `SubjectPublicKeyInfo`.
fn public_key(content: &[u8]) -> Option<PublicKey<'_>> {
    let (rest, algorithm) = Any::from_der(content).ok()?;
    let (_, bits) = Any::from_der(rest).ok()?;
    // The first byte tells how many bits of the last one are not used: none.
    let (0, bits) = bits.data.split_first()? else { return None };
    Some(PublicKey { algorithm: algorithm.data, bits })
}

fn unadvertised() -> Error {
    PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()
}

fn unreadable() -> Error {
    CertificateError::BadEncoding.into()
}
