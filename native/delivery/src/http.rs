//! HTTP: one `POST` per message, its attributes as headers.
//!
//! The status of the answer decides, whatever its body is: receivers are anybody's, and agree on
//! nothing else. For the same reason there are no batches, which each receiver would have to know.
//!
//! What shows who posts, as a signature, is added at each attempt: it may change between two, and none
//! of it is to be on disk.
//!
//! Redirects were turned down: most of them turn a `POST` into a `GET`, and the others would send
//! events to an address that no operator has chosen. They are told as what has to be mended.

mod credentials;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod settings;
mod signing;
mod token;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

use crate::backend::Backend;
use event_pusher_tls::Validity;

use crate::client::{HttpClient, Verdict, may_be_away, retry_after, verdict};
use crate::fate::Failure;
use crate::message::{Accepted, Attribute};
use crate::origin::Origin;
use crate::probe::Finding;
use credentials::Credentials;
pub use credentials::{BasicAuth, HttpCredentials};
pub use settings::HttpOptions;
pub(crate) use settings::HttpSettings;

/// Posts to one URL.
#[derive(Debug)]
pub struct HttpBackend {
    client: HttpClient,
    credentials: Arc<Credentials>,
    origin: Origin,
}

// === impl HttpBackend ===

impl HttpBackend {
    /// A backend that posts to the URL of the settings.
    pub(crate) fn new(settings: HttpSettings) -> Self {
        let client = HttpClient::new(&settings.url, &settings.client);
        Self { client, credentials: settings.credentials, origin: Origin::random() }
    }

    /// Makes a connection, over TLS if it has to be, and sends no request through it.
    pub(crate) async fn probe(&self) -> Finding {
        match self.client.connect().await {
            Ok(()) => Finding::Works("connections can be made".into()),
            Err(failure) => Finding::Broken(failure.to_string().into()),
        }
    }

    async fn post(&self, accepted: &Accepted) -> Result<(), Failure> {
        let body = Bytes::clone(&accepted.message.body);
        let mut headers = headers(&accepted.message.attributes)?;
        let (id, now) = (|| self.origin.id(accepted), SystemTime::now());
        self.credentials.complete(&mut headers, id, &body, now).await?;
        let answer = self.client.post(headers, body).await?;
        result(answer.status, &answer.headers)
    }
}

impl Backend for HttpBackend {
    fn validity(&self) -> Option<Validity> {
        self.client.validity()
    }

    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(batch.len());
        for accepted in batch {
            results.push(self.post(accepted).await);
        }
        results
    }
}

/// The headers that the attributes stand for, in their order, without blanks around their values:
/// these do not belong to them, <https://www.rfc-editor.org/rfc/rfc9110#section-5.5>, and HTTP/2
/// forbids them. Those about the connection are the client's own affair.
fn headers(attributes: &[Attribute]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(attributes.len());
    for attribute in attributes {
        let name = HeaderName::from_bytes(attribute.name.as_bytes())
            .map_err(|_| Failure::permanent("a header has an invalid name"))?;
        if is_about_connection(&name) {
            continue;
        }
        let value = HeaderValue::from_bytes(trimmed(attribute.value.as_bytes()))
            .map_err(|_| Failure::permanent("a header has an invalid value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// What HTTP/2 forbids, and HTTP/1.1 has for one connection only,
/// <https://www.rfc-editor.org/rfc/rfc9113#section-8.2.2>.
fn is_about_connection(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | CONTENT_LENGTH | TE | TRANSFER_ENCODING | UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(begin, |last| last + 1);
    &value[begin..end]
}

fn result(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    let detail = status.as_str().to_owned();
    match verdict(status) {
        Verdict::Taken => Ok(()),
        Verdict::Refused => Err(Failure::permanent(detail)),
        Verdict::Later => {
            let retry_after = retry_after(headers, SystemTime::now());
            let away = may_be_away(status, retry_after);
            Err(Failure::Transient { detail: detail.into(), retry_after, away })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::AttributeValue;

    fn attribute(name: &str, value: &str) -> Attribute {
        Attribute { name: name.into(), value: AttributeValue::Binary(value.as_bytes().into()) }
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
            attribute("Keep-Alive", "timeout=5"),
            attribute("Proxy-Connection", "close"),
            attribute("TE", "gzip"),
            attribute("Transfer-Encoding", "chunked"),
            attribute("Upgrade", "h2c"),
        ];
        assert!(headers(&given).unwrap().is_empty());
    }

    #[test]
    fn blanks_around_a_value_do_not_belong_to_it() {
        for (given, value) in
            [("  a b \t", "a b"), ("a", "a"), ("\t ", ""), ("", ""), ("\u{a0}a", "\u{a0}a")]
        {
            let headers = headers(&[attribute("x", given)]).unwrap();
            assert_eq!(headers["x"].as_bytes(), value.as_bytes(), "{given:?}");
        }
    }

    #[test]
    fn a_header_that_http_cannot_carry_is_rejected() {
        for (name, value) in [("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x", "\0")] {
            assert!(headers(&[attribute(name, value)]).is_err(), "{name:?} {value:?}");
        }
    }
}
