//! How a message is written down.

use crate::message::Message;

/// The first byte of each: which form the rest has.
const FORM: u8 = 1;

pub(super) fn write(message: &Message, out: &mut Vec<u8>) {
    out.push(FORM);
    // It fails only where a writer does, and memory does not.
    let _ = postcard::to_io(message, out);
}

/// `None` for what nobody wrote here.
pub(super) fn read(note: &[u8]) -> Option<Message> {
    let (&FORM, rest) = note.split_first()? else { return None };
    let (message, rest) = postcard::take_from_bytes(rest).ok()?;
    rest.is_empty().then_some(message)
}
