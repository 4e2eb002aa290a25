//! Without TLS: what it keeps, and how each fault looks to a client.

use std::{
    io::{ErrorKind, Write},
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, POST, connect, exchange, plain_server, post, server_that};
use event_pusher_receiver::{Fault, HttpConfig, HttpServer};
use hyper::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_request_is_kept_as_it_was_sent() {
    let server = plain_server();
    let request = "PUT /a%2Fb/?x=1&y=%C3%A4 HTTP/1.1\r\nHost: localhost\r\nX-Second: \u{e4}\r\n\
        X-Twice: one\r\nA-Last: end\r\nX-Twice: two\r\nContent-Length: 5\r\n\r\nb\0dy\n";
    let answer = exchange(connect(&server).await.unwrap(), request).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let received = server.message().await;
    assert_eq!((received.method.as_str(), received.version), ("PUT", Version::HTTP_11));
    assert_eq!(received.target, "/a%2Fb/?x=1&y=%C3%A4");
    assert_eq!(received.body, "b\0dy\n");
    let headers: Vec<_> =
        received.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    let wanted: [(&str, &[u8]); 7] = [
        ("host", b"localhost"),
        ("x-second", "\u{e4}".as_bytes()),
        ("x-twice", b"one"),
        ("x-twice", b"two"),
        ("a-last", b"end"),
        ("content-length", b"5"),
        ("connection", b"close"),
    ];
    assert_eq!(headers, wanted);
    assert_eq!(received.header("x-twice"), Some("one"));
    assert_eq!((received.connection, received.request), (1, 1));
    assert_eq!((received.client_certificate, received.server_name), (false, None));
}

#[tokio::test]
async fn a_refused_request_is_kept_but_does_not_count_as_a_message() {
    let server = plain_server();
    server.script(vec![Fault::Status(503, "later".into()), Fault::Reset]);
    assert!(post(&server).await.unwrap().ends_with("later"));
    post(&server).await.unwrap_err();
    post(&server).await.unwrap();
    let kept = server.messages();
    assert_eq!(kept.iter().map(|it| it.request).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(kept.iter().all(|it| it.body == "body"));
    assert_eq!(server.until(|stats| stats.settled == 3).await.messages, 1);
    let log = server.requests();
    let statuses: Vec<_> = log.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(503), None, Some(200)]);
    assert!(log.iter().all(|request| request.action == "POST /hook" && request.settled));
}

#[tokio::test]
async fn an_idle_connection_of_http1_ends_when_its_client_is_sent_away() {
    let server = plain_server();
    let mut stream = connect(&server).await.unwrap();
    stream.write_all(POST.as_bytes()).await.unwrap();
    server.until(|stats| stats.settled == 1).await;
    server.send_away();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let server = plain_server();
    let mut stream = connect(&server).await.unwrap();
    stream.write_all(POST.as_bytes()).await.unwrap();
    server.message().await;
    let answers = exchange(stream, POST).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(server.message().await.connection, 1);
    assert_eq!(server.stats().connections, 1);
}

#[tokio::test]
async fn a_sink_counts_and_keeps_nothing() {
    let server = HttpServer::start(HttpConfig { capture: false, ..HttpConfig::default() });
    post(&server).await.unwrap();
    assert_eq!((server.stats().requests, server.stats().messages), (1, 1));
    assert!(server.messages().is_empty() && server.requests().is_empty());
}

#[test]
fn a_test_without_a_runtime_waits_for_the_next_request() {
    let server = plain_server();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.write_all(POST.as_bytes()).unwrap();
    assert_eq!(server.next_message(PATIENCE).unwrap().target, "/hook?a=%20b");
    assert_eq!(server.next_message(Duration::ZERO), None);
}

