//! What must not be seen in a log.

use std::fmt;

use serde::Deserialize;

/// A password or a key. Its debug output does not show it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// How long a part of a path is at least that may be a token.
const TOKEN: usize = 16;

/// A path, or a part of one, as a complaint may show it: without what may be a token, a query or a
/// fragment.
pub fn path_without_secrets(path: &str) -> String {
    let (path, rest) = path.split_at(path.find(['?', '#']).unwrap_or(path.len()));
    let hidden = if rest.is_empty() { String::new() } else { format!("{}***", &rest[..1]) };
    let shown = path.split('/').map(|part| if may_be_token(part) { "***" } else { part });
    format!("{:?}", format!("{}{hidden}", shown.collect::<Vec<_>>().join("/")))
}

/// Many services have a token in the path of a webhook. It is told by its length and a digit.
fn may_be_token(part: &str) -> bool {
    part.len() >= TOKEN && part.contains(|char: char| char.is_ascii_digit())
}

/// A URL, or what should have been one, as a complaint may show it: without a user, a password, a
/// query or a fragment.
pub fn without_secrets(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['@', '?', '#']) => (format!("{scheme}://"), rest),
        _ => (String::new(), url),
    };
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    match rest.find(['?', '#']) {
        Some(end) => format!("{:?}", format!("{scheme}{user}{}***", &rest[..=end])),
        None => format!("{:?}", format!("{scheme}{user}{rest}")),
    }
}

// === impl Secret ===

impl Secret {
    /// The text, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_secrets() {
        let table = [
            ("ftp://example.com/a", "\"ftp://example.com/a\""),
            ("https://user:pw@example.com/a", "\"https://***@example.com/a\""),
            ("user:p/w?#@w@example.com", "\"***@example.com\""),
            ("https://user:p://w@example.com", "\"https://***@example.com\""),
            ("us@er://pw@example.com", "\"***@example.com\""),
            ("example.com/?token=pw#a", "\"example.com/?***\""),
            ("example.com/#pw", "\"example.com/#***\""),
            ("a\nb", "\"a\\nb\""),
        ];
        for (url, shown) in table {
            assert_eq!(without_secrets(url), shown, "{url}");
        }
    }

    #[test]
    fn a_path_is_shown_without_secrets() {
        let table = [
            ("/hooks/../chat", "\"/hooks/../chat\""),
            ("../T024/a1b2c3d4e5f6g7h8i9j0?token=pw", "\"../T024/***?***\""),
            ("notifications-of-messages#pw", "\"notifications-of-messages#***\""),
            ("a\n", "\"a\\n\""),
        ];
        for (path, shown) in table {
            assert_eq!(path_without_secrets(path), shown, "{path}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Some(Secret::from("open sesame"))), "Some(***)");
    }
}
