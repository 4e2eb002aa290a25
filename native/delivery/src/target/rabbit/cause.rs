//! The errors of the AMQP client in words for an operator, and what they mean.

use std::borrow::Cow;

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{Error, ErrorKind};

use crate::{outcome, tls};

/// Why the broker closed a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// The exchange does not exist.
    Missing,
    /// This user may not do that.
    Refused,
    /// The request cannot be met, as by a message that is too large.
    Impossible,
    /// For another reason, or for none that is known.
    Otherwise,
}

/// The cause of an error, as in `404 NOT_FOUND - no exchange 'chat' in vhost '/'`. The texts of a
/// broker name users, virtual hosts and exchanges, never passwords or content.
pub(super) fn cause(error: &Error) -> Cow<'static, str> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => {
            outcome::cause(&format!("{} {}", error.get_id(), error.get_message()))
        }
        ErrorKind::IOError(error) | ErrorKind::RuntimeShutdownError(error) => {
            tls::explain(error.as_ref()).unwrap_or_else(|| outcome::cause(&innermost(error)))
        }
        ErrorKind::MissingHeartbeatError => "heartbeats are missing".into(),
        ErrorKind::InvalidConnectionState(_) => "connection is closed".into(),
        ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidChannel(_) => {
            "channel is closed".into()
        }
        _ => outcome::cause(&error.to_string()),
    }
}

/// Whether the broker knows what is wanted and does not permit it: the user, the virtual host.
pub(super) fn is_refusal(error: &Error) -> bool {
    // 403 ACCESS_REFUSED, 530 NOT_ALLOWED: https://www.rabbitmq.com/amqp-0-9-1-reference
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.get_id(), 403 | 530))
}

/// What the end of a channel means for those who used it.
pub(super) fn closed(error: &Error) -> Closed {
    let ErrorKind::ProtocolError(error) = error.kind() else { return Closed::Otherwise };
    match error.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Closed::Missing,
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Closed::Refused,
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => Closed::Impossible,
        _ => Closed::Otherwise,
    }
}

fn innermost(error: &std::io::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
