//! Answers of success with a body that is not worth waiting for: the status has decided.

use std::time::Duration;

use event_pusher_receiver::Fault;

use crate::rig::{Setup, pool, push, server};
use crate::support::settled;

/// Two messages, the first of which gets such an answer: each is delivered, once. How many
/// connections it took tells whether the first answer was read to its end.
async fn connections(first: Fault, setup: Setup) -> u64 {
    let server = server();
    server.script(vec![first]);
    let pool = pool(&server, setup);
    push(&pool, 2);
    let report = settled(&pool).await;
    assert_eq!((report.delivered, report.retried), (2, 0));
    let stats = server.stats();
    assert_eq!(stats.requests, 2);
    stats.connections
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts() {
    assert_eq!(connections(Fault::HalfAnswer, Setup::default()).await, 2);
}

#[tokio::test]
async fn an_answer_in_chunks_counts_and_its_connection_is_used_again() {
    assert_eq!(connections(Fault::Chunked, Setup::default()).await, 1);
}

#[tokio::test]
async fn an_answer_of_64_kib_counts_and_its_connection_is_used_again() {
    let answer = Fault::Status(200, "x".repeat(64 << 10));
    assert_eq!(connections(answer, Setup::default()).await, 1);
}

#[tokio::test]
async fn a_huge_answer_counts_and_is_given_up_with_its_connection() {
    assert_eq!(connections(Fault::HugeAnswer, Setup::default()).await, 2);
}

#[tokio::test]
async fn an_answer_without_end_counts_and_holds_its_worker_for_one_request_timeout_at_most() {
    // With the usual timeout, the second message would come after the end of patience.
    let setup = Setup { request_timeout: Duration::from_millis(300), ..Setup::default() };
    assert_eq!(connections(Fault::EndlessAnswer, setup).await, 2);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_counts() {
    assert_eq!(connections(Fault::Garbage, Setup::default()).await, 1);
}
