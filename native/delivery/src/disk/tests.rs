use super::*;
use crate::message::{Attribute, AttributeValue};

/// What a message has in its body whose reading panics.
pub(crate) const PANIC: &[u8] = b"as the test wants";

pub(super) fn provoke(payload: &[u8]) {
    assert!(payload.windows(PANIC.len()).all(|bytes| bytes != PANIC), "as the test wants");
}

fn message() -> Message {
    let attribute = |name: &str, value| Attribute { name: name.into(), value };
    Message {
        destination: "topic".into(),
        body: "body \u{1F4AC}".into(),
        attributes: Box::new([
            attribute("text", AttributeValue::String("value".into())),
            attribute("number", AttributeValue::Number("-1.5".into())),
            attribute("bytes", AttributeValue::Binary([0, 255].into())),
        ]),
        group: Some("alice".into()),
    }
}

fn noted(message: &Message) -> Vec<u8> {
    let mut note = Vec::new();
    note::write(message, &mut note);
    note
}

#[test]
fn a_message_is_read_as_it_was_written() {
    let plain = Message { attributes: Box::default(), group: None, ..message() };
    for message in [message(), plain] {
        assert_eq!(note::read(&noted(&message)), Some(message));
    }
}

#[test]
fn what_is_no_message_is_none() {
    let note = noted(&message());
    for length in 0..note.len() {
        assert_eq!(note::read(&note[..length]), None, "{length} bytes");
    }
    assert_eq!(note::read(&[&note[..], &[0]].concat()), None, "with more than a message");
    let another_form = [&[2], &note[1..]].concat();
    assert_eq!(note::read(&another_form), None);
}
