//! Checked settings of the HTTP client.

use std::time::Duration;

use event_pusher_settings::InvalidSettings;
use event_pusher_tls::{Settable, Tls, TlsOptions};

/// How to connect, before it is checked.
#[derive(Clone, Debug)]
pub struct ClientOptions<'a> {
    /// How long a connection may take to be made, TLS included; and no longer than a request.
    pub connect_timeout_ms: u64,
    /// How long a request may take, from when it has a connection to the last byte of the answer.
    pub request_timeout_ms: u64,
    /// How many idle connections to keep.
    pub workers: usize,
    /// How to make TLS connections. Without it there is only plain HTTP, and no authorities are
    /// needed.
    pub tls: Option<&'a TlsOptions>,
    /// What of that the configuration has a say in.
    pub settable: Settable,
    /// Whether to speak HTTP/2 with a receiver that prefers it in the TLS handshake.
    pub http2: bool,
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) idle_connections: usize,
    /// Without it, no certificate is accepted.
    pub(super) tls: Option<Tls>,
    pub(super) http2: bool,
}

// === impl ClientOptions ===

impl ClientOptions<'_> {
    /// Checks options, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Every option that cannot be used is named.
    pub fn check(&self) -> Result<ClientSettings, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let settings = ClientSettings {
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            request_timeout: Duration::from_millis(self.request_timeout_ms),
            idle_connections: self.workers,
            tls: self.tls.and_then(|options| complaints.keep(options.check_as(self.settable))),
            http2: self.http2,
        };
        if self.request_timeout_ms == 0 {
            complaints.complain("request_timeout", "at least 1 ms", 0);
        }
        complaints.into_result(settings)
    }
}
