//! The retry rule: what each status comes to.

use std::time::Duration;

use event_pusher_receiver::Fault;

use crate::rig::{Fates, Setup, fates, server, server_that, told};

fn status(status: u16) -> Fault {
    Fault::Status(status, "text of the receiver".into())
}

#[tokio::test]
async fn every_2xx_is_delivered() {
    for code in [200, 201, 202, 204, 299] {
        let server = server_that(status(code));
        assert_eq!(fates(&server, Setup::default()).await, Fates::DELIVERED, "{code}");
    }
}

#[tokio::test]
async fn a_refusal_that_would_repeat_itself_is_rejected_at_once() {
    for code in [300, 304, 400, 401, 403, 404, 405, 410, 413, 422, 501] {
        let server = server_that(status(code));
        let (fates, cause) = told(&server, Setup::default()).await;
        assert_eq!(fates, Fates::REJECTED, "{code}");
        assert_eq!(cause, code.to_string());
    }
}

#[tokio::test]
async fn a_failure_of_the_receiver_is_retried_then_exhausted() {
    for code in [408, 429, 500, 502, 503, 504] {
        let server = server_that(status(code));
        let (fates, cause) = told(&server, Setup::default()).await;
        assert_eq!(fates, Fates::EXHAUSTED, "{code}");
        assert_eq!(cause, code.to_string());
    }
}

#[tokio::test]
async fn there_are_as_many_retries_as_the_settings_allow() {
    for retries in [0, 1, 5] {
        let server = server_that(status(500));
        let fates = fates(&server, Setup { retries, ..Setup::default() }).await;
        let retried = u64::from(retries);
        assert_eq!(fates, Fates { retried, requests: 1 + retried, ..Fates::EXHAUSTED });
    }
}

#[tokio::test]
async fn a_receiver_is_left_alone_for_as_long_as_it_asks() {
    let server = server();
    server.script(vec![Fault::StatusRetryAfter(429, "later".into(), "1".into())]);
    let fates = fates(&server, Setup::default()).await;
    assert_eq!(fates, Fates { retried: 1, requests: 2, ..Fates::DELIVERED });
    let requests = server.requests();
    assert!(requests[1].arrived - requests[0].arrived >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_message_that_would_have_to_wait_too_long_is_exhausted_at_once() {
    let server = server_that(Fault::StatusRetryAfter(503, "later".into(), "301".into()));
    let fates = fates(&server, Setup::default()).await;
    assert_eq!(fates, Fates { retried: 0, requests: 1, ..Fates::EXHAUSTED });
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = server();
    let server = server_that(Fault::Redirect(format!("{}/hook", elsewhere.url())));
    let (fates, cause) = told(&server, Setup::default()).await;
    assert_eq!((fates, cause.as_str()), (Fates::REJECTED, "302"));
    assert_eq!(elsewhere.stats().connections, 0);
}
