//! The nodes of a broker: how they are written in the configuration, and whose turn it is.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;

/// Where a node of the broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Whose turn it is to be connected to: each in the order given, beginning with any. So the node that
/// was lost comes last, and what many clients lose at once spreads over the others.
pub(super) struct Turns<'a> {
    nodes: &'a [Node],
    next: usize,
    /// How many have failed since somebody was connected.
    failed: usize,
}

/// What the text is, if it cannot be a host name or an address.
pub(super) fn no_host(text: &str) -> Option<&'static str> {
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

// === impl Node ===

impl Node {
    /// A host name or an address, with a port behind it or not.
    ///
    /// # Errors
    ///
    /// What the text is instead; never the text, which may hold a password.
    pub(super) fn parse(text: &str, port: u16) -> Result<Self, &'static str> {
        if text.parse::<IpAddr>().is_ok() {
            return Ok(Self { host: text.to_owned(), port });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) if no_host(text) == Some("a port") || host.ends_with(']') => {
                (host, digits.parse().map(NonZeroU16::get).map_err(|_| "a port that is none")?)
            }
            _ => (text, port),
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = bare.filter(|bare| bare.parse::<IpAddr>().is_ok()).unwrap_or(host);
        match no_host(host) {
            None => Ok(Self { host: host.to_owned(), port }),
            Some(other) => Err(other),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

// === impl Turns ===

impl<'a> Turns<'a> {
    /// There is a node at least.
    pub(super) fn new(nodes: &'a [Node]) -> Self {
        Self { nodes, next: fastrand::usize(..nodes.len()), failed: 0 }
    }

    pub(super) fn next(&mut self) -> &'a Node {
        let node = &self.nodes[self.next];
        self.next = (self.next + 1) % self.nodes.len();
        node
    }

    pub(super) fn connected(&mut self) {
        self.failed = 0;
    }

    /// Whether all have failed by now, so that it is time to wait.
    pub(super) fn all_have_failed(&mut self) -> bool {
        self.failed += 1;
        self.failed.is_multiple_of(self.nodes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_its_own_port_or_that_of_all() {
        for (text, shown) in [
            ("mq1", "mq1:5672"),
            ("mq1.example.com:5673", "mq1.example.com:5673"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("10.0.0.1", "10.0.0.1:5672"),
            ("2001:db8::1", "[2001:db8::1]:5672"),
            ("[2001:db8::1]", "[2001:db8::1]:5672"),
            ("[2001:db8::1]:5673", "[2001:db8::1]:5673"),
        ] {
            assert_eq!(Node::parse(text, 5672).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_node_is_named_without_its_text() {
        for (text, what) in [
            ("", "nothing"),
            ("amqp://guest:secretword@mq1", "a URL"),
            ("guest:secretword@mq1:5672", "a user"),
            ("mq1:5672/chat", "a path"),
            ("mq1:", "a port that is none"),
            ("mq1:0", "a port that is none"),
            ("mq1:65536", "a port that is none"),
            ("[mq1]:5672", "an address in brackets"),
            (":5672", "nothing"),
            ("mq1 :5672", "a blank"),
        ] {
            assert_eq!(Node::parse(text, 5672), Err(what), "{text:?}");
        }
    }

    #[test]
    fn the_node_that_was_lost_comes_last() {
        let nodes: Vec<_> = (1..=3).map(|port| Node { host: "mq".into(), port }).collect();
        let mut turns = Turns::new(&nodes);
        let lost = turns.next();
        turns.connected();
        assert_ne!(turns.next(), lost);
        assert!(!turns.all_have_failed());
        assert_ne!(turns.next(), lost);
        assert!(!turns.all_have_failed());
        assert_eq!(turns.next(), lost);
        assert!(turns.all_have_failed());
        assert!(!turns.all_have_failed(), "the next round has begun");
    }
}
