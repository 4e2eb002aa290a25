//! With TLS: whom it convinces, whom it lets in, and HTTP/2.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::support::{Client, Http2, POST, exchange, tls_server, trusted};
use event_pusher_receiver::{
    Authority, Fault, HttpServer, Identity, TlsConfig, TlsVersions, Validity,
};
use hyper::Version;
use rustls::{
    CertificateError, Error, ProtocolVersion,
    version::{TLS12, TLS13},
};

async fn post(client: Client, server: &HttpServer, roots: &str) -> io::Result<String> {
    exchange(client.connect(server, roots).await?, POST).await
}

/// Why a client does not trust a server with this identity.
async fn distrust(identity: Identity, roots: &str) -> CertificateError {
    let server = tls_server(TlsConfig::new(identity));
    let error = Client::default().connect(&server, roots).await.unwrap_err();
    match error.get_ref().and_then(|it| it.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(reason)) => reason.clone(),
        _ => panic!("not about the certificate: {error}"),
    }
}

fn http2_server() -> (HttpServer, String) {
    let (authority, tls) = trusted();
    (tls_server(TlsConfig { http2: true, ..tls }), authority.pem())
}

#[tokio::test]
async fn a_good_certificate_convinces() {
    let (authority, tls) = trusted();
    let server = tls_server(tls);
    assert_eq!(server.url(), format!("https://localhost:{}", server.port()));
    let answer = post(Client::default(), &server, &authority.pem()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let received = server.message().await;
    assert_eq!(received.server_name.as_deref(), Some("localhost"));
    assert!(!received.client_certificate);
}

#[tokio::test]
async fn a_bad_certificate_is_bad_in_the_way_that_was_asked_for() {
    let authority = Authority::new("authority of a test");
    let roots = authority.pem();
    let reason = distrust(authority.identity(&Identity::LOOPBACK, Validity::Expired), &roots).await;
    assert!(matches!(reason, CertificateError::ExpiredContext { .. }), "{reason:?}");
    let reason = distrust(authority.identity(&Identity::LOOPBACK, Validity::NotYet), &roots).await;
    assert!(matches!(reason, CertificateError::NotValidYetContext { .. }), "{reason:?}");
    let reason = distrust(authority.identity(&["example.org"], Validity::Now), &roots).await;
    assert!(matches!(reason, CertificateError::NotValidForNameContext { .. }), "{reason:?}");
    let reason = distrust(Identity::self_signed(&Identity::LOOPBACK), &roots).await;
    assert_eq!(reason, CertificateError::UnknownIssuer);
    let stranger = Authority::new("another authority");
    let reason = distrust(stranger.identity(&Identity::LOOPBACK, Validity::Now), &roots).await;
    assert_eq!(reason, CertificateError::UnknownIssuer);
}

#[tokio::test]
async fn a_self_signed_certificate_convinces_whoever_knows_it() {
    let identity = Identity::self_signed(&Identity::LOOPBACK);
    let pem = identity.pem().to_owned();
    let server = tls_server(TlsConfig::new(identity));
    post(Client::default(), &server, &pem).await.unwrap();
    assert_eq!(server.stats().messages, 1);
}

#[tokio::test]
async fn a_server_speaks_only_its_versions() {
    let (authority, tls) = trusted();
    for (versions, spoken, other) in [
        (TlsVersions::Only12, (&TLS12, ProtocolVersion::TLSv1_2), &TLS13),
        (TlsVersions::Only13, (&TLS13, ProtocolVersion::TLSv1_3), &TLS12),
    ] {
        let server = tls_server(TlsConfig { versions, ..tls.clone() });
        let stream = Client::default().connect(&server, &authority.pem()).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken.1));
        let client = Client { versions: vec![spoken.0], ..Client::default() };
        post(client, &server, &authority.pem()).await.unwrap();
        let client = Client { versions: vec![other], ..Client::default() };
        post(client, &server, &authority.pem()).await.unwrap_err();
        assert_eq!(server.stats().requests, 1);
    }
}

#[tokio::test]
async fn a_client_shows_a_certificate_of_the_right_authority_or_stays_outside() {
    let (authority, tls) = trusted();
    let clients = Authority::new("authority of clients");
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let client_authority = Some(clients.pem());
        let server = tls_server(TlsConfig { client_authority, versions, ..tls.clone() });
        let known = Some(clients.client_identity("event pusher"));
        let stranger = Some(authority.client_identity("event pusher"));
        for identity in [None, stranger] {
            let client = Client { identity, ..Client::default() };
            post(client, &server, &authority.pem()).await.unwrap_err();
        }
        assert_eq!(server.stats().requests, 0);
        let client = Client { identity: known, ..Client::default() };
        post(client, &server, &authority.pem()).await.unwrap();
        assert!(server.message().await.client_certificate);
    }
}

