//! The HTTP client against a receiver on loopback, which tells what has arrived, and how.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

#[path = "support/pem_file.rs"]
mod pem_file;

use std::time::Duration;

use event_pusher_delivery::{
    ClientOptions, ClientSettings, Failure, HttpClient, Settable, Sni, TlsOptions,
};
use event_pusher_receiver::{Authority, HttpConfig, HttpReceived, HttpServer, TlsConfig, Validity};
use http::{HeaderMap, Version};
use pem_file::PemFile;
use url::Url;

/// A receiver that speaks both versions of HTTP, and the authority of its certificate.
struct Web {
    server: HttpServer,
    ca: PemFile,
}

// === impl Web ===

impl Web {
    /// On 127.0.0.1, with a certificate for this name.
    fn start(name: &str) -> Self {
        let authority = Authority::new("authority of the client's tests");
        let identity = authority.identity(&[name], Validity::Now);
        let tls = TlsConfig { http2: true, ..TlsConfig::new(identity) };
        let server = HttpServer::start(HttpConfig { tls: Some(tls), ..HttpConfig::default() });
        Self { server, ca: PemFile::new(&authority.pem()) }
    }

    fn authority(&self, host: &str) -> String {
        format!("{host}:{}", self.server.port())
    }

    fn url(&self, host: &str) -> String {
        format!("https://{}/path?a=b", self.authority(host))
    }
}

fn settings(web: &Web, http2: bool, sni: Sni) -> ClientSettings {
    let tls = TlsOptions { cacertfile: web.ca.path(), sni, ..TlsOptions::default() };
    let options = ClientOptions {
        connect_timeout_ms: 5000,
        request_timeout_ms: 10_000,
        workers: 1,
        tls: Some(&tls),
        settable: Settable::Section,
        http2,
    };
    options.check().unwrap()
}

/// What arrives of a request at this URL, whose receiver has this name in TLS.
async fn arrived(
    web: &Web,
    http2: bool,
    host: &str,
    name: Option<&str>,
) -> Result<HttpReceived, Failure> {
    let url = Url::parse(&web.url(host)).unwrap();
    let sni = name.map_or(Sni::Default, |name| Sni::Name(name.to_owned()));
    let client = HttpClient::new(&url, &settings(web, http2, sni));
    client.post(HeaderMap::new(), "body".into()).await?;
    Ok(web.server.message().await)
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_wanted() {
    let web = Web::start("localhost");
    for (http2, version) in [(true, Version::HTTP_2), (false, Version::HTTP_11)] {
        let arrived = arrived(&web, http2, "localhost", None).await.unwrap();
        assert_eq!((arrived.version, arrived.target.as_str()), (version, "/path?a=b"));
        assert_eq!(arrived.authority, Some(web.authority("localhost")));
        assert_eq!(arrived.server_name.as_deref(), Some("localhost"));
    }
}

#[tokio::test]
async fn a_receiver_may_have_another_name_in_tls_than_in_its_url() {
    let web = Web::start("other.example");
    for host in ["localhost", "127.0.0.1"] {
        for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
            let arrived = arrived(&web, http2, host, Some("other.example")).await.unwrap();
            assert_eq!((arrived.version, arrived.authority), (version, Some(web.authority(host))));
            assert_eq!(arrived.server_name.as_deref(), Some("other.example"));
        }
    }
}

#[tokio::test]
async fn a_receiver_has_to_prove_the_other_name() {
    let web = Web::start("localhost");
    let arrived = arrived(&web, false, "localhost", Some("other.example")).await;
    let error = arrived.unwrap_err().to_string();
    assert!(error.contains("for other names (localhost), not for other.example"), "{error}");
}

#[test]
fn another_name_in_tls_has_to_be_a_host_name_and_is_complained_about_once() {
    for name in ["", "127.0.0.1", "[::1]", "a b", "a/b"] {
        let tls = TlsOptions { sni: Sni::Name(name.to_owned()), ..TlsOptions::default() };
        let options = ClientOptions {
            connect_timeout_ms: 5000,
            request_timeout_ms: 10_000,
            workers: 1,
            tls: Some(&tls),
            settable: Settable::Section,
            http2: false,
        };
        let wanted = format!("tls.server_name_indication.host: must be a host name, got {name:?}");
        assert_eq!(options.check().unwrap_err().0, [wanted]);
    }
}

/// Lets time pass, while nothing is under way. The task of a connection of HTTP/2 sees that before
/// the next request begins, or it would ask for a sign of life, which may still be under way when
/// time passes again.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::task::yield_now().await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_connection_is_closed_after_some_minutes_of_use_and_after_90_seconds_without() {
    for http2 in [false, true] {
        for (pause, times, wanted) in [(60, 1, 1), (60, 4, 2), (100, 1, 2)] {
            let web = Web::start("localhost");
            let settings = settings(&web, http2, Sni::Default);
            let url = Url::parse(&web.url("localhost")).unwrap();
            let client = HttpClient::new(&url, &settings);
            for _ in 0..times {
                client.post(HeaderMap::new(), "body".into()).await.unwrap();
                pass(Duration::from_secs(pause)).await;
            }
            client.post(HeaderMap::new(), "body".into()).await.unwrap();
            assert_eq!(
                web.server.stats().connections,
                wanted,
                "HTTP/2: {http2}, {times} pauses of {pause} s"
            );
        }
    }
}
