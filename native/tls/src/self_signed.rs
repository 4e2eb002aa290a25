//! Self-signed certificates: those that vouch for themselves.

use std::time::Duration;

use rustls::CertificateError;
use rustls::client::verify_server_name;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::signature;

/// Checks a certificate as far as it can be checked without an authority. The result is `None` if
/// it is not self-signed: issued by somebody else, or not signed by its own key.
///
/// Usually these are made by hand, as `openssl req -x509` does it: they may be certificates of an
/// authority, and where they have no alternative names, the common name is the one that counts.
pub(super) fn verify(
    end_entity: &CertificateDer<'_>,
    name: Option<&ServerName<'_>>,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<Result<(), rustls::Error>> {
    let (_, certificate) = X509Certificate::from_der(end_entity).ok()?;
    let own = certificate.issuer().as_raw() == certificate.subject().as_raw()
        // Old certificates may be signed with SHA-1. There is nothing to gain by forging one.
        && (signature::verify_own(end_entity, algorithms).is_ok()
            || certificate.verify_signature(None).is_ok());
    own.then(|| {
        verify_period(&certificate, now)?;
        name.map_or(Ok(()), |name| verify_name(end_entity, &certificate, name))
    })
}

pub(super) fn verify_period(
    certificate: &X509Certificate<'_>,
    now: UnixTime,
) -> Result<(), CertificateError> {
    let validity = certificate.validity();
    let (not_before, not_after) = (unix(validity.not_before), unix(validity.not_after));
    if now < not_before {
        Err(CertificateError::NotValidYetContext { time: now, not_before })
    } else if now > not_after {
        Err(CertificateError::ExpiredContext { time: now, not_after })
    } else {
        Ok(())
    }
}

fn unix(time: ASN1Time) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.timestamp().try_into().unwrap_or(0)))
}

fn verify_name(
    end_entity: &CertificateDer<'_>,
    certificate: &X509Certificate<'_>,
    name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    if !matches!(certificate.subject_alternative_name(), Ok(None)) {
        return verify_server_name(&ParsedCertificate::try_from(end_entity)?, name);
    }
    let names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let presented: Vec<_> = names.map(str::to_owned).collect();
    if presented.iter().any(|common| common.eq_ignore_ascii_case(&name.to_str())) {
        return Ok(());
    }
    Err(CertificateError::NotValidForNameContext { expected: name.to_owned(), presented }.into())
}
