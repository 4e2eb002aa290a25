//! The errors of the AMQP client in words for an operator, and what they mean.

use std::borrow::Cow;

use event_pusher_tls::{Settable, explain};
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};
use lapin::{Error, ErrorKind};

use super::settings::Exchange;
use crate::fate;
use crate::message::Message;

/// A cause in words.
pub(super) type Cause = Cow<'static, str>;

/// What the end of a channel is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelEnd {
    /// The exchange does not exist.
    Missing,
    /// The exchange: this user may not write to it, or nobody may.
    Refused,
    /// One message: its size, or its routing key, which this user may not use as a topic.
    Message,
    /// What the broker said is none of AMQP.
    Unreadable,
    /// Something else, or nothing that is known.
    Otherwise,
}

/// How the broker begins when a user may write to an exchange, but not under this routing key.
/// <https://www.rabbitmq.com/docs/access-control#topic-authorisation>
const TOPIC: &str = "access to topic '";

/// The cause of an error, as in `404 NOT_FOUND - no exchange 'chat' in vhost '/'`. The texts of a
/// broker name users, virtual hosts and exchanges, never passwords or content. A topic is left out: it
/// is a routing key, which has a user of the chat in it.
pub(super) fn cause(error: &Error) -> Cause {
    match error.kind() {
        ErrorKind::ProtocolError(error) if explanation(error).starts_with(TOPIC) => {
            let rest = explanation(error).rsplit_once("' in exchange '");
            let exchange =
                rest.map_or(String::new(), |(_topic, rest)| format!(" in exchange '{rest}"));
            fate::cause(&format!("403 ACCESS_REFUSED - access to a topic{exchange}"))
        }
        ErrorKind::ProtocolError(error) => {
            fate::cause(&format!("{} {}", error.get_id(), error.get_message()))
        }
        ErrorKind::IOError(error) | ErrorKind::RuntimeShutdownError(error) => {
            let explained = explain(error.as_ref(), Settable::Section);
            explained.unwrap_or_else(|| fate::cause(&innermost(error)))
        }
        ErrorKind::ParsingError(_) => "an answer cannot be read".into(),
        ErrorKind::MissingHeartbeatError => "heartbeats are missing".into(),
        ErrorKind::InvalidConnectionState(_) => "connection is closed".into(),
        ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidChannel(_) => {
            "channel is closed".into()
        }
        _ => fate::cause(&error.to_string()),
    }
}

/// The cause of an error that is about an exchange.
pub(super) fn cause_at(exchange: &Exchange, error: &Error) -> Cause {
    format!("exchange {:?}: {}", exchange.name, cause(error)).into()
}

/// Whether the broker lets nobody in as this user, or not into this virtual host.
pub(super) fn refuses_login(error: &Error) -> bool {
    // 403 ACCESS_REFUSED, 530 NOT_ALLOWED: https://www.rabbitmq.com/amqp-0-9-1-reference
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.get_id(), 403 | 530))
}

/// Whether the broker ended the connection because of one channel too many, of its user or node.
pub(super) fn is_channel_limit(error: &Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    error.get_id() == 530 && explanation(error).starts_with("number of channels")
}

/// Whether the broker closed a channel because of this message: it names the routing key, or the
/// size.
pub(super) fn blames(error: &Error, message: &Message) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    let text = explanation(error);
    let routing_key = message.group.as_deref().unwrap_or_default();
    let topic = format!("{TOPIC}{routing_key}' in exchange '");
    let size = format!("message size {} is larger than ", message.body.len());
    // The broker cuts a long text.
    let cut = text.strip_suffix("...").is_some_and(|text| topic.starts_with(text));
    text.starts_with(&topic) || text.starts_with(&size) || cut
}

/// Whether the broker would cut a letter of this routing key in two when it refuses it as a topic:
/// it sends the first 252 bytes of its text, and `...`. What is left is no UTF-8, which ends the
/// connection.
pub(super) fn cut_in_two(routing_key: &str) -> bool {
    let left = 252 - "ACCESS_REFUSED - ".len() - TOPIC.len();
    routing_key.len() > left && !routing_key.is_char_boundary(left)
}

