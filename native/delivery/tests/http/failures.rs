//! What a receiver comes to that gives no answer, or none that can be understood.

use std::time::Duration;

use event_pusher_receiver::Fault;

use crate::rig::{
    Fates, Setup, fates, pool, pool_to, push, seen, server, server_that, told, until,
};
use crate::support::settled;

#[tokio::test]
async fn broken_connections_are_retried_then_exhausted() {
    for fault in [Fault::Reset, Fault::Close, Fault::NotHttp] {
        let server = server_that(fault.clone());
        let (fates, cause) = told(&server, Setup::default()).await;
        assert_eq!(fates, Fates::EXHAUSTED, "{fault:?}");
        assert!(!cause.is_empty() && !cause.contains("127.0.0.1"), "{fault:?}: {cause}");
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_a_request_timeout() {
    let server = server_that(Fault::Hang);
    let setup = Setup { request_timeout: Duration::from_millis(50), ..Setup::default() };
    let (fates, cause) = told(&server, setup).await;
    assert_eq!((fates, cause.as_str()), (Fates::EXHAUSTED, "request timeout"));
    seen(&server, |stats| stats.settled == 3).await;
}

#[tokio::test]
async fn a_refused_connection_is_retried_then_exhausted() {
    let server = server();
    server.go_down();
    let (fates, cause) = told(&server, Setup::default()).await;
    assert_eq!(fates, Fates::UNREACHED);
    assert!(cause.contains("refused"), "{cause}");
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_retried_then_exhausted() {
    let pool = pool_to("http://no-such-host.invalid", Setup::default());
    push(&pool, 1);
    let report = settled(&pool).await;
    assert_eq!((report.counts.exhausted, report.counts.retried), (1, 2));
}

#[tokio::test]
async fn failures_that_pass_cost_nothing() {
    let server = server();
    let status = |status| Fault::Status(status, "later".into());
    server.script(vec![Fault::Reset, status(503), Fault::NotHttp, Fault::Close, status(429)]);
    let fates = fates(&server, Setup { retries: 5, ..Setup::default() }).await;
    assert_eq!(fates, Fates { retried: 5, requests: 6, ..Fates::DELIVERED });
    assert_eq!(server.stats().messages, 1);
}

#[tokio::test]
async fn a_receiver_that_comes_back_gets_everything_that_was_accepted() {
    let server = server();
    let setup = Setup { workers: 5, retries: 10_000, ..Setup::default() };
    let pool = pool(&server, setup);
    server.go_down();
    push(&pool, 100);
    until(&pool, |report| report.counts.retried >= 20).await;
    server.go_up();
    until(&pool, |report| report.levels.waiting == 0).await;
    let report = settled(&pool).await;
    assert_eq!(
        (report.counts.accepted, report.counts.delivered, report.counts.dropped()),
        (100, 100, 0)
    );
    assert_eq!(server.stats().messages, 100);
}

#[tokio::test]
async fn a_receiver_that_goes_down_with_requests_loses_none_of_them() {
    let server = server();
    let setup = Setup { workers: 5, retries: 10_000, ..Setup::default() };
    let pool = pool(&server, setup);
    server.hold();
    push(&pool, 50);
    for round in 1..4 {
        seen(&server, |stats| stats.waiting == 5).await;
        server.go_down();
        until(&pool, |report| report.counts.retried >= 10 * round).await;
        server.go_up();
    }
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 50);
    assert_eq!(server.stats().messages, 50, "those cut off were never processed");
}
