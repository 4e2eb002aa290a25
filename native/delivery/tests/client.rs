//! The HTTP client against a web server on loopback that tells what it was asked, and how.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

#[path = "support/pem_file.rs"]
mod pem_file;
#[path = "support/web.rs"]
mod web;

use std::time::Duration;

use event_pusher_delivery::{ClientSettings, Failure, HttpClient, TlsOptions, client_config};
use http::HeaderMap;
use rustls::pki_types::ServerName;
use url::Url;
use web::Web;

fn settings(web: &Web) -> ClientSettings {
    let options = TlsOptions { cacertfile: web.ca.path(), ..TlsOptions::default() };
    ClientSettings {
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        idle_connections: 1,
        tls: Some(client_config(&options).unwrap()),
        http2: false,
    }
}

/// The text of the answer to a request at this URL, whose receiver has this name in TLS.
async fn answer(
    settings: &ClientSettings,
    url: &str,
    name: Option<&str>,
) -> Result<String, Failure> {
    let name = name.map(|name| ServerName::try_from(name.to_owned()).unwrap());
    let client = HttpClient::new(&Url::parse(url).unwrap(), name, settings);
    let answer = client.post(HeaderMap::new(), "body".into()).await?;
    Ok(String::from_utf8(answer.body?).unwrap())
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_wanted() {
    let web = Web::start("localhost").await;
    let url = web.url("localhost");
    let told = |version| format!("{version} {} localhost", web.authority("localhost"));
    let wanted = ClientSettings { http2: true, ..settings(&web) };
    assert_eq!(answer(&wanted, &url, None).await.unwrap(), told("HTTP/2.0"));
    assert_eq!(answer(&settings(&web), &url, None).await.unwrap(), told("HTTP/1.1"));
}

#[tokio::test]
async fn a_receiver_may_have_another_name_in_tls_than_in_its_url() {
    let web = Web::start("other.example").await;
    for host in ["localhost", "127.0.0.1"] {
        for (http2, version) in [(false, "HTTP/1.1"), (true, "HTTP/2.0")] {
            let settings = ClientSettings { http2, ..settings(&web) };
            let told = format!("{version} {} other.example", web.authority(host));
            let answer = answer(&settings, &web.url(host), Some("other.example")).await;
            assert_eq!(answer.unwrap(), told);
        }
    }
}

#[tokio::test]
async fn a_receiver_has_to_prove_the_other_name() {
    let web = Web::start("localhost").await;
    let answer = answer(&settings(&web), &web.url("localhost"), Some("other.example")).await;
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("for other names (localhost), not for other.example"), "{error}");
}

/// Lets time pass, while nothing is under way.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_connection_is_closed_after_some_minutes_of_use_and_after_90_seconds_without() {
    for http2 in [false, true] {
        for (pause, times, wanted) in [(60, 1, 1), (60, 4, 2), (100, 1, 2)] {
            let web = Web::start("localhost").await;
            let settings = ClientSettings { http2, ..settings(&web) };
            let url = Url::parse(&web.url("localhost")).unwrap();
            let client = HttpClient::new(&url, None, &settings);
            for _ in 0..times {
                client.post(HeaderMap::new(), "body".into()).await.unwrap();
                pass(Duration::from_secs(pause)).await;
            }
            client.post(HeaderMap::new(), "body".into()).await.unwrap();
            assert_eq!(web.connections(), wanted, "HTTP/2: {http2}, {times} pauses of {pause} s");
        }
    }
}
