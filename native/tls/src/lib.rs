//! TLS as the server's configuration describes it: from OTP's client options to rustls.
//!
//! [`TlsOptions::check`] gives one value, ready for any connection to a receiver. The options mean what they mean to OTP's `ssl`
//! (<https://www.erlang.org/doc/apps/ssl/ssl.html>) as far as rustls goes along: it has TLS 1.2
//! and 1.3 with nine cipher suites, and finds the name of a receiver among the alternative names
//! of its certificate only. What cannot be used is refused here, before anything is connected.

#![forbid(unsafe_code)]

mod distrust;
mod ecdsa;
mod explain;
#[cfg(fuzzing)]
pub mod fuzzing;
mod identity;
mod issued;
mod kinds;
mod p521_key;
mod pem;
mod provider;
mod pss;
mod roots;
mod self_signed;
mod settable;
mod signature;
mod suites;
mod trial;
mod validity;
mod verifier;
mod words;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use event_pusher_settings::{InvalidSettings, Secret};
use rustls::ClientConfig;
use rustls::pki_types::{DnsName, ServerName};
use serde::Deserialize;

pub use explain::explain;
pub use settable::Settable;
pub use trial::{TlsTrialError, try_tls};
pub use validity::Validity;
use verifier::Verifier;
pub use words::cause;

/// TLS options as they come from the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// How much of a receiver's certificate is verified.
    pub verify_mode: VerifyMode,
    /// Without it, a certificate that does not pass is accepted all the same.
    pub disconnect_on_failure: bool,
    /// The certificate authorities to trust, as PEM; those of the system if there is none.
    pub cacertfile: Option<PathBuf>,
    /// Our own certificate with its intermediates, as PEM.
    pub certfile: Option<PathBuf>,
    /// The key of `certfile`, as PEM: PKCS#8, encrypted or not, PKCS#1 or SEC1.
    pub keyfile: Option<PathBuf>,
    /// What the key in `keyfile` is encrypted with.
    pub password: Option<Secret>,
    /// Protocol versions such as `tlsv1.2`; empty means all that rustls has.
    pub versions: Vec<String>,
    /// OpenSSL or IANA names of cipher suites, separated by `:` or `,`, the best one first.
    pub ciphers: Option<String>,
    /// The name of a receiver that is sent and verified.
    #[serde(rename = "server_name")]
    pub sni: Sni,
}

/// How to make TLS connections to a receiver. Its files have been read.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    validity: Validity,
    server_name: Option<ServerName<'static>>,
    settable: Settable,
}

/// How much of a receiver's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyMode {
    /// It comes from a trusted authority, is valid now, and is for the name of the receiver.
    #[default]
    Peer,
    /// As `Peer`, and a certificate that is signed by its own key is accepted, too, if it is
    /// valid now and for the name of the receiver.
    SelfsignedPeer,
    /// Nothing.
    None,
}

/// The name of a receiver that is sent (server name indication) and verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sni {
    /// The host that is connected to.
    #[default]
    Default,
    /// None is sent, and none is verified.
    Disabled,
    /// This one is verified, whatever the connection is for. To send it is up to the caller.
    Name(String),
}

fn client_config(
    options: &TlsOptions,
    validity: &Validity,
    settable: Settable,
) -> Result<ClientConfig, InvalidSettings> {
    let mut complaints = InvalidSettings::default();
    let mut provider = provider::provider();
    let versions = complaints.keep(suites::versions(&options.versions));
    let suites = complaints.keep(suites::ciphers(options.ciphers.as_deref(), versions.as_deref()));
    let verifier = complaints.keep(Verifier::new(options, &provider, validity, settable));
    let identity = complaints.keep(identity::read(options));
    let (Some(versions), Some(suites), Some(verifier), Some(identity)) =
        (versions, suites, verifier, identity)
    else {
        return Err(complaints);
    };
    provider.cipher_suites = suites;
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .expect("each set of suites has one for a version")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => config.with_client_cert_resolver(Arc::new(identity)),
        None => config.with_no_client_auth(),
    };
    config.enable_sni = options.sni != Sni::Disabled;
    Ok(config)
}

// === impl Sni ===

impl Sni {
    fn name(&self) -> Result<Option<ServerName<'static>>, InvalidSettings> {
        let Self::Name(name) = self else { return Ok(None) };
        match DnsName::try_from(name.clone()) {
            Ok(name) => Ok(Some(ServerName::DnsName(name))),
            Err(_) => {
                let (field, allowed) = ("tls.server_name_indication.host", "a host name");
                Err(InvalidSettings::one(field, allowed, format_args!("{name:?}")))
            }
        }
    }
}

// === impl TlsOptions ===

impl TlsOptions {
    /// Checks options, complaining in the names of the configuration's keys. Files are read here and
    /// never again.
    ///
    /// # Errors
    ///
    /// Every option that cannot be used is named. Of the password and of the content of files
    /// nothing is shown.
    pub fn check(&self) -> Result<Tls, InvalidSettings> {
        self.check_as(Settable::Section)
    }

    /// The same where the configuration may have no such options.
    ///
    /// # Errors
    ///
    /// The same, in names of what can be set.
    pub fn check_as(&self, settable: Settable) -> Result<Tls, InvalidSettings> {
        let validity = Validity::default();
        let config = Arc::new(client_config(self, &validity, settable)?);
        Ok(Tls { config, validity, server_name: self.sni.name()?, settable })
    }

    fn verifies(&self) -> bool {
        self.disconnect_on_failure && self.verify_mode != VerifyMode::None
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            verify_mode: VerifyMode::default(),
            disconnect_on_failure: true,
            cacertfile: None,
            certfile: None,
            keyfile: None,
            password: None,
            versions: Vec::new(),
            ciphers: None,
            sni: Sni::default(),
        }
    }
}

// === impl Tls ===

impl Tls {
    /// For rustls.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Until when the certificate is valid that was shown last to such a connection.
    pub fn validity(&self) -> Validity {
        self.validity.clone()
    }

    /// The name that a connection has to send instead of the host it is made to.
    pub fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    /// What an operator can set about such a connection, for [`explain`].
    pub fn settable(&self) -> Settable {
        self.settable
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