/// What follows the name of the error, as in `ACCESS_REFUSED - access to ...`.
fn explanation(error: &AMQPError) -> &str {
    let text = error.get_message().as_str();
    text.split_once(" - ").map_or(text, |(_name, explanation)| explanation)
}

fn innermost(error: &std::io::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

// === impl ChannelEnd ===

impl ChannelEnd {
    /// What this error means for those who used the channel.
    pub(super) fn of(error: &Error) -> Self {
        let error = match error.kind() {
            ErrorKind::ProtocolError(error) => error,
            ErrorKind::ParsingError(_) => return Self::Unreadable,
            _ => return Self::Otherwise,
        };
        let AMQPErrorKind::Soft(kind) = error.kind() else { return Self::Otherwise };
        match kind {
            AMQPSoftError::NOTFOUND => Self::Missing,
            AMQPSoftError::ACCESSREFUSED if explanation(error).starts_with(TOPIC) => Self::Message,
            AMQPSoftError::ACCESSREFUSED => Self::Refused,
            AMQPSoftError::PRECONDITIONFAILED => Self::Message,
            _ => Self::Otherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: AMQPSoftError, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    fn message(routing_key: &str, body: &str) -> Message {
        Message {
            destination: "chat".into(),
            body: body.to_owned().into(),
            attributes: Box::default(),
            group: Some(routing_key.into()),
        }
    }

    #[test]
    fn a_topic_that_is_refused_is_about_the_messages_that_have_it() {
        let text = "ACCESS_REFUSED - access to topic 'bad.1' in exchange 'chat' in vhost '/' refused \
                    for user 'writer'";
        let topic = error(AMQPSoftError::ACCESSREFUSED, text);
        assert_eq!(ChannelEnd::of(&topic), ChannelEnd::Message);
        assert!(blames(&topic, &message("bad.1", "")));
        assert_eq!(
            cause(&topic),
            "403 ACCESS_REFUSED - access to a topic in exchange 'chat' in vhost '/' refused for \
             user 'writer'"
        );
        assert!(!blames(&topic, &message("bad.10", "")) && !blames(&topic, &message("bad", "")));
        let exchange =
            "ACCESS_REFUSED - access to exchange 'chat' in vhost '/' refused for user 'w'";
        assert_eq!(
            ChannelEnd::of(&error(AMQPSoftError::ACCESSREFUSED, exchange)),
            ChannelEnd::Refused
        );
    }

    #[test]
    fn a_topic_is_known_although_the_broker_has_cut_its_text() {
        let long = "a".repeat(250);
        let text = format!("ACCESS_REFUSED - access to topic '{long}");
        let cut = error(AMQPSoftError::ACCESSREFUSED, &format!("{}...", &text[..252]));
        assert!(blames(&cut, &message(&long, "")));
        assert_eq!(cause(&cut), "403 ACCESS_REFUSED - access to a topic");
        assert!(!blames(&cut, &message(&long[..100], "")));
    }

    #[test]
    fn a_letter_that_would_be_cut_in_two_is_known() {
        let key = |before| format!("{}é", "a".repeat(before));
        assert_eq!([216, 217, 218].map(|before| cut_in_two(&key(before))), [false, true, false]);
        assert!(!cut_in_two("é"));
    }

    #[test]
    fn a_size_that_is_refused_is_about_the_messages_that_have_it() {
        let text = "PRECONDITION_FAILED - message size 20 is larger than configured max size 10";
        let size = error(AMQPSoftError::PRECONDITIONFAILED, text);
        assert_eq!(ChannelEnd::of(&size), ChannelEnd::Message);
        assert!(blames(&size, &message("a", &"x".repeat(20))));
        assert!(
            !blames(&size, &message("a", "xx")) && !blames(&size, &message("a", &"x".repeat(200)))
        );
    }
}
