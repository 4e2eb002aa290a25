//! The SNS backend against a strict service on loopback: what arrives, and what every kind of
//! failure comes to.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

#[path = "support/pem_file.rs"]
mod pem_file;
#[path = "support/sns.rs"]
mod sns_pool;
mod support;

use std::time::{Duration, Instant};

use event_pusher_delivery::{Attribute, AttributeValue, TlsOptions};
use event_pusher_receiver::{Action, AttributeValue as Got, Fault, SnsConfig, SnsServer};
use pem_file::PemFile;
use sns_pool::{Setup, message, pool, strict_server, with_attributes};
use support::{PATIENCE, settled};

/// One message to a server that treats requests like this; the counts of delivered, rejected,
/// exhausted and retried, and how many requests there were.
async fn fates(server: &SnsServer, setup: Setup) -> ((u64, u64, u64, u64), u64) {
    let pool = pool(server, setup);
    pool.push(message(server, "pm", "body")).unwrap();
    let report = settled(&pool).await;
    let fates = (
        report.counts.delivered,
        report.counts.rejected,
        report.counts.exhausted,
        report.counts.retried,
    );
    (fates, server.stats().requests)
}

async fn always(fault: Fault) -> ((u64, u64, u64, u64), u64) {
    let server = strict_server();
    server.always(fault);
    fates(&server, Setup::default()).await
}

fn status(status: u16, code: &str) -> Fault {
    Fault::Status(status, code.into())
}

const EXHAUSTED: ((u64, u64, u64, u64), u64) = ((0, 0, 1, 2), 3);
const REJECTED: ((u64, u64, u64, u64), u64) = ((0, 1, 0, 0), 1);

#[tokio::test]
async fn a_signed_message_arrives_with_its_attributes() {
    let server = strict_server();
    let pool = pool(&server, Setup::default());
    let attribute = |name: &str, value| Attribute { name: name.into(), value };
    let attributes = vec![
        attribute("text", AttributeValue::String("ЖЁ & = + % 日本".into())),
        attribute("number", AttributeValue::Number("-1.5".into())),
        attribute("bytes", AttributeValue::Binary([0, 255, 10].into())),
    ];
    let body = "{\"message\":\"ä 😀 <&> ~+%26\\n\"}";
    pool.push(with_attributes(message(&server, "pm", body), attributes)).unwrap();
    let received = server.message().await;
    assert_eq!(received.topic_arn, "arn:aws:sns:eu-west-1:123456789012:pm");
    assert_eq!((received.message.as_str(), received.action), (body, Action::Publish));
    let wanted = [
        ("text".to_owned(), Got::String("ЖЁ & = + % 日本".into())),
        ("number".to_owned(), Got::Number("-1.5".into())),
        ("bytes".to_owned(), Got::Binary(vec![0, 255, 10])),
    ];
    assert_eq!(received.attributes, wanted);
    assert_eq!(settled(&pool).await.counts.delivered, 1);
}

#[tokio::test]
async fn a_message_arrives_over_tls_from_a_trusted_authority_only() {
    let server = SnsServer::start(SnsConfig { tls: true, ..SnsConfig::default() });
    let pem = server.ca_pem().unwrap();
    let authority = PemFile::new(pem);
    let tls = TlsOptions { cacertfile: authority.path(), ..TlsOptions::default() };
    let trusted = Setup { tls, ..Setup::default() };
    assert_eq!(fates(&server, trusted).await.0, (1, 0, 0, 0));
    let before = server.stats().requests;
    let distrusted = pool(&server, Setup::default());
    distrusted.push(message(&server, "pm", "body")).unwrap();
    let report = settled(&distrusted).await;
    assert_eq!(report.counts.exhausted, 1);
    let cause = report.recent.causes.exhausted.unwrap();
    assert!(cause.contains("is not trusted"), "{cause}");
    // There are no options for TLS here.
    assert!(cause.contains("SSL_CERT_FILE") && !cause.contains("tls."), "{cause}");
    assert_eq!(server.stats().requests, before, "nothing was sent to a stranger");
}

