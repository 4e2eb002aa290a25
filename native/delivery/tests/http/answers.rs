//! Answers of success with a body that is not worth waiting for: the status has decided.

use std::time::Duration;

use event_pusher_receiver::Fault;

use crate::rig::{Fates, Setup, fates, pool, push, server, server_that, told};
use crate::support::settled;

/// Two messages, the first of which gets such an answer: each is delivered, once. How many
/// connections it took tells whether the first answer was read to its end.
async fn connections(first: Fault, setup: Setup) -> u64 {
    let server = server();
    server.script(vec![first]);
    let pool = pool(&server, setup);
    push(&pool, 2);
    let report = settled(&pool).await;
    assert_eq!((report.counts.delivered, report.counts.retried), (2, 0));
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

/// A head that HTTP does not permit, or that is more than a client has to read.
fn untidy(status: u16) -> Vec<Vec<u8>> {
    let many: String = (0..150).map(|number| format!("X-{number}: x\r\n")).collect();
    let huge = format!("X-Huge: {}\r\n", "x".repeat(1 << 20));
    let headers = [
        "X-Odd : before the colon\r\n",
        "X-Odd: folded\r\n  line\r\n",
        "X-Odd without a colon\r\n",
        ": without a name\r\n",
        "X-Odd: \x01\r\n",
        "Content-Length: many\r\n",
        "Content-Length: \r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X-Odd: line feeds only\n",
        "X-Odd: \u{17c}\u{f3}\u{142}\u{107}\r\n",
        &many,
        &huge,
    ];
    let mut answers: Vec<_> = headers
        .iter()
        .map(|header| format!("HTTP/1.1 {status} Word\r\n{header}\r\nno chunk").into_bytes())
        .collect();
    // What breaks off, an odd reason, and answers before the final one.
    answers.push(format!("HTTP/1.1 {status} Word\r\nX-Half: hea").into_bytes());
    answers.push(format!("HTTP/1.1 {status}\r\n\r\n").into_bytes());
    answers.push([format!("HTTP/1.1 {status} ").as_bytes(), b"\x01\xff\r\n\r\n"].concat());
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n";
    answers.push(format!("{interim}HTTP/1.1 {status} Word\r\nno colon\r\n\r\n").into_bytes());
    answers
}

#[tokio::test]
async fn a_status_counts_whatever_comes_with_it() {
    for answer in untidy(200) {
        let server = server_that(Fault::Raw(answer.clone()));
        let fates = fates(&server, Setup::default()).await;
        assert_eq!(fates, Fates::DELIVERED, "{}", String::from_utf8_lossy(&answer));
    }
    for answer in untidy(404) {
        let server = server_that(Fault::Raw(answer.clone()));
        let (fates, cause) = told(&server, Setup::default()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!((fates, cause.as_str()), (Fates::REJECTED, "404"), "{answer}");
    }
}

#[tokio::test]
async fn the_wish_to_be_left_alone_is_read_from_untidy_headers_as_well() {
    let answer = "HTTP/1.1 503 No\r\nX-Odd : 1\r\nno colon\r\nRetry-After: 301\r\n\r\n";
    let server = server_that(Fault::Raw(answer.into()));
    let fates = fates(&server, Setup::default()).await;
    assert_eq!(fates, Fates { retried: 0, requests: 1, ..Fates::EXHAUSTED });
}
