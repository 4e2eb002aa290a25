//! Checked settings of the RabbitMQ backend.

use std::time::Duration;

use event_pusher_settings::{InvalidSettings, Secret};
use event_pusher_tls::{Tls, TlsOptions};
use serde::Deserialize;

use super::nodes::{Node, no_host};
use crate::backoff::RetrySettings;

/// AMQP's short strings: names of exchanges and virtual hosts, routing keys.
pub(super) const SHORT: usize = 255;

/// The shortest wait between two attempts to connect.
const SHORTEST_DELAY_MS: u64 = 100;

/// Where, as whom and to which exchanges to publish, before it is checked.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitOptions {
    /// Host name or address.
    pub host: String,
    /// The nodes of a cluster, in its place: each a host name or an address, with a port or not.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// TCP port, of all nodes that have none of their own.
    pub port: u16,
    /// Name of the user.
    pub username: String,
    /// Never shown.
    pub password: Secret,
    /// The virtual host that the exchanges lie in.
    pub virtual_host: String,
    /// What the broker shows as the name of the connection.
    pub connection_name: String,
    /// How the connection is encrypted, if it is. Not to be left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub tls: Option<TlsOptions>,
    /// Whether the broker confirms messages.
    pub confirms: bool,
    /// Whether the broker tells of messages that no queue takes.
    pub mandatory: bool,
    /// How exchanges are declared.
    pub declare: Declare,
    /// The exchanges, no two of one name with different properties.
    pub exchanges: Vec<Exchange>,
    /// The first wait between attempts to connect.
    pub reconnect_delay_ms: u64,
    /// The longest one, or `reconnect_delay_ms` if that is longer.
    pub reconnect_max_ms: u64,
    /// How often a message is published again that the broker did not take, unless the pool bounds
    /// its age; `None` sets no end. Not to be left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub nack_retry_count: Option<u64>,
    /// About how long to wait before that.
    pub nack_retry_time_ms: u64,
    /// The longest wait that is computed.
    pub nack_retry_max_ms: u64,
}

/// Where, as whom and to which exchanges to publish.
#[derive(Clone, Debug)]
pub struct RabbitSettings {
    pub(super) login: Login,
    pub(super) tls: Option<Tls>,
    pub(super) confirms: bool,
    pub(super) mandatory: bool,
    pub(super) declare: Declare,
    pub(super) exchanges: Vec<Exchange>,
    /// How many batches may be under way at once.
    pub(super) workers: usize,
    /// The waits between attempts to connect.
    pub(super) reconnect: RetrySettings,
    /// How often and when a message is published again that the broker did not take.
    pub(super) nack: RetrySettings,
}

/// What is done about an exchange before something is published to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declare {
    /// It is made, unless there is one like it.
    Active,
    /// The broker is asked whether there is one of its name.
    Passive,
    /// Nothing.
    None,
}

/// The broker and the user.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// One at least.
    pub(super) nodes: Vec<Node>,
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) virtual_host: String,
    pub(super) connection_name: String,
}

/// One exchange, as it is declared.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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

// === impl RabbitOptions ===

impl RabbitOptions {
    /// Checks options, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Every option that cannot be used is named; of the password only that it is missing.
    pub(crate) fn check(
        self,
        workers: usize,
        retry_max_age: Option<Duration>,
    ) -> Result<RabbitSettings, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let nodes = self.nodes(&mut complaints);
        short(&mut complaints, "virtual_host", &self.virtual_host);
        if self.mandatory && !self.confirms {
            complaints.complain("mandatory", "false without confirms_enabled", true);
        }
        check_exchanges(&mut complaints, &self.exchanges);
        let tls = self.tls.as_ref().and_then(|options| complaints.keep(options.check()));
        complaints.into_result(RabbitSettings {
            reconnect: self.reconnect(),
            nack: RetrySettings::new(
                self.nack_retry_count,
                retry_max_age,
                self.nack_retry_time_ms,
                self.nack_retry_max_ms,
            ),
            login: Login {
                nodes,
                username: self.username,
                password: self.password,
                virtual_host: self.virtual_host,
                connection_name: self.connection_name,
            },
            tls,
            confirms: self.confirms,
            mandatory: self.mandatory,
            declare: self.declare,
            exchanges: self.exchanges,
            workers,
        })
    }

    /// What is complained about is shown without its text, which may hold a password.
    fn nodes(&self, complaints: &mut InvalidSettings) -> Vec<Node> {
        if self.hosts.is_empty() {
            if let Some(got) = no_host(&self.host) {
                let allowed = "a host name or an address alone, as port, user and virtual_host \
                               have options of their own";
                complaints.complain("host", allowed, got);
            }
            return vec![Node { host: self.host.clone(), port: self.port }];
        }
        let allowed = "host names or addresses, each with a port or not, as in \"mq1.example.com\", \
                       \"10.0.0.2:5673\" or \"[2001:db8::1]:5672\"";
        let mut nodes = Vec::new();
        for (index, text) in self.hosts.iter().enumerate() {
            match Node::parse(text, self.port) {
                Ok(node) if nodes.contains(&node) => {
                    let got = format_args!("{node} twice");
                    complaints.complain("hosts", "different nodes", got);
                }
                Ok(node) => nodes.push(node),
                Err(got) => {
                    let got = format_args!("{got} as number {}", index + 1);
                    complaints.complain("hosts", allowed, got);
                }
            }
        }
        nodes
    }

    /// A delay of zero is legal, and not meant as a flood.
    fn reconnect(&self) -> RetrySettings {
        let first = self.reconnect_delay_ms.max(SHORTEST_DELAY_MS);
        RetrySettings::new(None, None, first, self.reconnect_max_ms.max(first))
    }
}