#[tokio::test]
async fn http2_is_spoken_with_those_who_ask_for_it() {
    let (server, roots) = http2_server();
    let http2 = Http2::connect(&server, &roots).await;
    let (status, body) = http2.post("/hook?a=b").await.unwrap();
    assert_eq!((status.as_u16(), body.len()), (200, 0));
    let received = server.message().await;
    assert_eq!((received.version, received.target.as_str()), (Version::HTTP_2, "/hook?a=b"));
    assert_eq!((received.method.as_str(), &received.body[..]), ("POST", &b"body"[..]));
    post(Client::default(), &server, &roots).await.unwrap();
    assert_eq!(server.message().await.version, Version::HTTP_11);
}

#[tokio::test]
async fn http2_is_not_offered_unless_it_was_asked_for() {
    let (authority, tls) = trusted();
    let server = tls_server(tls);
    let both = Client { protocols: vec!["h2", "http/1.1"], ..Client::default() };
    let stream = both.connect(&server, &authority.pem()).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let only = Client { protocols: vec!["h2"], ..Client::default() };
    only.connect(&server, &authority.pem()).await.unwrap_err();
}

#[tokio::test]
async fn clients_that_are_sent_away_get_their_answers_first() {
    let (server, roots) = http2_server();
    let http2 = Http2::connect(&server, &roots).await;
    server.hold();
    let test = async {
        server.until(|stats| stats.waiting == 1).await;
        server.send_away();
        server.release();
    };
    let (answer, ()) = tokio::join!(http2.post("/one"), test);
    assert_eq!(answer.unwrap().0.as_u16(), 200);
    assert!(http2.post("/two").await.is_err(), "the connection is for nothing new");
    assert_eq!(server.stats().requests, 1);
}

#[tokio::test]
async fn streams_of_one_connection_are_served_together() {
    let (server, roots) = http2_server();
    server.hold();
    let http2 = Http2::connect(&server, &roots).await;
    let test = async {
        server.until(|stats| stats.waiting == 2).await;
        server.release();
    };
    let (one, two, ()) = tokio::join!(http2.post("/one"), http2.post("/two"), test);
    assert_eq!((one.unwrap().0.as_u16(), two.unwrap().0.as_u16()), (200, 200));
    let stats = server.stats();
    assert_eq!((stats.connections, stats.max_in_flight), (1, 2));
}

#[tokio::test]
async fn faults_reach_a_client_of_http2() {
    let (server, roots) = http2_server();
    let http2 = Http2::connect(&server, &roots).await;
    let slow = Duration::from_millis(50);
    server.script(vec![
        Fault::Status(503, "later".into()),
        Fault::Slow(slow),
        Fault::Chunked,
        Fault::Redirect("/elsewhere".into()),
    ]);
    let (status, body) = http2.post("/").await.unwrap();
    assert_eq!((status.as_u16(), &body[..]), (503, &b"later"[..]));
    let started = Instant::now();
    assert_eq!(http2.post("/").await.unwrap().0.as_u16(), 200);
    assert!(started.elapsed() >= slow);
    assert!(!http2.post("/").await.unwrap().1.is_empty());
    assert_eq!(http2.post("/").await.unwrap().0.as_u16(), 302);
    assert_eq!(server.stats().connections, 1);
}

#[tokio::test]
async fn a_hanging_stream_ends_with_its_connection() {
    let (server, roots) = http2_server();
    server.always(Fault::Hang);
    let http2 = Http2::connect(&server, &roots).await;
    tokio::select! {
        answer = http2.post("/") => panic!("answered: {answer:?}"),
        _ = server.until(|stats| stats.requests == 1) => (),
    }
    drop(http2);
    assert_eq!(server.until(|stats| stats.settled == 1).await.in_flight, 0);
}

#[tokio::test]
async fn a_reset_costs_all_streams_of_its_connection() {
    let (server, roots) = http2_server();
    server.script(vec![Fault::Hang, Fault::Reset]);
    let http2 = Http2::connect(&server, &roots).await;
    let second = async {
        server.until(|stats| stats.requests == 1).await;
        http2.post("/second").await.unwrap_err()
    };
    let (first, _) = tokio::join!(http2.post("/first"), second);
    first.unwrap_err();
    server.until(|stats| stats.settled == 2).await;
}
