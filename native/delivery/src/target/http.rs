//! HTTP: one `POST` per message, its attributes as headers.
//!
//! The status of the answer decides; its body is read for the sake of the connection, and not
//! further than an answer can reasonably be.

mod settings;

use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use reqwest::Response;
use tokio::task::yield_now;
use url::Url;

use crate::client::{HttpClient, transport_failure};
use crate::message::{Accepted, Attribute};
use crate::outcome::Failure;
use crate::retry_after::retry_after;
use crate::target::Target;
pub use settings::HttpSettings;

/// What is read of an answer. Of a longer one the connection is given up instead.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Posts to one URL.
#[derive(Debug)]
pub struct HttpTarget {
    client: HttpClient,
    url: Url,
}

// === impl HttpTarget ===

impl HttpTarget {
    /// A target that posts to the URL of the settings through the given client.
    pub fn new(settings: HttpSettings, client: HttpClient) -> Self {
        Self { client, url: settings.url }
    }

    async fn post(&self, accepted: &Accepted) -> Result<(), Failure> {
        let body = Bytes::clone(&accepted.message.body);
        let mut headers = headers(&accepted.message.attributes)?;
        // The client says nothing about an empty body; some receivers insist on its length.
        headers.insert(CONTENT_LENGTH, body.len().into());
        let request = self.client.post(&self.url).headers(headers).body(body);
        let response = request.send().await.map_err(|error| transport_failure(&error))?;
        let result = verdict(response.status(), response.headers());
        drain(response).await;
        result
    }
}

impl Target for HttpTarget {
    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(batch.len());
        for accepted in batch {
            results.push(self.post(accepted).await);
        }
        results
    }
}

/// The headers that the attributes stand for, in their order. Those about the connection are the
/// client's own affair.
fn headers(attributes: &[Attribute]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(attributes.len());
    for attribute in attributes {
        let name = HeaderName::from_bytes(attribute.name.as_bytes())
            .map_err(|_| Failure::permanent("a header has an invalid name"))?;
        if matches!(name, CONNECTION | CONTENT_LENGTH | TRANSFER_ENCODING) {
            continue;
        }
        let value = HeaderValue::from_bytes(attribute.value.as_bytes())
            .map_err(|_| Failure::permanent("a header has an invalid value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What a status means, <https://www.rfc-editor.org/rfc/rfc9110#section-15>.
fn verdict(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    let detail = status.as_str().to_owned();
    match status.as_u16() {
        200..=299 => Ok(()),
        // Redirects are not followed; the other refusals would repeat themselves.
        300..=407 | 409..=428 | 430..=499 | 501 => Err(Failure::permanent(detail)),
        _ => {
            let retry_after = retry_after(headers, SystemTime::now());
            Err(Failure::Transient { detail: detail.into(), retry_after })
        }
    }
}

/// Reads the rest of an answer, so that its connection can be used again. The time limit of the
/// request holds for this, too.
async fn drain(mut response: Response) {
    let mut left = ANSWER_LIMIT;
    while let Ok(Some(chunk)) = response.chunk().await {
        let Some(rest) = left.checked_sub(chunk.len()) else { return };
        left = rest;
    }
    // The task of the connection has to see the end as well. Without this, the next request would
    // find the connection still taken and open another one.
    yield_now().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::AttributeValue;

    fn attribute(name: &str, value: &str) -> Attribute {
        Attribute { name: name.into(), value: AttributeValue::Binary(value.as_bytes().into()) }
    }

    #[test]
    fn success_is_2xx_and_nothing_else() {
        let verdict = |code| verdict(StatusCode::from_u16(code).unwrap(), &HeaderMap::new());
        for code in [200, 201, 202, 204, 299] {
            assert_eq!(verdict(code), Ok(()), "{code}");
        }
        for code in [300, 301, 302, 304, 400, 401, 403, 404, 405, 410, 413, 422, 428, 431, 499, 501]
        {
            assert!(matches!(verdict(code), Err(Failure::Permanent { .. })), "{code}");
        }
        for code in [408, 429, 500, 502, 503, 504, 507, 599] {
            assert!(matches!(verdict(code), Err(Failure::Transient { .. })), "{code}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_may_repeat() {
        let given =
            [attribute("X-Tag", "1"), attribute("x-tag", "2"), attribute("content-type", "a/b")];
        let headers = headers(&given).unwrap();
        let tags: Vec<_> = headers.get_all("x-tag").iter().collect();
        assert_eq!(tags, ["1", "2"]);
        assert_eq!(headers["content-type"], "a/b");
    }

    #[test]
    fn the_length_and_the_connection_are_not_for_callbacks_to_say() {
        let given = [
            attribute("Content-Length", "7"),
            attribute("Connection", "close"),
            attribute("TE", "x"),
        ];
        assert_eq!(headers(&given).unwrap().len(), 1);
    }

    #[test]
    fn a_header_that_http_cannot_carry_is_rejected() {
        for (name, value) in [("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x", "\0")] {
            assert!(headers(&[attribute(name, value)]).is_err(), "{name:?} {value:?}");
        }
    }
}
