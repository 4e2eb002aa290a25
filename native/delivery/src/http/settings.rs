//! Checked settings of the HTTP backend.

use std::fmt;
use std::sync::Arc;

use event_pusher_settings::{InvalidSettings, path_without_secrets};
use event_pusher_tls::{Settable, TlsOptions};
use serde::Deserialize;
use url::{Position, Url};

use super::credentials::{Credentials, HttpCredentials};
use crate::client::{ClientOptions, ClientSettings, can_be_posted_to};

/// Where to post, before it is checked.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpOptions {
    /// A URL with scheme, host and, if need be, port; as in MongooseIM, its path is not used.
    pub host: String,
    /// Joined with `path` by exactly one slash.
    pub path_prefix: String,
    /// It may have a query.
    pub path: String,
    /// How TLS connections are made; `None` for plain HTTP. Not to be left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub tls: Option<TlsOptions>,
    /// Whether to speak HTTP/2 with a receiver that prefers it.
    pub http2: bool,
    /// How long a connection may take to be made.
    pub connect_timeout_ms: u64,
    /// How long a request may take.
    pub request_timeout_ms: u64,
    /// What shows the receiver who posts.
    #[serde(default)]
    pub credentials: HttpCredentials,
}

/// Where to post.
#[derive(Clone)]
pub struct HttpSettings {
    pub(super) url: Url,
    pub(super) client: ClientSettings,
    pub(super) credentials: Arc<Credentials>,
}

// === impl HttpOptions ===

impl HttpOptions {
    /// Checks options, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Every option that cannot be used is named.
    pub(crate) fn check(self, workers: usize) -> Result<HttpSettings, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let url = complaints.keep(url(&self.host, &self.path_prefix, &self.path));
        let client = ClientOptions {
            connect_timeout_ms: self.connect_timeout_ms,
            request_timeout_ms: self.request_timeout_ms,
            workers,
            tls: self.tls.as_ref(),
            settable: Settable::Section,
            http2: self.http2,
        };
        let client = complaints.keep(client.check());
        let credentials = complaints.keep(self.credentials.check());
        match (url, client, credentials) {
            (Some(url), Some(client), Some(credentials)) => {
                let credentials = Arc::new(credentials);
                complaints.into_result(HttpSettings { url, client, credentials })
            }
            _ => Err(complaints),
        }
    }
}

impl fmt::Debug for HttpSettings {
    /// The path may have a token in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = &self.url[..Position::BeforePath];
        f.debug_struct("HttpSettings").field("origin", &origin).finish_non_exhaustive()
    }
}

fn url(host: &str, path_prefix: &str, path: &str) -> Result<Url, InvalidSettings> {
    let mut complaints = InvalidSettings::default();
    let origin = origin(host).unwrap_or_else(|| {
        // A URL may hold a password.
        let allowed = "an http or https URL such as \"https://example.com:8443\"";
        complaints.complain("host", allowed, "something else");
        "http://invalid".into()
    });
    for (key, part) in [("path_prefix", path_prefix), ("path", path)] {
        if !is_kept(part) {
            let allowed = "a path without \"#\", which is written \"%23\", without \"\\\", \
                           control characters and the segments \".\" and \"..\"";
            complaints.complain(key, allowed, path_without_secrets(part));
        }
    }
    let url = Url::parse(&format!("{origin}{}", join(path_prefix, path))).unwrap_or_else(|_| {
        complaints.complain("path", "the path of a URL", path_without_secrets(path));
        Url::parse("http://invalid").expect("a valid URL")
    });
    if !can_be_posted_to(&url) {
        let allowed = "part of a URL of up to 65534 bytes, with host and path_prefix";
        complaints.complain("path", allowed, format_args!("{} bytes", url.as_str().len()));
    }
    complaints.into_result(url)
}

/// Scheme, host and port.
fn origin(host: &str) -> Option<String> {
    let url = Url::parse(host).ok()?;
    let known = matches!(url.scheme(), "http" | "https") && url.has_host();
    known.then(|| format!("{}://{}", url.scheme(), &url[Position::BeforeHost..Position::AfterPort]))
}

/// Whether a URL keeps this part of its path: what it would cut off or resolve is not what was
/// meant, <https://url.spec.whatwg.org/#path-state>.
fn is_kept(part: &str) -> bool {
    let path = part.split_once('?').map_or(part, |(path, _)| path);
    let dots = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    !part.contains(|char: char| char == '#' || char.is_control())
        && !path.contains('\\')
        && !path.split('/').any(dots)
}