fn check_exchanges(complaints: &mut InvalidSettings, exchanges: &[Exchange]) {
    for (index, exchange) in exchanges.iter().enumerate() {
        let Exchange { section, name, kind, durable } = exchange;
        short(complaints, &format!("{section}.name"), name);
        short(complaints, &format!("{section}.type"), kind);
        let twin = exchanges[..index].iter().find(|earlier| earlier.name == *name);
        if let Some(twin) = twin.filter(|twin| (&twin.kind, &twin.durable) != (kind, durable)) {
            let allowed = format!("of type and durability of {}, its namesake", twin.section);
            let got = format_args!("{kind:?}, durable = {durable}");
            complaints.complain(section, allowed, got);
        }
    }
}

fn short(complaints: &mut InvalidSettings, field: &str, text: &str) {
    if text.is_empty() || text.len() > SHORT {
        complaints.complain(field, format_args!("from 1 to {SHORT} bytes"), text.len());
    }
}

// === impl RabbitSettings ===

impl RabbitSettings {
    /// The index of the first exchange of this name.
    pub(super) fn exchange(&self, name: &str) -> Option<usize> {
        self.exchanges.iter().position(|exchange| exchange.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(exchanges: Vec<Exchange>) -> RabbitOptions {
        RabbitOptions {
            host: "localhost".into(),
            hosts: Vec::new(),
            port: 5672,
            username: "guest".into(),
            password: "a secret".into(),
            virtual_host: "/".into(),
            connection_name: "tests".into(),
            tls: None,
            confirms: true,
            mandatory: true,
            declare: Declare::Active,
            exchanges,
            reconnect_delay_ms: 2000,
            reconnect_max_ms: 30_000,
            nack_retry_count: None,
            nack_retry_time_ms: 0,
            nack_retry_max_ms: 0,
        }
    }

    fn exchange(section: &str, name: &str, kind: &str) -> Exchange {
        Exchange { section: section.into(), name: name.into(), kind: kind.into(), durable: false }
    }

    #[test]
    fn every_unusable_setting_is_named() {
        let bad = RabbitOptions {
            host: String::new(),
            virtual_host: "v".repeat(256),
            ..options(vec![exchange("chat_msg_exchange", "", "topic")])
        };
        let complaints = bad.check(1, None).unwrap_err();
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
        assert_eq!(options(twins("topic")).check(1, None).unwrap().exchange("events"), Some(0));
        let complaints = options(twins("fanout")).check(1, None).unwrap_err().0;
        assert!(complaints[0].starts_with("presence_exchange: must be"), "{complaints:?}");
    }

    #[test]
    fn a_host_that_is_more_than_one_is_told_without_the_password_that_it_may_hold() {
        let complaint = |host: &str| {
            let given = RabbitOptions { host: host.into(), ..options(Vec::new()) };
            given.check(1, None).err().map(|complaints| complaints.to_string())
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
    fn each_host_that_is_no_node_is_told() {
        let hosts = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
            RabbitOptions { hosts, ..options(Vec::new()) }.check(1, None)
        };
        let nodes = hosts(&["mq1", "mq2:5673"]).unwrap().login.nodes;
        assert_eq!(
            nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["mq1:5672", "mq2:5673"]
        );
        let complaints =
            hosts(&["mq1", "mq1:5672", "guest:secretword@mq2", "mq3:x"]).unwrap_err().0;
        assert_eq!(complaints[0], "hosts: must be different nodes, got mq1:5672 twice");
        assert!(complaints[1].ends_with("got a user as number 3"), "{complaints:?}");
        assert!(complaints[2].ends_with("got a port that is none as number 4"), "{complaints:?}");
    }

    #[test]
    fn debug_output_shows_no_password() {
        let shown = format!("{:?}", options(Vec::new()).check(1, None).unwrap());
        assert!(shown.contains("guest") && !shown.contains("a secret"), "{shown}");
    }
}