#[tokio::test]
async fn what_has_to_be_mended_is_told_and_costs_one_request() {
    let usual = Setup::default;
    for (setup, topic, cause) in [
        (
            Setup { secret: "wrong", ..usual() },
            "pm",
            "403 SignatureDoesNotMatch: secret_access_key is not that of access_key_id",
        ),
        (
            Setup { region: "eu-west-2", ..usual() },
            "pm",
            "403 SignatureDoesNotMatch: region is not that of sns_host",
        ),
        (
            Setup { access_key_id: "AKIDOTHER", ..usual() },
            "pm",
            "403 InvalidClientTokenId: access_key_id is unknown, inactive or of another partition",
        ),
        (
            usual(),
            "other",
            "404 NotFound: there is no topic arn:aws:sns:eu-west-1:123456789012:other",
        ),
    ] {
        let server =
            SnsServer::start(SnsConfig { topics: Some(vec!["pm".into()]), ..SnsConfig::default() });
        let pool = pool(&server, setup);
        pool.push(message(&server, topic, "body")).unwrap();
        let report = settled(&pool).await;
        assert_eq!((report.counts.rejected, report.counts.retried), (1, 0));
        assert_eq!(report.recent.causes.rejected.as_deref(), Some(cause));
        assert_eq!(server.stats().requests, 1);
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_corrected_and_costs_no_attempt() {
    for clock_ahead in [1200, -1200] {
        let server = SnsServer::start(SnsConfig { clock_ahead, ..SnsConfig::default() });
        let pool = pool(&server, Setup { retries: 0, batching: false, ..Setup::default() });
        for index in 0..5 {
            pool.push(message(&server, "pm", &index.to_string())).unwrap();
        }
        let report = settled(&pool).await;
        assert_eq!((report.counts.delivered, report.counts.retried), (5, 0));
        assert!(
            (report.levels.clock_offset - clock_ahead).abs() <= 2,
            "{}",
            report.levels.clock_offset
        );
        assert_eq!(server.stats().requests, 6, "only the first one is signed again");
    }
}

#[tokio::test]
async fn a_signature_that_stays_wrong_is_made_twice_at_most() {
    let server = SnsServer::start(SnsConfig { clock_ahead: 1200, ..SnsConfig::default() });
    let setup = Setup { secret: "wrong", ..Setup::default() };
    let (fates, requests) = fates(&server, setup).await;
    assert_eq!((fates, requests), (REJECTED.0, 2));
}

#[tokio::test]
async fn what_sns_will_always_refuse_is_rejected_at_once() {
    for (code, text) in [(403, "AuthorizationError"), (404, "NotFound"), (400, "InvalidParameter")]
    {
        assert_eq!(always(status(code, text)).await, REJECTED, "{code} {text}");
    }
}

#[tokio::test]
async fn throttling_and_faults_of_the_service_are_retried_then_exhausted() {
    for (code, text) in [
        (429, "Throttled"),
        (400, "Throttling"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (408, "RequestTimeout"),
    ] {
        assert_eq!(always(status(code, text)).await, EXHAUSTED, "{code} {text}");
    }
}

#[tokio::test]
async fn broken_connections_and_broken_answers_are_retried_then_exhausted() {
    for fault in [
        Fault::Reset,
        Fault::Close,
        Fault::HalfAnswer,
        Fault::Garbage,
        Fault::NotHttp,
        Fault::HugeAnswer,
    ] {
        let (fates, _) = always(fault.clone()).await;
        assert_eq!(fates, EXHAUSTED.0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_service_that_never_answers_is_a_timeout() {
    let server = strict_server();
    server.always(Fault::Hang);
    let request_timeout = Duration::from_millis(50);
    let pool = pool(&server, Setup { request_timeout, retries: 1, ..Setup::default() });
    pool.push(message(&server, "pm", "body")).unwrap();
    let report = settled(&pool).await;
    assert_eq!((report.counts.exhausted, report.counts.retried), (1, 1));
    assert_eq!(report.recent.causes.exhausted.as_deref(), Some("request timeout"));
}

#[tokio::test]
async fn a_slow_service_is_waited_for() {
    let server = strict_server();
    server.always(Fault::Slow(Duration::from_millis(100)));
    assert_eq!(fates(&server, Setup::default()).await, ((1, 0, 0, 0), 1));
}

#[tokio::test]
async fn a_refused_connection_is_retried_then_exhausted() {
    let server = strict_server();
    server.go_down();
    let pool = pool(&server, Setup::default());
    pool.push(message(&server, "pm", "body")).unwrap();
    let report = settled(&pool).await;
    assert_eq!((report.counts.exhausted, report.counts.retried), (1, 2));
    assert!(report.recent.causes.exhausted.unwrap().contains("refused"));
}

#[tokio::test]
async fn a_host_name_that_nobody_knows_is_retried_then_exhausted() {
    let server = strict_server();
    let endpoint = Some("http://no-such-host.invalid".to_owned());
    let (fates, requests) = fates(&server, Setup { endpoint, ..Setup::default() }).await;
    assert_eq!((fates, requests), (EXHAUSTED.0, 0));
}

#[tokio::test]
async fn a_failure_that_passes_costs_nothing() {
    let server = strict_server();
    server.script(vec![Fault::Reset, status(500, "InternalError")]);
    assert_eq!(fates(&server, Setup::default()).await, ((1, 0, 0, 2), 3));
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let server = strict_server();
    server.script(vec![Fault::StatusRetryAfter(503, "ServiceUnavailable".into(), "1".into())]);
    let begin = Instant::now();
    assert_eq!(fates(&server, Setup::default()).await.0, (1, 0, 0, 1));
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_service_that_comes_back_gets_what_waited() {
    let server = strict_server();
    server.go_down();
    let pool = pool(&server, Setup { retries: 20, ..Setup::default() });
    for index in 0..50 {
        pool.push(message(&server, "pm", &index.to_string())).unwrap();
    }
    server.go_up();
    assert_eq!(settled(&pool).await.counts.delivered, 50);
    assert_eq!(server.messages().len(), 50);
}

#[tokio::test]
async fn a_message_above_256_kib_is_rejected_and_never_sent() {
    let server = strict_server();
    let pool = pool(&server, Setup::default());
    pool.push(message(&server, "pm", &"x".repeat(256 * 1024 + 1))).unwrap();
    pool.push(message(&server, "pm", &"x".repeat(256 * 1024))).unwrap();
    let report = settled(&pool).await;
    assert_eq!((report.counts.rejected, report.counts.delivered), (1, 1));
    assert_eq!(server.stats().requests, 1);
}

#[tokio::test]
async fn waiting_messages_of_one_topic_travel_as_one_batch() {
    let server = strict_server();
    let pool = held_with(&server, Setup::default(), 25).await;
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 26);
    let sizes: Vec<_> = server.messages().iter().map(|received| received.batch_size).collect();
    assert_eq!(sizes.iter().filter(|size| **size == 10).count(), 20, "{sizes:?}");
    assert_eq!(server.stats().requests, 4);
}

#[tokio::test]
async fn batching_can_be_turned_off() {
    let server = strict_server();
    let setup = Setup { batching: false, ..Setup::default() };
    let pool = held_with(&server, setup, 5).await;
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 6);
    assert_eq!(server.stats().requests, 6);
}

#[tokio::test]
async fn entries_that_fail_are_handled_one_by_one() {
    let server = strict_server();
    let fail = |index, code: &str, sender| (index, code.to_owned(), sender);
    server.script(vec![
        Fault::Pass,
        Fault::FailEntries(vec![
            fail(1, "InvalidParameter", true),
            fail(3, "InternalError", false),
            fail(4, "Throttled", true),
        ]),
    ]);
    let pool = held_with(&server, Setup::default(), 6).await;
    server.release();
    let report = settled(&pool).await;
    assert_eq!((report.counts.delivered, report.counts.rejected, report.counts.retried), (6, 1, 2));
    let mut bodies: Vec<_> = server.messages().into_iter().map(|it| it.message).collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "2", "3", "4", "5", "first"]);
}

#[tokio::test]
async fn an_answer_that_lacks_an_entry_is_no_answer() {
    for fault in [Fault::DropEntry(1), Fault::WrongIds, Fault::Garbage] {
        let server = strict_server();
        server.script(vec![Fault::Pass, fault.clone()]);
        let pool = held_with(&server, Setup::default(), 3).await;
        server.release();
        let report = settled(&pool).await;
        assert_eq!((report.counts.delivered, report.counts.retried), (4, 3), "{fault:?}");
    }
}

#[tokio::test]
async fn a_batch_refused_as_a_whole_is_sent_one_by_one() {
    let server = strict_server();
    server.script(vec![Fault::Pass, status(400, "InvalidParameter")]);
    let pool = held_with(&server, Setup::default(), 5).await;
    server.release();
    let report = settled(&pool).await;
    assert_eq!(
        (report.counts.delivered, report.counts.rejected, report.levels.batch_limit),
        (6, 0, 10)
    );
}

#[tokio::test]
async fn an_endpoint_without_publish_batch_gets_single_messages_from_then_on() {
    let server = strict_server();
    server.always(Fault::NoBatch);
    let pool = held_with(&server, Setup::default(), 30).await;
    server.release();
    let report = settled(&pool).await;
    assert_eq!((report.counts.delivered, report.levels.batch_limit), (31, 1));
    let batches = server.requests().iter().filter(|it| it.action == "PublishBatch").count();
    assert_eq!(batches, 1);
}

#[tokio::test]
async fn a_page_of_a_balancer_is_retried_and_turns_no_batch_off() {
    for page in [404, 405, 501, 400, 403] {
        let server = strict_server();
        server.script(vec![Fault::Pass, status(page, ""), status(page, "")]);
        let pool = held_with(&server, Setup::default(), 20).await;
        server.release();
        let report = settled(&pool).await;
        assert_eq!(
            (report.counts.delivered, report.counts.rejected, report.levels.batch_limit),
            (21, 0, 10),
            "{page}"
        );
    }
    assert_eq!(always(status(404, "")).await, EXHAUSTED);
}

#[tokio::test]
async fn a_redirect_and_a_limit_of_size_are_rejected_though_no_answers_of_sns() {
    for code in [302, 413] {
        assert_eq!(always(status(code, "")).await, REJECTED, "{code}");
    }
}

#[tokio::test]
async fn a_fifo_message_keeps_its_deduplication_id_over_retries() {
    let server = strict_server();
    // The service takes the message, but its answer is lost.
    server.script(vec![Fault::HalfAnswer]);
    let pool = pool(&server, Setup::default());
    for body in ["first", "second"] {
        pool.push(message(&server, "pm.fifo", body)).unwrap();
    }
    let report = settled(&pool).await;
    assert_eq!((report.counts.delivered, report.counts.retried), (2, 1));
    let received = server.messages();
    let bodies: Vec<_> = received.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(bodies, ["first", "second"], "in order and without a duplicate");
    assert_eq!(received[0].group.as_deref(), Some("alice@localhost"));
    assert_ne!(received[0].deduplication, received[1].deduplication);
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_the_pool_may_have() {
    let server = strict_server();
    let setup = Setup { workers: 7, batching: false, ..Setup::default() };
    let pool = pool(&server, setup);
    server.hold();
    for index in 0..50 {
        pool.push(message(&server, "pm", &index.to_string())).unwrap();
    }
    tokio::time::timeout(PATIENCE, server.until(|stats| stats.waiting == 7)).await.unwrap();
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 50);
    assert_eq!(server.stats().max_in_flight, 7);
}

#[tokio::test]
async fn connections_are_kept_alive() {
    let server = strict_server();
    let setup = Setup { workers: 3, batching: false, ..Setup::default() };
    let pool = pool(&server, setup);
    for index in 0..100 {
        pool.push(message(&server, "pm", &index.to_string())).unwrap();
    }
    assert_eq!(settled(&pool).await.counts.delivered, 100);
    assert!(server.stats().connections <= 3, "{:?}", server.stats());
}

/// A pool whose only worker is held up by its first request, with so many messages behind it.
async fn held_with(
    server: &SnsServer,
    setup: Setup,
    waiting: usize,
) -> event_pusher_delivery::Pool {
    let pool = pool(server, setup);
    server.hold();
    pool.push(message(server, "pm", "first")).unwrap();
    tokio::time::timeout(PATIENCE, server.until(|stats| stats.waiting == 1)).await.unwrap();
    for index in 0..waiting {
        pool.push(message(server, "pm", &index.to_string())).unwrap();
    }
    pool
}
