//! Anything that a broker may say: a greeting, a frame, the text of an error.

use amq_protocol::frame::parse_frame;
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};
use lapin::types::ShortString;
use lapin::{Error, ErrorKind};

use super::cause::{ChannelEnd, blames, cause, is_channel_limit, refuses_login};
use super::greeting;
use crate::message::Message;

/// The kinds of errors that mean something here.
const SOFT: [AMQPSoftError; 4] = [
    AMQPSoftError::NOTFOUND,
    AMQPSoftError::ACCESSREFUSED,
    AMQPSoftError::PRECONDITIONFAILED,
    AMQPSoftError::NOCONSUMERS,
];

/// The first byte tells what it is: frames, or an error about a message whose routing key is the first
/// line.
pub(crate) fn fuzz(data: &[u8]) {
    let [kind, rest @ ..] = data else { return };
    if let Some(beginning) = rest.first_chunk::<4>() {
        let _ = greeting::name(*beginning);
    }
    if *kind < 128 { frames(rest) } else { error(*kind, rest) }
}

/// As the AMQP client reads them from its buffer, one after the other.
fn frames(mut data: &[u8]) {
    while let Ok((rest, _)) = parse_frame(data) {
        assert!(rest.len() < data.len(), "a frame has some bytes");
        data = rest;
    }
}

fn error(kind: u8, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (routing_key, text) = text.split_once('\n').unwrap_or(("alice.chat", &text));
    let said: ShortString = text.chars().take(60).collect::<String>().into();
    let kind = AMQPErrorKind::Soft(SOFT[usize::from(kind) % SOFT.len()].clone());
    let error = Error::from(ErrorKind::ProtocolError(AMQPError::new(kind, said)));
    let message = Message {
        destination: "exchange".into(),
        body: "body".into(),
        attributes: Box::default(),
        group: Some(routing_key.into()),
    };
    let _ = (ChannelEnd::of(&error), blames(&error, &message));
    let _ = (refuses_login(&error), is_channel_limit(&error));
    let told = cause(&error);
    assert!(told.chars().count() <= 200 && !told.contains(char::is_control), "{told:?}");
}
