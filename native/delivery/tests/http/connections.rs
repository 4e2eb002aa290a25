//! How many connections it takes, over HTTP/1.1 and HTTP/2.

use std::collections::HashSet;
use std::time::Duration;

use event_pusher_delivery::TlsOptions;
use event_pusher_receiver::{
    Authority, Fault, HttpConfig, HttpServer, Identity, TlsConfig, Validity,
};
use http::Version;

use crate::pem_file::PemFile;
use crate::rig::{Fates, Setup, fates, pool, push, seen, server, until, with_headers};
use crate::support::settled;

/// A server that prefers HTTP/2, and a pool's settings to speak it.
fn http2() -> (HttpServer, PemFile, Setup) {
    http2_with(HttpConfig::default())
}

fn http2_with(config: HttpConfig) -> (HttpServer, PemFile, Setup) {
    let authority = Authority::new("authority of a test");
    let identity = authority.identity(&Identity::LOOPBACK, Validity::Now);
    let tls = TlsConfig { http2: true, ..TlsConfig::new(identity) };
    let server = HttpServer::start(HttpConfig { tls: Some(tls), ..config });
    let ca = PemFile::new(&authority.pem());
    let options = TlsOptions { cacertfile: ca.path(), ..TlsOptions::default() };
    (server, ca, Setup { tls: Some(options), http2: true, ..Setup::default() })
}

#[tokio::test]
async fn connections_are_used_again_and_never_more_than_there_are_workers() {
    let server = server();
    let pool = pool(&server, Setup { workers: 4, ..Setup::default() });
    server.hold();
    push(&pool, 200);
    seen(&server, |stats| stats.waiting == 4).await;
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 200);
    assert_eq!(server.stats().connections, 4);
}

#[tokio::test]
async fn a_receiver_that_closes_idle_connections_costs_nothing() {
    let server = server();
    let pool = pool(&server, Setup { workers: 3, retries: 1, ..Setup::default() });
    for round in 1..=5 {
        push(&pool, 20);
        until(&pool, |report| report.counts.delivered == 20 * round).await;
        server.go_down();
        server.go_up();
    }
    push(&pool, 20);
    assert_eq!(settled(&pool).await.counts.delivered, 120);
    assert_eq!(server.stats().messages, 120, "none of them twice");
}

#[tokio::test]
async fn many_messages_share_one_connection_of_http2() {
    let (server, _ca, setup) = http2();
    let pool = pool(&server, Setup { workers: 20, ..setup });
    push(&pool, 1);
    until(&pool, |report| report.counts.delivered == 1).await;
    server.hold();
    push(&pool, 100);
    seen(&server, |stats| stats.waiting == 20).await;
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 101);
    let versions: HashSet<_> = server.messages().into_iter().map(|it| it.version).collect();
    assert_eq!(versions, HashSet::from([Version::HTTP_2]));
    let stats = server.stats();
    assert_eq!((stats.connections, stats.max_in_flight), (1, 20));
}

#[tokio::test]
async fn all_workers_have_a_request_under_way_however_few_streams_a_connection_has() {
    let (server, _ca, setup) = http2_with(HttpConfig { streams: 4, ..HttpConfig::default() });
    let pool = pool(&server, Setup { workers: 20, ..setup });
    server.hold();
    push(&pool, 100);
    seen(&server, |stats| stats.waiting == 20).await;
    server.release();
    let report = settled(&pool).await;
    assert_eq!((report.counts.delivered, report.counts.retried), (100, 0));
    let versions: HashSet<_> = server.messages().into_iter().map(|it| it.version).collect();
    assert_eq!(versions, HashSet::from([Version::HTTP_2]));
    let stats = server.stats();
    assert_eq!((stats.connections, stats.messages), (5, 100));
}

#[tokio::test]
async fn connections_that_died_unnoticed_cost_no_attempt() {
    let (over_http2, _ca, setup) = http2();
    for (server, setup) in [(&server(), Setup::default()), (&over_http2, setup)] {
        let pool = pool(server, Setup { workers: 10, retries: 0, ..setup });
        server.hold();
        push(&pool, 10);
        seen(server, |stats| stats.waiting == 10).await;
        server.release();
        until(&pool, |report| report.counts.delivered == 10).await;
        // A connection of HTTP/2 takes all its requests with it.
        server.script(vec![Fault::Reset; 10]);
        server.hold();
        push(&pool, 10);
        seen(server, |stats| stats.waiting == 10).await;
        server.release();
        let report = settled(&pool).await;
        assert_eq!((report.counts.delivered, report.counts.retried), (20, 0));
        assert_eq!(server.stats().messages, 20, "none of them twice");
    }
}

