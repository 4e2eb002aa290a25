//! The authorities to trust: those of a file, or those that the operating system keeps.

use std::env;
use std::fmt::Write as _;

use rustls::RootCertStore;
use rustls_native_certs::{ErrorKind, load_native_certs};

use super::settable::Settable;
use super::{TlsOptions, pem};
use event_pusher_settings::InvalidSettings;

/// Authorities, of which there is at least one.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: RootCertStore,
    /// What could not be read of those of the system.
    pub(super) unread: Option<String>,
}

/// Variables by which the system's authorities may be elsewhere.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

// === impl Roots ===

impl Roots {
    pub(super) fn new(options: &TlsOptions, settable: Settable) -> Result<Self, InvalidSettings> {
        let mut store = RootCertStore::empty();
        let Some(path) = &options.cacertfile else { return Self::of_the_system(store, settable) };
        store.add_parsable_certificates(pem::certificates("tls.cacertfile", path)?);
        if store.is_empty() {
            let allowed = "a PEM file with X.509 certificates";
            return Err(InvalidSettings::one("tls.cacertfile", allowed, format_args!("{path:?}")));
        }
        Ok(Self { store, unread: None })
    }

    fn of_the_system(
        mut store: RootCertStore,
        settable: Settable,
    ) -> Result<Self, InvalidSettings> {
        let found = load_native_certs();
        store.add_parsable_certificates(found.certs);
        let unread = unread(&found.errors);
        if store.is_empty() {
            let allowed = "given on a system without certificate authorities";
            let got = format!("nothing{}", whereabouts(unread.as_deref()));
            return Err(InvalidSettings::one(settable.authorities(), allowed, got));
        }
        Ok(Self { store, unread })
    }
}

/// The first of what went wrong. Of a file that is no proper PEM, nothing is told but that: its
/// reader would show parts of it.
fn unread(errors: &[rustls_native_certs::Error]) -> Option<String> {
    let mut told = match &errors.first()?.kind {
        ErrorKind::Io { inner, path } => format!("{path:?}: {inner}"),
        _ => "a file is no proper PEM".to_owned(),
    };
    if errors.len() > 1 {
        let _ = write!(told, ", and {} more", errors.len() - 1);
    }
    Some(told)
}

/// Where the authorities were looked for, and what was in the way.
fn whereabouts(unread: Option<&str>) -> String {
    let set = VARIABLES.iter().filter_map(|name| Some((name, env::var_os(name)?)));
    let mut told: Vec<_> = set.map(|(name, value)| format!("{name} is {value:?}")).collect();
    told.extend(unread.map(str::to_owned));
    if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) }
}
