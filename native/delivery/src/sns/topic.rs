//! What the name of a topic says.

/// How the names of FIFO topics end, and no others. Erlang decides by the same rule whether a message
/// gets a group: `message/4` in `mod_event_pusher_sns`.
const FIFO: &str = ".fifo";

/// The longest name of a topic: <https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html>.
const LIMIT: usize = 256;

/// Whether messages to this topic, given as its ARN, need a group and an id.
pub(super) fn is_fifo(arn: &str) -> bool {
    arn.ends_with(FIFO)
}

/// Whether SNS permits this name for a topic.
pub(super) fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(FIFO).unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() <= LIMIT && !stem.is_empty() && stem.bytes().all(plain)
}
