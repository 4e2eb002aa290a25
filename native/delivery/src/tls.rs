//! TLS as the server's configuration describes it: from its client options to rustls.
//!
//! Every target gets its TLS from here. The options mean what they mean to OTP's `ssl`
//! (<https://www.erlang.org/doc/apps/ssl/ssl.html>) as far as rustls goes along: it has TLS 1.2
//! and 1.3 with nine cipher suites, and finds the name of a receiver among the alternative names
//! of its certificate only. What cannot be used is refused here, before anything is connected.

mod distrust;
mod ecdsa;
mod explain;
mod identity;
mod issued;
mod kinds;
mod p521_key;
mod pem;
mod provider;
mod pss;
mod roots;
mod self_signed;
mod signature;
mod suites;
mod trial;
mod verifier;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::settings::InvalidSettings;
pub(crate) use explain::explain;
pub use trial::{TlsTrialError, try_tls};
use verifier::Verifier;

/// TLS options as they come from the configuration.
#[derive(Clone)]
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
    pub password: Option<String>,
    /// Protocol versions such as `tlsv1.2`; empty means all that rustls has.
    pub versions: Vec<String>,
    /// OpenSSL or IANA names of cipher suites, separated by `:` or `,`, the best one first.
    pub ciphers: Option<String>,
    /// The name of a receiver that is sent and verified.
    pub sni: Sni,
}

/// How much of a receiver's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sni {
    /// The host that is connected to.
    #[default]
    Default,
    /// None is sent, and none is verified.
    Disabled,
    /// This one is verified, whatever the connection is for. To send it is up to the caller.
    Name(String),
}

/// Makes the configuration of TLS connections. Files are read here and never again.
///
/// # Errors
///
/// Every option that cannot be used is named. Of the password and of the content of files nothing
/// is shown.
pub fn client_config(options: &TlsOptions) -> Result<ClientConfig, InvalidSettings> {
    let mut complaints = InvalidSettings::default();
    let mut provider = provider::provider();
    let versions = complaints.keep(suites::versions(&options.versions));
    let suites = complaints.keep(suites::ciphers(options.ciphers.as_deref(), versions.as_deref()));
    let verifier = complaints.keep(Verifier::new(options, &provider));
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

// === impl TlsOptions ===

impl TlsOptions {
    /// The name that a connection has to send instead of the host it is made to.
    pub fn server_name(&self) -> Option<&str> {
        match &self.sni {
            Sni::Name(name) => Some(name),
            Sni::Default | Sni::Disabled => None,
        }
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

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("verify_mode", &self.verify_mode)
            .field("disconnect_on_failure", &self.disconnect_on_failure)
            .field("cacertfile", &self.cacertfile)
            .field("certfile", &self.certfile)
            .field("keyfile", &self.keyfile)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("versions", &self.versions)
            .field("ciphers", &self.ciphers)
            .field("sni", &self.sni)
            .finish()
    }
}

#[cfg(test)]
mod tests;
