//! A request, before it is known which version of HTTP carries it.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;
use url::{Position, Url};

use crate::fate::Failure;

const AGENT: &str = concat!("event_pusher/", env!("CARGO_PKG_VERSION"));

/// Where a client posts to.
pub(super) struct Place {
    /// The value of the header `Host`.
    authority: HeaderValue,
    path: PathAndQuery,
    secure: bool,
}

/// A `POST` request.
pub(super) struct Post {
    /// Path and query over HTTP/1.1, scheme and authority as well over HTTP/2.
    path: Uri,
    whole: Uri,
    /// Without the authority.
    headers: HeaderMap,
    authority: HeaderValue,
    pub(super) body: Bytes,
}

/// Whether requests can be made to this URL: it has to be one of HTTP as well, which takes 65534 bytes
/// at most.
pub(crate) fn can_be_posted_to(url: &Url) -> bool {
    url[..Position::AfterQuery].parse::<Uri>().is_ok()
}

// === impl Place ===

impl Place {
    /// A URL is ASCII, and its parts are valid ones: see [`can_be_posted_to`].
    pub(super) fn new(url: &Url) -> Self {
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let path = &url[Position::BeforePath..Position::AfterQuery];
        Self {
            authority: HeaderValue::from_str(authority).expect("a host has no control characters"),
            path: path.parse().expect("the path of a URL is one"),
            secure: url.scheme() == "https",
        }
    }

    /// A request with these headers. One for `Host` takes the place of the authority; an empty one
    /// does not.
    pub(super) fn post(&self, mut headers: HeaderMap, body: Bytes) -> Result<Post, Failure> {
        let given = headers.remove(HOST).filter(|host| !host.is_empty());
        if given.as_ref().is_some_and(|host| host.as_bytes().contains(&b'@')) {
            return Err(no_host());
        }
        let authority = given.unwrap_or_else(|| self.authority.clone());
        headers.insert(CONTENT_LENGTH, body.len().into());
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let whole = Uri::builder()
            .scheme(if self.secure { "https" } else { "http" })
            .authority(authority.as_bytes())
            .path_and_query(self.path.clone())
            .build()
            .map_err(|_| no_host())?;
        Ok(Post { path: self.path.clone().into(), whole, headers, authority, body })
    }
}

fn no_host() -> Failure {
    Failure::permanent("the header host has an invalid value")
}

// === impl Post ===

impl Post {
    pub(super) fn http1(&self) -> Request<Full<Bytes>> {
        let mut request = self.request(&self.path, Full::new(Bytes::clone(&self.body)));
        request.headers_mut().insert(HOST, self.authority.clone());
        request
    }

    pub(super) fn http2(&self) -> Request<()> {
        self.request(&self.whole, ())
    }

    fn request<T>(&self, uri: &Uri, body: T) -> Request<T> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(url: &str, host: Option<&'static str>) -> Result<Post, Failure> {
        let headers = host.map(|host| (HOST, HeaderValue::from_static(host)));
        let place = Place::new(&Url::parse(url).unwrap());
        place.post(headers.into_iter().collect(), Bytes::from_static(b"body"))
    }

    #[test]
    fn both_versions_are_for_the_same_place() {
        let post = post("https://a.example:8443/b?c=%20", None).unwrap();
        let (one, two) = (post.http1(), post.http2());
        assert_eq!(
            (one.uri().to_string().as_str(), &one.headers()[HOST]),
            ("/b?c=%20", &HeaderValue::from_static("a.example:8443"))
        );
        assert_eq!(two.uri(), "https://a.example:8443/b?c=%20");
        assert!(!two.headers().contains_key(HOST));
        for headers in [one.headers(), two.headers()] {
            assert_eq!(
                (&headers[CONTENT_LENGTH], &headers[USER_AGENT]),
                (&"4".parse().unwrap(), &AGENT.parse().unwrap())
            );
        }
    }

    #[test]
    fn a_host_that_is_given_takes_the_place_of_the_own_one_in_both_versions() {
        for (given, wanted) in
            [(Some("b.example:1"), "b.example:1"), (Some(""), "a.example"), (None, "a.example")]
        {
            let post = post("http://a.example/", given).unwrap();
            assert_eq!(post.http1().headers()[HOST], wanted);
            assert_eq!(post.http2().uri().authority().unwrap(), wanted);
        }
    }

    #[test]
    fn a_url_that_is_too_long_cannot_be_posted_to() {
        let url = |length: usize| Url::parse(&format!("http://h/{}", "a".repeat(length))).unwrap();
        assert!(can_be_posted_to(&url(65_000)) && !can_be_posted_to(&url(65_535)));
    }

    #[test]
    fn a_host_that_is_none_is_rejected() {
        for host in ["a b", "a/b", "a:b:c", "user@a"] {
            assert!(
                matches!(post("http://a.example/", Some(host)), Err(Failure::Permanent { .. })),
                "{host}"
            );
        }
    }
}
