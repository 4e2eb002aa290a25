//! Any head of an answer: what is remembered of its status is what a parser reads, and the time to
//! wait is none or some.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use super::status::{Verdict, retry_after, verdict};
use super::wire::Seen;

/// The bytes as they come through a socket.
pub(crate) fn fuzz(data: &[u8]) {
    let seen = Seen::default();
    data.chunks(7).for_each(|part| seen.add(part));
    let status = seen.status();
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut headers);
    if data.len() <= 4096 && matches!(response.parse(data), Ok(httparse::Status::Complete(_))) {
        let code = response.code.filter(|code| *code == 101 || *code >= 200);
        assert!(code.is_none() || status.map(|status| status.as_u16()) == code, "{status:?}");
    }
    if let Some(status) = status {
        assert_eq!(verdict(status) == Verdict::Taken, status.is_success());
    }
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    let long_ago = SystemTime::UNIX_EPOCH;
    let asked = retry_after(&headers, long_ago).zip(retry_after(&headers, SystemTime::now()));
    assert!(asked.is_none_or(|(then, now)| then >= now && now >= Duration::ZERO));
}
