//! The HTTP client against a web server on loopback that tells what it was asked, and how.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

#[path = "support/pem_file.rs"]
mod pem_file;
#[path = "support/web.rs"]
mod web;

use std::time::Duration;

use event_pusher_delivery::{ClientSettings, Sni, TlsName, TlsOptions, client_config, http_client};
use url::{Host, Url};
use web::Web;

fn settings(web: &Web) -> ClientSettings {
    let options = TlsOptions { cacertfile: web.ca.path(), ..TlsOptions::default() };
    ClientSettings {
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        idle_connections: 1,
        tls: Some(client_config(&options).unwrap()),
        http2: false,
        tls_name: None,
    }
}

async fn answer(settings: &ClientSettings, url: &str) -> String {
    let client = http_client(settings).unwrap();
    client.post(&Url::parse(url).unwrap()).body("body").send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn http2_is_spoken_where_it_is_wanted() {
    let web = Web::start("localhost").await;
    let url = web.url("localhost");
    let told = |version| format!("{version} {} localhost", web.authority("localhost"));
    let wanted = ClientSettings { http2: true, ..settings(&web) };
    assert_eq!(answer(&wanted, &url).await, told("HTTP/2.0"));
    assert_eq!(answer(&settings(&web), &url).await, told("HTTP/1.1"));
}

#[tokio::test]
async fn a_receiver_may_have_another_name_in_tls_than_in_its_url() {
    let web = Web::start("other.example").await;
    for host in ["localhost", "127.0.0.1"] {
        let name = TlsName::new(Host::parse(host).unwrap(), "other.example").unwrap();
        // HTTP/2 would lose the host.
        let settings = ClientSettings { tls_name: Some(name), http2: true, ..settings(&web) };
        let told = format!("HTTP/1.1 {} other.example", web.authority(host));
        assert_eq!(answer(&settings, &web.url(host)).await, told);
    }
}

#[tokio::test]
async fn a_receiver_has_to_prove_the_other_name() {
    let web = Web::start("localhost").await;
    let name = TlsName::new(Host::Domain("localhost".to_owned()), "other.example").unwrap();
    let client = http_client(&ClientSettings { tls_name: Some(name), ..settings(&web) }).unwrap();
    let url = Url::parse(&web.url("localhost")).unwrap();
    let error = client.post(&url).send().await.unwrap_err();
    assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
}

#[tokio::test]
async fn the_name_of_the_options_is_the_one_to_send() {
    let web = Web::start("other.example").await;
    let options = TlsOptions {
        cacertfile: web.ca.path(),
        sni: Sni::Name("other.example".into()),
        ..TlsOptions::default()
    };
    let host = Host::Domain("localhost".to_owned());
    let settings = ClientSettings {
        tls: Some(client_config(&options).unwrap()),
        tls_name: options.server_name().map(|name| TlsName::new(host, name).unwrap()),
        ..settings(&web)
    };
    let told = format!("HTTP/1.1 {} other.example", web.authority("localhost"));
    assert_eq!(answer(&settings, &web.url("localhost")).await, told);
}
