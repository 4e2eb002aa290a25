//! Any answer: whatever it says, it has one meaning, and the text about it is short and plain.

use http::StatusCode;
use http::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

use super::{CODE_LIMIT, ErrorAnswer, Page, batch_published, published};
use crate::fate::Failure;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:topic";

/// The longest text about an answer: its status, a code, and a remedy that names the topic.
const LONGEST: usize = CODE_LIMIT + 200;

/// Two bytes for the status, one for the number of messages, a line for `Date` and `Retry-After`, and
/// the body.
pub(crate) fn fuzz(data: &[u8]) {
    let [high, low, count, rest @ ..] = data else { return };
    let status = StatusCode::from_u16(100 + u16::from_be_bytes([*high, *low]) % 900);
    let status = status.expect("from 100 to 999");
    let (line, body) = rest.split_at(rest.iter().position(|&b| b == b'\n').unwrap_or(0));
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(line) {
        headers.insert(DATE, value.clone());
        headers.insert(RETRY_AFTER, value);
    }
    let text = String::from_utf8_lossy(body).into_owned();
    let count = usize::from(*count % 11);
    if let Some(results) = batch_published(&text, count, TOPIC) {
        assert_eq!(results.len(), count);
        results.into_iter().filter_map(Result::err).for_each(|failure| check(&failure));
    }
    let _ = published(&text);
    let answer = ErrorAnswer::read(status, &headers, &text);
    let (permanent, unknown) = (answer.is_permanent(), answer.names_unknown_action());
    assert!(!(unknown && answer.may_be_of_the_action()), "one of the two says it");
    let failure = answer.into_failure(TOPIC);
    assert_eq!(permanent, matches!(failure, Failure::Permanent { .. }));
    check(&failure);
    let page = Page { status, headers, text };
    assert!(page.refused_signature().is_none() || !status.is_success());
    assert_eq!(page.into_text().is_ok(), status.is_success());
}

fn check(failure: &Failure) {
    let told = failure.to_string();
    assert!(told.len() <= LONGEST && !told.contains(char::is_control), "{told:?}");
}
