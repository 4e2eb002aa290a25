//! What shows a receiver who posts: headers that are always the same, a login, a token, a signature.
//!
//! All of it is added at each attempt. A message, which may be on disk, has none of it. Of a header
//! that a message has itself, the message's is sent: a callback module knows more than a
//! configuration. The signature alone is nobody else's.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use event_pusher_settings::{InvalidSettings, Secret};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::Authority;
use serde::Deserialize;

use super::signing::{self, Signer};
use super::token::TokenFile;
use super::{is_about_connection, trimmed};
use crate::fate::Failure;

/// What shows who posts, before it is checked.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCredentials {
    /// With which to sign, in the form of Standard Webhooks.
    pub signing_secrets: Option<Vec<Secret>>,
    /// Headers that are always the same.
    pub headers: Vec<(String, Secret)>,
    /// A login.
    pub basic_auth: Option<BasicAuth>,
    /// The name of a file with a token.
    pub bearer_token_file: Option<String>,
}

/// A user and a password.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// Without a colon.
    pub username: Secret,
    /// Whatever it is.
    pub password: Secret,
}

/// What shows who posts. Values of headers do not show in its `Debug` form.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    fixed: HeaderMap,
    token: Option<TokenFile>,
    signer: Option<Signer>,
}

// === impl HttpCredentials ===

impl HttpCredentials {
    pub(super) fn check(&self) -> Result<Credentials, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let mut fixed = complaints.keep(fixed(&self.headers)).unwrap_or_default();
        self.check_one_authorization(&fixed, &mut complaints);
        if let Some(basic) = &self.basic_auth
            && let Some(login) = complaints.keep(basic.header())
        {
            fixed.insert(AUTHORIZATION, login);
        }
        let token = self.bearer_token_file.as_deref().map(TokenFile::open);
        let token = token.and_then(|token| complaints.keep(token));
        let signer = self.signing_secrets.as_deref().map(Signer::new);
        let signer = signer.and_then(|signer| complaints.keep(signer));
        complaints.into_result(Credentials { fixed, token, signer })
    }

    fn check_one_authorization(&self, fixed: &HeaderMap, complaints: &mut InvalidSettings) {
        let given = [
            ("headers.authorization", fixed.contains_key(AUTHORIZATION)),
            ("basic_auth", self.basic_auth.is_some()),
            ("bearer_token_file", self.bearer_token_file.is_some()),
        ];
        let mut given = given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name));
        if let Some(first) = given.next() {
            for other in given {
                complaints.complain(other, format_args!("left out with {first}"), "both");
            }
        }
    }
}

fn fixed(given: &[(String, Secret)]) -> Result<HeaderMap, InvalidSettings> {
    let mut complaints = InvalidSettings::default();
    let mut headers = HeaderMap::with_capacity(given.len());
    for (key, text) in given {
        let Some(name) = complaints.keep(name(key)) else { continue };
        let Some(value) = complaints.keep(value(&name, text)) else { continue };
        if headers.insert(&name, value).is_some() {
            complaints.complain(&format!("headers.{name}"), "given once", "it again");
        }
    }
    complaints.into_result(headers)
}

fn name(key: &str) -> Result<HeaderName, InvalidSettings> {
    let complaint = |allowed, got| InvalidSettings::one("headers", allowed, got);
    let name = HeaderName::from_bytes(key.as_bytes())
        .map_err(|_| complaint("names of headers", format!("{key:?}")))?;
    if is_about_connection(&name) {
        return Err(complaint("without those about the connection", format!("\"{name}\"")));
    }
    if [signing::ID, signing::TIMESTAMP, signing::SIGNATURE].contains(&name) {
        return Err(complaint("without those of signing_secrets", format!("\"{name}\"")));
    }
    Ok(name)
}

fn value(name: &HeaderName, text: &Secret) -> Result<HeaderValue, InvalidSettings> {
    let complaint =
        |allowed| InvalidSettings::one(&format!("headers.{name}"), allowed, "other characters");
    let text = trimmed(text.expose().as_bytes());
    let mut value =
        HeaderValue::from_bytes(text).map_err(|_| complaint("text without control characters"))?;
    let is_host = Authority::try_from(text).is_ok_and(|it| !it.as_str().contains('@'));
    if *name == HOST && !is_host {
        return Err(complaint("a host name, which may have a port"));
    }
    value.set_sensitive(true);
    Ok(value)
}

/// The value of a header that proves something. What may be printed of it is that it is one.
pub(super) fn authorization(scheme: &str, proof: &str) -> HeaderValue {
    let value = HeaderValue::try_from(format!("{scheme} {proof}"));
    let mut value = value.expect("a proof has visible characters only");
    value.set_sensitive(true);
    value
}

// === impl BasicAuth ===

impl BasicAuth {
    /// <https://www.rfc-editor.org/rfc/rfc7617>
    fn header(&self) -> Result<HeaderValue, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let (username, password) = (self.username.expose(), self.password.expose());
        if username.contains(|char: char| char == ':' || char.is_control()) {
            let allowed = "text without a colon and control characters";
            complaints.complain("basic_auth.username", allowed, "other characters");
        }
        if password.contains(char::is_control) {
            let allowed = "text without control characters";
            complaints.complain("basic_auth.password", allowed, "other characters");
        }
        let login = STANDARD.encode(format!("{username}:{password}"));
        complaints.into_result(authorization("Basic", &login))
    }
}

