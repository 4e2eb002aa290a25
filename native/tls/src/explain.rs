//! What went wrong in TLS, in words for an operator: the fact, and after a colon what to do.
//!
//! Whatever carries an error of TLS, the client of HTTP or that of AMQP, says it in the words of
//! the protocol, and most often these are just "handshake failure".

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use httpdate::fmt_http_date;
use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertificateError, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};

use super::distrust::Distrust;
use super::kinds;
use super::settable::Settable;
use super::words::{cause, shortened};

/// The longest list of names that is shown, in characters. They are the receiver's words.
const NAMES_LIMIT: usize = 100;

const NO_TLS: &str = "the receiver does not speak TLS on this port: connect to the port where it \
                      does, or without TLS";
const CLOSED: &str = "the receiver closed the connection during the TLS handshake: it may not \
                      speak TLS on this port";
const LATER_VERSION: &str = "the receiver's key is of a kind that is supported with TLS 1.3 only (RSA-PSS), or does not \
     fit the cipher suite: it has to speak TLS 1.3, or to get an RSA key for any use";

/// What is to be said of this error, or of what caused it, if that is an error of TLS. What there is
/// to do is among what can be set.
pub fn explain(error: &(dyn Error + 'static), settable: Settable) -> Option<Cow<'static, str>> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(tls(error, settable));
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(error) if is_early_end(error) => return Some(CLOSED.into()),
            // An error of TLS stands inside of the one of the socket, which does not name it as
            // its source.
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// An end in the middle of a handshake, in the only words that its readers have for it.
fn is_early_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        && ["tls handshake eof", "unexpected end of file"].contains(&error.to_string().as_str())
}

fn tls(error: &rustls::Error, settable: Settable) -> Cow<'static, str> {
    match error {
        rustls::Error::InvalidCertificate(fault) => certificate(fault, settable),
        rustls::Error::AlertReceived(alert) => ended_by(*alert, settable),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => NO_TLS.into(),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => no_version(settable),
        rustls::Error::PeerMisbehaved(PeerMisbehaved::SignedKxWithWrongAlgorithm) => {
            LATER_VERSION.into()
        }
        other => cause(&format!("TLS: {other}")),
    }
}

fn no_version(settable: Settable) -> Cow<'static, str> {
    format!(
        "the receiver and {} have no version of TLS in common: 1.2 and 1.3 can be had here; or its \
         key may be of a kind that is not supported with that version",
        settable.our_versions()
    )
    .into()
}

/// The receiver ended the handshake with this alert.
fn ended_by(alert: AlertDescription, settable: Settable) -> Cow<'static, str> {
    match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => format!(
            "the receiver finds nothing in common in the TLS handshake (HandshakeFailure): its key \
             may be of a kind that is not supported, such as Ed448, or {}",
            settable.suites_or_certificate()
        ),
        AlertDescription::CertificateRequired => {
            let remedy = settable.our_certificate();
            format!("the receiver asks for a client certificate: {remedy}")
        }
        AlertDescription::ProtocolVersion => return no_version(settable),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => {
            let (identity, remedy) = (settable.identity(), settable.our_other_certificate());
            format!("the receiver refuses {identity} ({alert:?}): {remedy}")
        }
        // OpenSSL says so of a curve, https://www.rfc-editor.org/rfc/rfc8422#section-5.1.
        AlertDescription::IllegalParameter => format!(
            "the receiver takes something in the TLS handshake for wrong (IllegalParameter): {}",
            settable.our_key()
        ),
        AlertDescription::UnrecognisedName => format!(
            "the receiver does not know the name that it is connected by (UnrecognisedName): {}",
            settable.another_name()
        ),
        other => format!("the receiver ended the TLS handshake with the alert {other:?}"),
    }
    .into()
}

/// The receiver showed a certificate that does not pass.
fn certificate(fault: &CertificateError, settable: Settable) -> Cow<'static, str> {
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => {
            let date = date(*not_after);
            format!("a certificate of the receiver has expired ({date}): it needs a new one").into()
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "a certificate of the receiver is not valid yet (before {}): one of the clocks, here \
             or where it was made, may be wrong",
            date(*not_before)
        )
        .into(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            other_name(&expected.to_str(), presented, settable).into()
        }
        CertificateError::BadSignature => {
            "the receiver does not have the key of its certificate: it needs both from one hand"
                .into()
        }
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            public_key_algorithm_id,
            ..
        } => format!(
            "the receiver's key, or that of an authority, is of a kind that is not supported \
             ({}): RSA and ECDSA on P-256 are the usual ones",
            kinds::name(public_key_algorithm_id)
        )
        .into(),
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id, ..
        } => format!(
            "a certificate of the receiver is signed in a way that is not supported ({}): it has \
             to be signed anew, with SHA-256 for one",
            kinds::name(signature_algorithm_id)
        )
        .into(),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "a certificate of the receiver is not for servers (extended key usage): it needs \
             another one, with serverAuth"
                .into()
        }
        CertificateError::BadEncoding => "a certificate of the receiver is damaged".into(),
        CertificateError::Other(other) => other
            .0
            .downcast_ref::<Distrust>()
            .map_or_else(|| refused(&other.0), |distrust| distrust.told(settable).into()),
        other => refused(other),
    }
}

fn refused(fault: &dyn std::fmt::Display) -> Cow<'static, str> {
    cause(&format!("a certificate of the receiver is refused: {fault}"))
}

fn other_name(expected: &str, presented: &[String], settable: Settable) -> String {
    // They come as DnsName("a.example") and IpAddress(10.0.0.1).
    let names = presented.iter().map(|name| name.split(['(', ')']).nth(1).unwrap_or(name));
    let mut list = String::new();
    for name in names.map(|name| name.trim_matches('"').escape_debug()) {
        let comma = if list.is_empty() { "" } else { ", " };
        let _ = write!(list, "{comma}{name}");
    }
    if list.is_empty() {
        return format!(
            "the receiver's certificate has no alternative names, and its common name does not \
             count: it needs {expected} among the former"
        );
    }
    let list = shortened(&list, NAMES_LIMIT);
    format!(
        "the receiver's certificate is for other names ({list}), not for {expected}: {}",
        settable.one_of_these_names()
    )
}

fn date(time: UnixTime) -> String {
    // Later than the year 9999 cannot be written so.
    let seconds = time.as_secs().min(253_402_300_799);
    fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