/// One slash between prefix and path, and one before both. A path that is empty or only a query
/// follows the prefix as it is.
fn join(prefix: &str, path: &str) -> String {
    let prefix = prefix.trim_start_matches('/');
    if path.is_empty() || path.starts_with('?') {
        return format!("/{prefix}{path}");
    }
    let (prefix, path) = (prefix.trim_end_matches('/'), path.trim_start_matches('/'));
    if prefix.is_empty() { format!("/{path}") } else { format!("/{prefix}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(host: &str, prefix: &str, path: &str) -> HttpOptions {
        HttpOptions {
            host: host.into(),
            path_prefix: prefix.into(),
            path: path.into(),
            tls: None,
            http2: true,
            connect_timeout_ms: 1,
            request_timeout_ms: 1,
            credentials: HttpCredentials::default(),
        }
    }

    fn url(host: &str, prefix: &str, path: &str) -> String {
        options(host, prefix, path).check(1).unwrap().url.into()
    }

    #[test]
    fn prefix_and_path_are_joined_with_exactly_one_slash() {
        for (prefix, path, joined) in [
            ("/", "", "/"),
            ("/", "notifications", "/notifications"),
            ("/webservice", "notifications", "/webservice/notifications"),
            ("/webservice/", "notifications", "/webservice/notifications"),
            ("/webservice/", "/notifications/", "/webservice/notifications/"),
            ("webservice", "a/b", "/webservice/a/b"),
            ("/webservice", "", "/webservice"),
            ("/webservice/", "", "/webservice/"),
            ("//", "//a", "/a"),
        ] {
            assert_eq!(join(prefix, path), joined, "{prefix:?} {path:?}");
        }
    }

    #[test]
    fn a_query_is_kept() {
        assert_eq!(url("http://h", "/hook", "a?b=c&d=%20"), "http://h/hook/a?b=c&d=%20");
        assert_eq!(url("http://h", "/hook", "?b=c"), "http://h/hook?b=c");
    }

    #[test]
    fn a_path_that_a_url_would_change_is_refused() {
        for part in ["a#b", "a?b#c", "a/../b", "..", "./a", "a/%2E%2e", "a\\b", "a\tb", "\na"] {
            for (key, prefix, path) in [("path", "/", part), ("path_prefix", part, "x")] {
                let complaint = options("http://h", prefix, path).check(1).unwrap_err();
                let [complaint] = &complaint.0[..] else { panic!("{complaint}") };
                assert!(complaint.starts_with(&format!("{key}: must be a path")), "{complaint}");
                assert!(
                    complaint.ends_with(&format!("got {}", path_without_secrets(part))),
                    "{complaint}"
                );
            }
        }
        assert_eq!(url("http://h", "/", "a%23b"), "http://h/a%23b");
        assert_eq!(url("http://h", "/", "...?a=../b\\"), "http://h/...?a=../b\\");
        assert_eq!(url("http://h", "/", "\u{17c} a"), "http://h/%C5%BC%20a");
    }

    #[test]
    fn debug_output_shows_no_path() {
        let shown = format!("{:?}", options("http://h:1", "/a", "token?b").check(1).unwrap());
        assert!(shown.contains("http://h:1") && !shown.contains("token"), "{shown}");
    }

    #[test]
    fn a_url_that_is_too_long_is_refused() {
        let complaint = options("http://h", "/", &"a b".repeat(30_000)).check(1).unwrap_err();
        assert_eq!(
            complaint.0,
            ["path: must be part of a URL of up to 65534 bytes, with host and path_prefix, got \
              150009 bytes"]
        );
    }

    #[test]
    fn scheme_host_and_port_are_those_of_the_host() {
        assert_eq!(url("https://Example.com", "/", "x"), "https://example.com/x");
        assert_eq!(url("http://[::1]:8080/ignored?a", "/", "x"), "http://[::1]:8080/x");
        assert_eq!(url("https://user:pw@example.com:8443", "/", ""), "https://example.com:8443/");
    }

    #[test]
    fn a_host_that_is_no_http_url_is_refused_and_not_shown() {
        for host in ["example.com", "ftp://example.com", "", "https://user:pass word@"] {
            let complaint = options(host, "/", "").check(1).unwrap_err().to_string();
            assert!(complaint.starts_with("host: must be an http or https URL"), "{complaint}");
            assert!(!complaint.contains("pass word"), "{complaint}");
        }
    }
}