// === impl Credentials ===

impl Credentials {
    /// Adds to the headers of a message with this body what they lack. The id is that of a message
    /// which has none.
    pub(super) async fn complete(
        &self,
        headers: &mut HeaderMap,
        id: impl FnOnce() -> String,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), Failure> {
        for (name, value) in &self.fixed {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(token) = &self.token
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, token.header().await?);
        }
        if let Some(signer) = &self.signer {
            signer.sign(headers, id, body, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn with_headers(headers: &[(&str, &str)]) -> HttpCredentials {
        let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        HttpCredentials { headers, ..HttpCredentials::default() }
    }

    fn basic(username: &str, password: &str) -> HttpCredentials {
        let basic_auth = BasicAuth { username: username.into(), password: password.into() };
        HttpCredentials { basic_auth: Some(basic_auth), ..HttpCredentials::default() }
    }

    async fn completed(options: &HttpCredentials, mut headers: HeaderMap) -> HeaderMap {
        let credentials = options.check().unwrap();
        credentials.complete(&mut headers, || "id".into(), b"", UNIX_EPOCH).await.unwrap();
        headers
    }

    #[tokio::test]
    async fn without_any_nothing_is_added() {
        let headers = completed(&HttpCredentials::default(), HeaderMap::new()).await;
        assert!(headers.is_empty());
    }

    #[tokio::test]
    async fn what_a_message_says_itself_stays() {
        let options = with_headers(&[("X-Api-Key", " key\t"), ("X-Tag", "fixed")]);
        let own = [("x-tag", "a"), ("x-tag", "b")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = completed(&options, own.into_iter().collect()).await;
        assert_eq!(headers["x-api-key"], "key");
        assert_eq!(headers.get_all("x-tag").iter().collect::<Vec<_>>(), ["a", "b"]);
        let headers = completed(&options, HeaderMap::new()).await;
        assert_eq!(headers["x-tag"], "fixed");
    }

    #[tokio::test]
    async fn a_login_is_in_base64_and_may_be_of_any_alphabet() {
        let headers = completed(&basic("Aladdin", "open sesame"), HeaderMap::new()).await;
        assert_eq!(headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let headers = completed(&basic("test", "123\u{a3}"), HeaderMap::new()).await;
        assert_eq!(headers[AUTHORIZATION], "Basic dGVzdDoxMjPCow==");
    }

    #[test]
    fn each_thing_that_cannot_be_used_is_named_and_no_value_is_shown() {
        let table: [(&[(&str, &str)], &str); 8] = [
            (&[("a b", "pl4nted")], "headers: must be names of headers, got \"a b\""),
            (&[("", "pl4nted")], "headers: must be names of headers, got \"\""),
            (
                &[("Content-Length", "1")],
                "headers: must be without those about the connection, got \"content-length\"",
            ),
            (
                &[("Webhook-Id", "1")],
                "headers: must be without those of signing_secrets, got \"webhook-id\"",
            ),
            (
                &[("X-A", "pl4nted\r\nb: c")],
                "headers.x-a: must be text without control characters, got other characters",
            ),
            (
                &[("Host", "pl4nted@host")],
                "headers.host: must be a host name, which may have a port, got other characters",
            ),
            (&[("x-a", "1"), ("X-A", "2")], "headers.x-a: must be given once, got it again"),
            (
                &[("Host", "")],
                "headers.host: must be a host name, which may have a port, got other characters",
            ),
        ];
        for (headers, wanted) in table {
            assert_eq!(with_headers(headers).check().unwrap_err().0, [wanted]);
        }
        assert!(with_headers(&[("host", "example.com:8443"), ("x-empty", "")]).check().is_ok());
        assert_eq!(
            basic("pl4nted:a", "pl4nted\n").check().unwrap_err().0,
            [
                "basic_auth.username: must be text without a colon and control characters, got \
                 other characters",
                "basic_auth.password: must be text without control characters, got other \
                 characters",
            ]
        );
    }

    #[test]
    fn there_is_one_authorization_at_most() {
        let options = HttpCredentials {
            bearer_token_file: Some("/no/such/file".into()),
            basic_auth: basic("user", "password").basic_auth,
            ..with_headers(&[("Authorization", "pl4nted")])
        };
        assert_eq!(
            options.check().unwrap_err().0,
            [
                "basic_auth: must be left out with headers.authorization, got both",
                "bearer_token_file: must be left out with headers.authorization, got both",
                "bearer_token_file: must be a readable file with a token, got \"/no/such/file\": \
                 No such file or directory (os error 2)",
            ]
        );
    }

    #[test]
    fn debug_output_shows_no_value() {
        let options = HttpCredentials {
            signing_secrets: Some(vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()]),
            ..with_headers(&[("x-api-key", "pl4nted")])
        };
        let shown = format!("{:?}", options.check().unwrap());
        assert!(shown.contains("x-api-key") && !shown.contains("pl4nted"), "{shown}");
        let shown = format!("{:?}", basic("user", "pl4nted").check().unwrap());
        assert!(!shown.contains(&STANDARD.encode("user:pl4nted")), "{shown}");
    }
}
