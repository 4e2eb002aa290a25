//! The HTTP client against a web server on loopback that tells what it was asked, and how.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

#[path = "support/web.rs"]
mod web;

use std::time::Duration;

use event_pusher_delivery::{ClientSettings, TlsOptions, client_config, http_client};
use web::Web;

fn settings(web: &Web) -> ClientSettings {
    let options = TlsOptions { cacertfile: Some(web.ca_file.clone()), ..TlsOptions::default() };
    ClientSettings {
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        idle_connections: 1,
        tls: Some(client_config(&options).unwrap()),
        http2: false,
    }
}

async fn answer(settings: &ClientSettings, url: &str) -> String {
    let client = http_client(settings).unwrap();
    client.post(url).body("body").send().await.unwrap().text().await.unwrap()
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