#[tokio::test]
async fn a_request_is_sent_again_within_its_attempt_only_once_and_only_if_nothing_came() {
    let reset = |count| vec![Fault::Reset; count];
    let half = Fault::Raw(b"HTT".to_vec());
    for (faults, retried, requests) in
        [(reset(1), 0, 2), (reset(2), 1, 3), (reset(3), 2, 4), (vec![half], 1, 2)]
    {
        let server = server();
        let pool = pool(&server, Setup::default());
        push(&pool, 1);
        until(&pool, |report| report.counts.delivered == 1).await;
        server.script(faults.clone());
        push(&pool, 1);
        let report = settled(&pool).await;
        assert_eq!((report.counts.delivered, report.counts.retried), (2, retried), "{faults:?}");
        assert_eq!(server.stats().requests, 1 + requests, "{faults:?}");
    }
}

#[tokio::test]
async fn a_request_timeout_is_an_attempt_and_lets_no_other_kept_connection_cost_one() {
    let server = server();
    let request_timeout = Duration::from_millis(500);
    let pool = pool(&server, Setup { workers: 3, retries: 1, request_timeout, ..Setup::default() });
    server.hold();
    push(&pool, 3);
    seen(&server, |stats| stats.waiting == 3).await;
    server.release();
    until(&pool, |report| report.counts.delivered == 3).await;
    // Whichever kept connection it takes says nothing, and then nor would the others.
    server.script(vec![Fault::Hang]);
    push(&pool, 1);
    let report = settled(&pool).await;
    assert_eq!((report.counts.delivered, report.counts.retried), (4, 1));
    let stats = server.stats();
    assert_eq!((stats.requests, stats.messages, stats.connections), (5, 4, 4));
}

#[tokio::test]
async fn a_connection_of_http2_that_timed_out_twice_is_given_up() {
    let (server, _ca, setup) = http2();
    server.script(vec![Fault::Pass, Fault::Hang, Fault::Hang]);
    let request_timeout = Duration::from_millis(300);
    let pool = pool(&server, Setup { request_timeout, ..setup });
    push(&pool, 2);
    let report = settled(&pool).await;
    assert_eq!((report.counts.delivered, report.counts.retried), (2, 2));
    let stats = server.stats();
    assert_eq!((stats.requests, stats.connections), (4, 2));
}

#[tokio::test]
async fn http2_is_spoken_only_where_it_is_wanted() {
    let (server, _ca, setup) = http2();
    let pool = pool(&server, Setup { http2: false, ..setup });
    push(&pool, 1);
    assert_eq!(settled(&pool).await.counts.delivered, 1);
    assert_eq!(server.message().await.version, Version::HTTP_11);
}

#[tokio::test]
async fn a_lost_connection_of_http2_loses_no_message() {
    let (server, _ca, setup) = http2();
    let pool = pool(&server, Setup { workers: 10, retries: 10_000, ..setup });
    server.hold();
    push(&pool, 50);
    seen(&server, |stats| stats.waiting == 10).await;
    server.go_down();
    until(&pool, |report| report.counts.retried >= 10).await;
    server.go_up();
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 50);
    assert_eq!(server.stats().messages, 50);
}

#[tokio::test]
async fn a_request_that_hangs_over_http2_leaves_its_connection_to_the_others() {
    let (server, _ca, setup) = http2();
    server.script(vec![Fault::Hang]);
    let request_timeout = Duration::from_millis(200);
    let fates = fates(&server, Setup { request_timeout, ..setup }).await;
    assert_eq!(fates, Fates { retried: 1, requests: 2, ..Fates::DELIVERED });
    assert_eq!(server.stats().connections, 1);
}

#[tokio::test]
async fn headers_that_belong_to_http1_do_no_harm_over_http2() {
    let (server, _ca, setup) = http2();
    let pool = pool(&server, setup);
    let given: [(&str, &[u8]); 5] = [
        ("Connection", b"close"),
        ("Keep-Alive", b"timeout=5"),
        ("Upgrade", b"h2c"),
        ("TE", b"gzip"),
        ("X-Tag", b"kept"),
    ];
    pool.push(with_headers(&given)).unwrap();
    assert_eq!(settled(&pool).await.counts.delivered, 1);
    let received = server.message().await;
    assert_eq!((received.version, received.header("x-tag")), (Version::HTTP_2, Some("kept")));
}

#[tokio::test]
async fn headers_are_the_same_over_both_versions() {
    let (over_http2, _ca, setup) = http2();
    for (server, setup) in [(&server(), Setup::default()), (&over_http2, setup)] {
        let pool = pool(server, setup);
        pool.push(with_headers(&[("X-Tag", b" \t a b  "), ("Host", b" hooks.example.com ")]))
            .unwrap();
        assert_eq!(settled(&pool).await.counts.delivered, 1);
        let received = server.message().await;
        assert_eq!(received.header("x-tag"), Some("a b"));
        assert_eq!(received.authority.as_deref(), Some("hooks.example.com"));
    }
}
