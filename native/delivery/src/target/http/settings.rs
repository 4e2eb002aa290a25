//! Checked settings of the HTTP target.

use rustls::pki_types::ServerName;
use url::{Host, Position, Url};

use crate::settings::{InvalidSettings, without_secrets};

/// Where to post.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    pub(super) url: Url,
    /// The name of the receiver in TLS, if it is not that of the URL.
    pub(super) tls_name: Option<ServerName<'static>>,
}

// === impl HttpSettings ===

impl HttpSettings {
    /// Checks settings, complaining in the names of the configuration's keys.
    ///
    /// `host` is a URL with scheme, host and, if need be, port; as in MongooseIM, its path is not
    /// used. `path_prefix` and `path` are joined with exactly one slash; `path` may have a query.
    /// `server_name` is the name that the receiver has in TLS if it is not that of the URL.
    ///
    /// # Errors
    ///
    /// Every setting that cannot be used is named.
    pub fn new(
        host: &str,
        path_prefix: &str,
        path: &str,
        server_name: Option<&str>,
    ) -> Result<Self, InvalidSettings> {
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
                complaints.complain(key, allowed, without_secrets(part));
            }
        }
        let url =
            Url::parse(&format!("{origin}{}", join(path_prefix, path))).unwrap_or_else(|_| {
                complaints.complain("path", "the path of a URL", without_secrets(path));
                Url::parse("http://invalid").expect("a valid URL")
            });
        let tls_name = server_name.and_then(|name| complaints.keep(tls_name(name)));
        complaints.into_result(Self { url, tls_name })
    }
}

fn tls_name(name: &str) -> Result<ServerName<'static>, InvalidSettings> {
    let domain = match Host::parse(name) {
        Ok(Host::Domain(domain)) => ServerName::try_from(domain).ok(),
        _ => None,
    };
    domain.ok_or_else(|| {
        let (field, allowed) = ("tls.server_name_indication.host", "a host name");
        InvalidSettings::one(field, allowed, format_args!("{name:?}"))
    })
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

    fn url(host: &str, prefix: &str, path: &str) -> String {
        HttpSettings::new(host, prefix, path, None).unwrap().url.into()
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
                let complaint = HttpSettings::new("http://h", prefix, path, None).unwrap_err();
                let [complaint] = &complaint.0[..] else { panic!("{complaint}") };
                assert!(complaint.starts_with(&format!("{key}: must be a path")), "{complaint}");
                assert!(
                    complaint.ends_with(&format!("got {}", without_secrets(part))),
                    "{complaint}"
                );
            }
        }
        assert_eq!(url("http://h", "/", "a%23b"), "http://h/a%23b");
        assert_eq!(url("http://h", "/", "...?a=../b\\"), "http://h/...?a=../b\\");
        assert_eq!(url("http://h", "/", "\u{17c} a"), "http://h/%C5%BC%20a");
    }

    #[test]
    fn scheme_host_and_port_are_those_of_the_host() {
        assert_eq!(url("https://Example.com", "/", "x"), "https://example.com/x");
        assert_eq!(url("http://[::1]:8080/ignored?a", "/", "x"), "http://[::1]:8080/x");
        assert_eq!(url("https://user:pw@example.com:8443", "/", ""), "https://example.com:8443/");
    }

    #[test]
    fn the_name_in_tls_has_to_be_a_host_name() {
        let settings = |name| HttpSettings::new("https://h", "/", "", Some(name));
        let name = settings("Other.example").unwrap().tls_name.unwrap();
        assert_eq!(name, "other.example".try_into().unwrap());
        for name in ["", "127.0.0.1", "[::1]", "a b", "a/b"] {
            let wanted =
                format!("tls.server_name_indication.host: must be a host name, got {name:?}");
            assert_eq!(settings(name).unwrap_err().0, [wanted]);
        }
    }

    #[test]
    fn a_host_that_is_no_http_url_is_refused_and_not_shown() {
        for host in ["example.com", "ftp://example.com", "", "https://user:pass word@"] {
            let complaint = HttpSettings::new(host, "/", "", None).unwrap_err().to_string();
            assert!(complaint.starts_with("host: must be an http or https URL"), "{complaint}");
            assert!(!complaint.contains("pass word"), "{complaint}");
        }
    }
}
