//! What the programs in `native/fuzz` call: the readers of what comes from outside, which are private
//! else. It exists with `--cfg fuzzing` only.

/// An answer of SNS.
pub fn sns_answer(data: &[u8]) {
    crate::sns::fuzz(data);
}

/// The head of an answer over HTTP/1.1.
pub fn answer_head(data: &[u8]) {
    crate::client::fuzzing::fuzz(data);
}

/// Attributes of a message that is to be posted.
pub fn headers(data: &[u8]) {
    crate::http::fuzzing::fuzz(data);
}

/// What a broker says.
pub fn amqp(data: &[u8]) {
    crate::rabbit::fuzzing::fuzz(data);
}
