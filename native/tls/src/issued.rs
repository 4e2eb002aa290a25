//! Certificates of a form that rustls refuses, though no rule does: of version 1, as old tools make
//! them, and of an authority, as `openssl req -x509 -CA` makes them for anybody.
//!
//! <https://www.rfc-editor.org/rfc/rfc5280#section-6.1> has no demands on the form of a
//! receiver's own certificate. It has many on those in between, so these are not for here: a
//! trusted authority has to have issued the certificate itself.

use rustls::client::verify_server_name;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use x509_parser::asn1_rs::Any;
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::{self_signed, signature};

/// Verifies such a certificate. The result is `None` for those of the usual form, and for those
/// that are self-signed.
pub(super) fn verify(
    end_entity: &CertificateDer<'_>,
    roots: &RootCertStore,
    name: Option<&ServerName<'_>>,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<Result<(), Error>> {
    let (_, certificate) = X509Certificate::from_der(end_entity).ok()?;
    let usual = certificate.version() == X509Version::V3 && !certificate.is_ca();
    if usual || certificate.issuer().as_raw() == certificate.subject().as_raw() {
        return None;
    }
    Some(
        verify_issuer(end_entity, &certificate, roots, algorithms)
            .and_then(|()| Ok(self_signed::verify_period(&certificate, now)?))
            .and_then(|()| Ok(verify_extensions(&certificate)?))
            .and_then(|()| name.map_or(Ok(()), |name| verify_name(end_entity, &certificate, name))),
    )
}

fn verify_issuer(
    end_entity: &CertificateDer<'_>,
    certificate: &X509Certificate<'_>,
    roots: &RootCertStore,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Error> {
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return Err(CertificateError::BadEncoding.into());
    }
    // The names of trusted authorities are kept without the tag of their sequence.
    let (_, issuer) = Any::from_der(certificate.issuer().as_raw())
        .map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let mut result = Err(CertificateError::UnknownIssuer.into());
    for root in roots.roots.iter().filter(|root| root.subject.as_ref() == issuer.data) {
        // What such an authority may vouch for is for the usual way only.
        if root.name_constraints.is_some() {
            continue;
        }
        result = signature::verify_issued(end_entity, root, algorithms);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The demands that rustls has on the usual certificates, and that the key may sign handshakes.
fn verify_extensions(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let known = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    for extension in certificate.extensions() {
        if extension.critical && !known.contains(&extension.oid) {
            return Err(CertificateError::UnhandledCriticalExtension);
        }
    }
    // That of a real authority is not for servers.
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.digital_signature() => {
            return Err(CertificateError::InvalidPurpose);
        }
        Ok(_) => (),
        Err(_) => return Err(CertificateError::BadEncoding),
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.server_auth => Err(CertificateError::InvalidPurpose),
        Ok(_) => Ok(()),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}

fn verify_name(
    end_entity: &CertificateDer<'_>,
    certificate: &X509Certificate<'_>,
    name: &ServerName<'_>,
) -> Result<(), Error> {
    if certificate.version() == X509Version::V3 {
        return verify_server_name(&ParsedCertificate::try_from(end_entity)?, name);
    }
    // There were no alternative names yet.
    let (expected, presented) = (name.to_owned(), Vec::new());
    Err(CertificateError::NotValidForNameContext { expected, presented }.into())
}
