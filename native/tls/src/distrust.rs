//! Why nobody vouches for a certificate, as far as that can be seen from this side.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, OtherError};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::settable::Settable;
use super::words::shortened;

/// A chain that does not lead to a trusted authority.
#[derive(Debug)]
pub(super) struct Distrust {
    fault: Fault,
    /// What could not be read of the authorities of the system.
    unread: Option<String>,
}

#[derive(Debug)]
enum Fault {
    /// Nobody vouches for it but itself.
    SelfSigned,
    /// It was sent alone, and this one, its issuer, is not trusted.
    Alone(String),
    /// It was sent with others, and this one at their end is not trusted.
    End(String),
    /// An authority of the right name has another key.
    Forged(String),
    /// Its RSA key is shorter than what is supported.
    ShortKey,
}

/// The longest name that is shown, in characters. It is the receiver's word.
const NAME_LIMIT: usize = 60;

// === impl Distrust ===

impl Distrust {
    /// An authority on the way is not known.
    pub(super) fn unknown(
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        unread: Option<&str>,
    ) -> Self {
        let fault = match issuer(end_entity) {
            None => Fault::SelfSigned,
            Some(issuer) if intermediates.is_empty() => Fault::Alone(issuer),
            Some(issuer) => Fault::End(last_issuer(intermediates).unwrap_or(issuer)),
        };
        Self { fault, unread: unread.map(str::to_owned) }
    }

    /// An authority is known, but the signature is not its own.
    pub(super) fn forged(end_entity: &CertificateDer<'_>) -> Self {
        let issuer = issuer(end_entity).unwrap_or_default();
        Self { fault: Fault::Forged(issuer), unread: None }
    }

    /// A signature cannot be verified with so short a key.
    pub(super) fn short_key() -> Self {
        Self { fault: Fault::ShortKey, unread: None }
    }

    /// What is wrong, what to do, and what could not be read.
    pub(super) fn told(&self, settable: Settable) -> String {
        let authorities = settable.place_of_authorities();
        let remedy = match &self.fault {
            Fault::SelfSigned => settable.trust().to_owned(),
            Fault::Alone(_) => format!("it has to send them, or {authorities} to name that one"),
            Fault::End(_) => format!("{authorities} has to name it"),
            Fault::Forged(_) => {
                format!("{authorities} may have an old one, or its RSA key less than 2048 bits")
            }
            Fault::ShortKey => "it needs a longer one".to_owned(),
        };
        let unread = self.unread.as_ref().map_or_else(String::new, |unread| {
            format!("; authorities of the system are missing ({unread})")
        });
        format!("{self}: {remedy}{unread}")
    }
}

impl std::error::Error for Distrust {}

impl From<Distrust> for rustls::Error {
    fn from(distrust: Distrust) -> Self {
        CertificateError::Other(OtherError(Arc::new(distrust))).into()
    }
}

/// What is wrong, without what to do.
impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::SelfSigned => f.write_str("the receiver's certificate is signed by itself"),
            Fault::Alone(issuer) => write!(
                f,
                "the receiver's certificate is of {issuer:?}, which is not trusted, and comes \
                 without intermediates"
            ),
            Fault::End(issuer) => {
                write!(f, "the receiver's certificates lead to {issuer:?}, which is not trusted")
            }
            Fault::Forged(issuer) => write!(
                f,
                "a certificate of the receiver bears the name of a trusted authority, but another \
                 signature ({issuer:?})"
            ),
            Fault::ShortKey => f.write_str("the receiver's RSA key has less than 2048 bits"),
        }
    }
}

/// Who issued a certificate, if it was somebody else.
fn issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let (issuer, subject) = (certificate.issuer(), certificate.subject());
    (issuer.as_raw() != subject.as_raw()).then(|| shown(issuer))
}

/// The one that vouches for the others, or should.
fn last_issuer(intermediates: &[CertificateDer<'_>]) -> Option<String> {
    let (_, last) = X509Certificate::from_der(intermediates.last()?).ok()?;
    Some(shown(last.issuer()))
}

fn shown(name: &X509Name<'_>) -> String {
    shortened(&name.to_string(), NAME_LIMIT).into_owned()
}