#[tokio::test]
async fn a_status_comes_with_its_headers() {
    let server = plain_server();
    server.script(vec![
        Fault::StatusRetryAfter(429, "slow down".into(), "7".into()),
        Fault::Redirect("http://127.0.0.1:1/elsewhere".into()),
    ]);
    let throttled = post(&server).await.unwrap();
    assert!(throttled.starts_with("HTTP/1.1 429 "), "{throttled}");
    assert!(throttled.contains("\r\nretry-after: 7\r\n"), "{throttled}");
    assert!(throttled.ends_with("\r\n\r\nslow down"), "{throttled}");
    let redirected = post(&server).await.unwrap();
    assert!(redirected.starts_with("HTTP/1.1 302 "), "{redirected}");
    assert!(redirected.contains("\r\nlocation: http://127.0.0.1:1/elsewhere\r\n"), "{redirected}");
    assert_eq!(server.stats().messages, 0);
}

#[tokio::test]
async fn a_connection_ends_as_badly_as_asked() {
    let server = server_that(Fault::Reset);
    assert_eq!(post(&server).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.always(Fault::Close);
    assert_eq!(post(&server).await.unwrap(), "");
    server.always(Fault::NotHttp);
    assert_eq!(post(&server).await.unwrap(), "220 no HTTP\r\n");
}

#[tokio::test]
async fn a_half_answer_is_shorter_than_it_says() {
    let server = server_that(Fault::HalfAnswer);
    let answer = post(&server).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = head.strip_prefix("HTTP/1.1 200 OK\r\nContent-Length: ").unwrap();
    assert!(!body.is_empty() && body.len() < length.parse().unwrap(), "{answer}");
    assert_eq!(server.stats().messages, 1);
}

#[tokio::test]
async fn a_chunked_answer_is_complete_without_a_length() {
    let server = server_that(Fault::Chunked);
    let answer = post(&server).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(head.contains("\r\ntransfer-encoding: chunked"), "{answer}");
    assert!(!head.contains("content-length"), "{answer}");
    let chunks = chunks(body);
    assert!(chunks.len() > 2 && chunks.iter().all(|chunk| !chunk.is_empty()), "{answer}");
    assert_eq!(server.stats().messages, 1);
}

/// The chunks of a body that is complete.
fn chunks(mut body: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    while body != "0\r\n\r\n" {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let (chunk, rest) = rest.split_at(usize::from_str_radix(size, 16).unwrap());
        chunks.push(chunk);
        body = rest.strip_prefix("\r\n").unwrap();
    }
    chunks
}

#[tokio::test]
async fn an_endless_answer_goes_on_until_the_client_leaves() {
    let server = server_that(Fault::EndlessAnswer);
    let mut stream = connect(&server).await.unwrap();
    stream.write_all(POST.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let started = Instant::now();
    while !bytes.ends_with(&b"1\r\n.\r\n".repeat(5)) {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_huge_answer_is_a_quarter_of_a_gigabyte() {
    let server = server_that(Fault::HugeAnswer);
    let mut stream = connect(&server).await.unwrap();
    let request = POST.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    let read = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    assert!(read > 256 << 20);
}

#[tokio::test]
async fn garbage_is_a_success_with_a_body() {
    let answer = post(&server_that(Fault::Garbage)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_slow_answer_takes_as_long_as_asked() {
    let server = server_that(Fault::Slow(Duration::from_millis(50)));
    let started = Instant::now();
    assert!(post(&server).await.unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_hanging_request_is_in_flight_until_the_client_leaves() {
    let server = server_that(Fault::Hang);
    let mut stream = connect(&server).await.unwrap();
    stream.write_all(POST.as_bytes()).await.unwrap();
    server.until(|stats| stats.in_flight == 1).await;
    drop(stream);
    assert_eq!(server.until(|stats| stats.settled == 1).await.in_flight, 0);
    assert_eq!(server.requests()[0].status, None);
}

#[tokio::test]
async fn a_held_request_waits_until_it_is_released() {
    let server = plain_server();
    server.hold();
    let client = async { post(&server).await.unwrap() };
    let test = async {
        server.until(|stats| stats.waiting == 1).await;
        assert_eq!(server.stats().messages, 0);
        server.release();
    };
    assert!(tokio::join!(client, test).0.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_server_that_is_down_refuses_connections_until_it_is_up() {
    let server = plain_server();
    let mut open = connect(&server).await.unwrap();
    server.until(|stats| stats.connections == 1).await;
    server.go_down();
    assert_eq!(open.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(connect(&server).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    server.go_up();
    post(&server).await.unwrap();
}
