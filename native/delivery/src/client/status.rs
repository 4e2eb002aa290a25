//! What the head of an answer says about another attempt: its status, and how long to wait. The
//! wait itself, and its limit, are the business of the pool.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};

/// What a status says, if nothing else is known of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The receiver has the message.
    Taken,
    /// Another attempt would have the same answer.
    Refused,
    /// Another attempt may succeed.
    Later,
}

/// The table of statuses, <https://www.rfc-editor.org/rfc/rfc9110#section-15>.
pub(crate) fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Taken,
        // Redirects are not followed; the other refusals would repeat themselves.
        300..=407 | 409..=428 | 430..=499 | 501 => Verdict::Refused,
        _ => Verdict::Later,
    }
}

/// Whether an answer that wants [another attempt](Verdict::Later) says that the receiver may be away.
/// One that asks to wait does not, nor one that is about the client, as 408 and 429.
pub(crate) fn may_be_away(status: StatusCode, retry_after: Option<Duration>) -> bool {
    !status.is_client_error() && retry_after.is_none()
}

/// The waiting time that a `Retry-After` header asks for, given in seconds or as a date. Seconds
/// may have a fraction, which HTTP does not permit and some receivers send; it is rounded up.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let seconds: f64 = text.parse().ok()?;
        return Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(Duration::MAX));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn success_is_2xx_and_nothing_else() {
        let table: [(_, &[u16]); 3] = [
            (Verdict::Taken, &[200, 201, 202, 204, 299]),
            (
                Verdict::Refused,
                &[300, 301, 302, 304, 400, 401, 403, 404, 405, 410, 413, 422, 428, 431, 499, 501],
            ),
            (Verdict::Later, &[101, 408, 429, 500, 502, 503, 504, 507, 599, 600, 999]),
        ];
        for (wanted, codes) in table {
            for &code in codes {
                assert_eq!(verdict(StatusCode::from_u16(code).unwrap()), wanted, "{code}");
            }
        }
    }

    #[test]
    fn who_asks_to_wait_is_not_away() {
        for (status, asked, wanted) in [
            (500, None, true),
            (503, None, true),
            (999, None, true),
            (503, Some(Duration::from_secs(1)), false),
            (408, None, false),
            (429, None, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(may_be_away(status, asked), wanted, "{status} {asked:?}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Sun, 06 Nov 1994 08:48:37 GMT"), Some(Duration::ZERO), "in the past");
        assert_eq!(read("1.5"), Some(Duration::from_secs(2)), "not earlier than asked for");
        assert_eq!(read("0.0"), Some(Duration::ZERO));
        assert_eq!(read("99999999999999999999999"), Some(Duration::MAX));
        for text in ["soon", "", "1.5.2", ".", "-1", "1e3", "inf", "1.5 s"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
