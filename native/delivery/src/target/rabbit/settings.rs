//! Checked settings of the RabbitMQ target.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::retry::RetrySettings;
use crate::settings::InvalidSettings;
use crate::tls::{TlsOptions, client_config};

/// AMQP's short strings: names of exchanges and virtual hosts, routing keys.
pub(super) const SHORT: usize = 255;

/// The shortest wait between two attempts to connect.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);

/// Where, as whom and to which exchanges to publish.
#[derive(Clone, Debug)]
pub struct RabbitSettings {
    pub(super) login: RabbitLogin,
    pub(super) tls: Option<Tls>,
    pub(super) confirms: bool,
    pub(super) exchanges: Vec<Exchange>,
    /// The waits between attempts to connect.
    pub(super) reconnect: RetrySettings,
}

/// The broker and the user.
#[derive(Clone)]
pub struct RabbitLogin {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the user.
    pub username: String,
    /// Never shown.
    pub password: String,
    /// The virtual host that the exchanges lie in.
    pub virtual_host: String,
    /// What the broker shows as the name of the connection.
    pub connection_name: String,
}

/// One exchange, as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The section of the configuration, for complaints.
    pub section: String,
    /// Its name.
    pub name: String,
    /// Its type, as in `topic`.
    pub kind: String,
    /// Whether it survives a restart of the broker; messages to it do, too.
    pub durable: bool,
}

#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) server_name: String,
}

// === impl RabbitSettings ===

impl RabbitSettings {
    /// Checks settings, complaining in the names of the configuration's keys. Waits between
    /// attempts to connect begin with `reconnect_delay` and end with `reconnect_max`, or with
    /// `reconnect_delay` if that is longer.
    ///
    /// # Errors
    ///
    /// Every setting that cannot be used is named; of the password only that it is missing.
    pub fn new(
        login: RabbitLogin,
        tls: Option<&TlsOptions>,
        confirms: bool,
        exchanges: Vec<Exchange>,
        reconnect_delay: Duration,
        reconnect_max: Duration,
    ) -> Result<Self, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        if login.host.is_empty() {
            complaints.complain("host", "a host name or an address", "nothing");
        }
        complaints.short("virtual_host", &login.virtual_host);
        for (index, exchange) in exchanges.iter().enumerate() {
            let Exchange { section, name, kind, durable } = exchange;
            complaints.short(&format!("{section}.name"), name);
            complaints.short(&format!("{section}.type"), kind);
            let twin = exchanges[..index].iter().find(|earlier| earlier.name == *name);
            if let Some(twin) = twin.filter(|twin| (&twin.kind, &twin.durable) != (kind, durable)) {
                let allowed = format!("of type and durability of {}, its namesake", twin.section);
                complaints.complain(
                    section,
                    allowed,
                    format_args!("{kind:?}, durable = {durable}"),
                );
            }
        }
        let tls = tls.and_then(|options| {
            let config = complaints.keep(client_config(options))?;
            let server_name = options.server_name().unwrap_or(&login.host).to_owned();
            Some(Tls { config: Arc::new(config), server_name })
        });
        // A delay of zero is legal, and not meant as a flood.
        let reconnect = RetrySettings {
            count: None,
            base: reconnect_delay.max(SHORTEST_DELAY),
            max: reconnect_max.max(reconnect_delay).max(SHORTEST_DELAY),
        };
        complaints.into_result(Self { login, tls, confirms, exchanges, reconnect })
    }

    /// The index of the first exchange of this name.
    pub(super) fn exchange(&self, name: &str) -> Option<usize> {
        self.exchanges.iter().position(|exchange| exchange.name == name)
    }
}

// === impl InvalidSettings ===

impl InvalidSettings {
    fn short(&mut self, field: &str, text: &str) {
        if text.is_empty() || text.len() > SHORT {
            self.complain(field, format_args!("from 1 to {SHORT} bytes"), text.len());
        }
    }
}

// === impl RabbitLogin ===

impl fmt::Debug for RabbitLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitLogin")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("username", &self.username)
            .field("virtual_host", &self.virtual_host)
            .finish_non_exhaustive()
    }
}

// === impl Tls ===

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> RabbitLogin {
        RabbitLogin {
            host: "localhost".into(),
            port: 5672,
            username: "guest".into(),
            password: "a secret".into(),
            virtual_host: "/".into(),
            connection_name: "tests".into(),
        }
    }

    fn exchange(section: &str, name: &str, kind: &str) -> Exchange {
        Exchange { section: section.into(), name: name.into(), kind: kind.into(), durable: false }
    }

    fn settings(
        login: RabbitLogin,
        exchanges: Vec<Exchange>,
    ) -> Result<RabbitSettings, InvalidSettings> {
        let (delay, max) = (Duration::from_secs(2), Duration::from_secs(30));
        RabbitSettings::new(login, None, true, exchanges, delay, max)
    }

    #[test]
    fn every_unusable_setting_is_named() {
        let bad = RabbitLogin { host: String::new(), virtual_host: "v".repeat(256), ..login() };
        let complaints =
            settings(bad, vec![exchange("chat_msg_exchange", "", "topic")]).unwrap_err();
        assert_eq!(
            complaints.0,
            [
                "host: must be a host name or an address, got nothing",
                "virtual_host: must be from 1 to 255 bytes, got 256",
                "chat_msg_exchange.name: must be from 1 to 255 bytes, got 0",
            ]
        );
    }

    #[test]
    fn two_sections_may_name_one_exchange_but_not_differently() {
        let twins = |kind| {
            vec![
                exchange("chat_msg_exchange", "events", "topic"),
                exchange("presence_exchange", "events", kind),
            ]
        };
        assert_eq!(settings(login(), twins("topic")).unwrap().exchange("events"), Some(0));
        let complaints = settings(login(), twins("fanout")).unwrap_err().0;
        assert!(complaints[0].starts_with("presence_exchange: must be"), "{complaints:?}");
    }

    #[test]
    fn debug_output_shows_no_password() {
        let shown = format!("{:?}", settings(login(), Vec::new()).unwrap());
        assert!(shown.contains("guest") && !shown.contains("a secret"), "{shown}");
    }
}
