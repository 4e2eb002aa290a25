//! Checked settings of the RabbitMQ target.

use std::fmt;
use std::net::IpAddr;
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
    pub(super) declare: Declare,
    pub(super) exchanges: Vec<Exchange>,
    /// How many batches may be under way at once.
    pub(super) workers: usize,
    /// The waits between attempts to connect.
    pub(super) reconnect: RetrySettings,
    /// How often and when a message is published again that the broker did not take.
    pub(super) nack: RetrySettings,
}

/// What is wanted of a RabbitMQ target, before it is checked.
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    /// The broker and the user.
    pub login: RabbitLogin,
    /// How the connection is encrypted, if it is.
    pub tls: Option<TlsOptions>,
    /// Whether the broker confirms messages.
    pub confirms: bool,
    /// How exchanges are declared.
    pub declare: Declare,
    /// The exchanges, no two of one name with different properties.
    pub exchanges: Vec<Exchange>,
    /// The workers of the pool: how many channels are wanted depends on them.
    pub workers: usize,
    /// The first wait between attempts to connect.
    pub reconnect_delay: Duration,
    /// The longest one, or `reconnect_delay` if that is longer.
    pub reconnect_max: Duration,
    /// How often and when a message is published again that the broker did not take.
    pub nack: RetrySettings,
}

/// What is done about an exchange before something is published to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declare {
    /// It is made, unless there is one like it.
    Active,
    /// The broker is asked whether there is one of its name.
    Passive,
    /// Nothing.
    None,
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
    /// Checks options, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Every option that cannot be used is named; of the password only that it is missing.
    pub fn new(options: RabbitOptions) -> Result<Self, InvalidSettings> {
        let RabbitOptions { login, tls, confirms, declare, exchanges, workers, .. } = options;
        let RabbitOptions { reconnect_delay, reconnect_max, nack, .. } = options;
        let mut complaints = InvalidSettings::default();
        if let Some(got) = no_host(&login.host) {
            // Without the text, which may hold a password.
            let allowed = "a host name or an address alone, as port, user and virtual_host have \
                           options of their own";
            complaints.complain("host", allowed, got);
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
        let tls = tls.as_ref().and_then(|options| {
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
        complaints.into_result(Self {
            login,
            tls,
            confirms,
            declare,
            exchanges,
            workers,
            reconnect,
            nack,
        })
    }

    /// The index of the first exchange of this name.
    pub(super) fn exchange(&self, name: &str) -> Option<usize> {
        self.exchanges.iter().position(|exchange| exchange.name == name)
    }
}

/// What the text is, if it cannot be a host name or an address.
fn no_host(text: &str) -> Option<&'static str> {
    let address = text.parse::<IpAddr>().is_ok();
    match text {
        "" => Some("nothing"),
        _ if address => None,
        _ if text.contains("://") => Some("a URL"),
        _ if text.contains('@') => Some("a user"),
        _ if text.contains('/') => Some("a path"),
        _ if text.starts_with('[') => Some("an address in brackets"),
        _ if text.contains(':') => Some("a port"),
        _ if text.contains(char::is_whitespace) => Some("a blank"),
        _ => None,
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
        RabbitSettings::new(RabbitOptions {
            login,
            tls: None,
            confirms: true,
            declare: Declare::Active,
            exchanges,
            workers: 10,
            reconnect_delay: Duration::from_secs(2),
            reconnect_max: Duration::from_secs(30),
            nack: RetrySettings { count: None, base: Duration::ZERO, max: Duration::ZERO },
        })
    }

    #[test]
    fn every_unusable_setting_is_named() {
        let bad = RabbitLogin { host: String::new(), virtual_host: "v".repeat(256), ..login() };
        let complaints =
            settings(bad, vec![exchange("chat_msg_exchange", "", "topic")]).unwrap_err();
        assert_eq!(
            complaints.0,
            [
                "host: must be a host name or an address alone, as port, user and virtual_host \
                 have options of their own, got nothing",
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
    fn a_host_that_is_more_than_one_is_told_without_the_password_that_it_may_hold() {
        let complaint = |host: &str| {
            let given = RabbitLogin { host: host.into(), ..login() };
            settings(given, Vec::new()).err().map(|complaints| complaints.to_string())
        };
        for (host, got) in [
            ("amqp://guest:secretword@mq.example.com", "a URL"),
            ("guest:secretword@mq.example.com", "a user"),
            ("mq.example.com:5672", "a port"),
            ("mq.example.com/chat", "a path"),
            ("[::1]", "an address in brackets"),
            (" mq.example.com", "a blank"),
        ] {
            let complaint = complaint(host).unwrap();
            assert!(complaint.starts_with("host: ") && complaint.ends_with(got), "{complaint}");
            assert!(!complaint.contains("secretword"));
        }
        for host in ["mq.example.com", "mq", "under_score.test.", "127.0.0.1", "::1", "fe80::1"] {
            assert_eq!(complaint(host), None, "{host}");
        }
    }

    #[test]
    fn debug_output_shows_no_password() {
        let shown = format!("{:?}", settings(login(), Vec::new()).unwrap());
        assert!(shown.contains("guest") && !shown.contains("a secret"), "{shown}");
    }
}
