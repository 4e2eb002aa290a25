//! What arrives.

use event_pusher_delivery::Message;
use event_pusher_receiver::{HttpReceived, HttpServer};

use crate::rig::{Setup, message, pool, server, with_headers};
use crate::support::settled;

/// Sends one message; what arrived of it.
async fn sent(server: &HttpServer, setup: Setup, message: Message) -> HttpReceived {
    let pool = pool(server, setup);
    pool.push(message).unwrap();
    assert_eq!(settled(&pool).await.counts.delivered, 1);
    server.message().await
}

async fn sent_as_usual(message: Message) -> HttpReceived {
    sent(&server(), Setup::default(), message).await
}

#[tokio::test]
async fn a_post_arrives_at_its_path_and_query() {
    let setup = Setup { path: "hook/a%20b?c=d&e=%26", ..Setup::default() };
    let server = server();
    let received = sent(&server, setup, message("body")).await;
    assert_eq!((received.method.as_str(), &received.body[..]), ("POST", &b"body"[..]));
    assert_eq!(received.target, "/hook/a%20b?c=d&e=%26");
    let host = format!("127.0.0.1:{}", server.port());
    assert_eq!(received.header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn headers_arrive_in_their_order_and_may_repeat() {
    let given: [(&str, &[u8]); 5] = [
        ("X-Zebra", b"1"),
        ("X-Tag", b"first"),
        ("Content-Type", b"application/json; charset=utf-8"),
        ("x-tag", b"second"),
        ("X-Ape", b"\xE4 \xFF"),
    ];
    let received = sent_as_usual(with_headers(&given)).await;
    let names = ["x-zebra", "x-tag", "content-type", "x-ape"];
    let arrived: Vec<_> = received
        .headers
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    // The receiver tells the values of one name together.
    let wanted: [(&str, &[u8]); 5] = [
        ("x-zebra", b"1"),
        ("x-tag", b"first"),
        ("x-tag", b"second"),
        ("content-type", b"application/json; charset=utf-8"),
        ("x-ape", b"\xE4 \xFF"),
    ];
    assert_eq!(arrived, wanted);
}

#[tokio::test]
async fn a_body_arrives_byte_by_byte() {
    let big: Vec<u8> = (0..1 << 20).map(|index: u32| (index % 251) as u8).collect();
    for body in [Vec::new(), vec![0, 255, b'\r', b'\n', 0xC3, b'('], big] {
        let received = sent_as_usual(message(body.clone())).await;
        assert!(received.body == body, "{} bytes became {}", body.len(), received.body.len());
        assert_eq!(received.header("content-length"), Some(body.len().to_string().as_str()));
    }
}

#[tokio::test]
async fn headers_about_length_and_connection_are_not_for_messages_to_say() {
    let server = server();
    let pool = pool(&server, Setup::default());
    let given: [(&str, &[u8]); 4] = [
        ("Content-Length", b"7"),
        ("Transfer-Encoding", b"chunked"),
        ("Connection", b"close"),
        ("X-Tag", b"kept"),
    ];
    pool.push(with_headers(&given)).unwrap();
    pool.push(with_headers(&given)).unwrap();
    assert_eq!(settled(&pool).await.counts.delivered, 2);
    let received = server.message().await;
    assert_eq!(received.body, "body");
    assert_eq!(received.header("content-length"), Some("4"));
    assert_eq!(received.header("x-tag"), Some("kept"));
    assert_eq!((received.header("transfer-encoding"), received.header("connection")), (None, None));
    assert_eq!(server.stats().connections, 1, "the connection was not closed");
}

#[tokio::test]
async fn a_header_that_http_cannot_carry_is_rejected_and_nothing_is_sent() {
    let server = server();
    let pool = pool(&server, Setup::default());
    for (name, value) in
        [("a b", "x"), ("", "x"), ("x:", "x"), ("naïve", "x"), ("x", "a\r\nb: c"), ("x", "\0")]
    {
        pool.push(with_headers(&[(name, value.as_bytes())])).unwrap();
    }
    let report = settled(&pool).await;
    assert_eq!((report.counts.rejected, report.counts.retried), (6, 0));
    assert_eq!(report.recent.causes.rejected.as_deref(), Some("a header has an invalid value"));
    assert_eq!(server.stats().connections, 0);
}

#[tokio::test]
async fn a_request_says_who_sends_it_and_asks_for_no_compression() {
    let received = sent_as_usual(message("body")).await;
    let agent = concat!("event_pusher/", env!("CARGO_PKG_VERSION"));
    assert_eq!(received.header("user-agent"), Some(agent));
    assert_eq!(received.header("accept-encoding"), None);
}
