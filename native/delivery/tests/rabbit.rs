//! The RabbitMQ target where there is no broker. What a broker does with it is shown by the suite of
//! the backend, against a real one.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use event_pusher_delivery::{
    Declare, Exchange, LinkState, Message, Pool, PoolSettings, RabbitLogin, RabbitOptions,
    RabbitSettings, RabbitTarget, RetrySettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn pool(port: u16) -> Pool {
    let login = RabbitLogin {
        host: "127.0.0.1".into(),
        port,
        username: "guest".into(),
        password: "guest".into(),
        virtual_host: "/".into(),
        connection_name: "tests".into(),
    };
    let exchange = Exchange {
        section: "presence_exchange".into(),
        name: "presence".into(),
        kind: "topic".into(),
        durable: false,
    };
    let (delay, max) = (Duration::from_millis(100), Duration::from_millis(200));
    let settings = RabbitSettings::new(RabbitOptions {
        login,
        tls: None,
        confirms: true,
        declare: Declare::Active,
        exchanges: vec![exchange],
        workers: 1,
        reconnect_delay: delay,
        reconnect_max: max,
        nack: RetrySettings { count: None, base: delay, max },
    });
    let retry = RetrySettings { count: None, base: delay, max };
    let pool = PoolSettings::new("workers", 1, 1000, 1 << 20, retry).unwrap();
    Pool::start(RabbitTarget::new(settings.unwrap()), &pool, &Handle::current())
}

fn message(exchange: &str) -> Message {
    Message {
        destination: exchange.into(),
        body: "{}".into(),
        attributes: Box::default(),
        group: Some("alice@localhost".into()),
    }
}

/// Multi-threaded, because the client waits for its socket on a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_handshake_that_never_ends() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(silent.local_addr().unwrap().port());
    let (mut connection, _) = timeout(PATIENCE, silent.accept()).await.unwrap().unwrap();
    let mut header = [0; 8];
    connection.read_exact(&mut header).await.unwrap();
    assert_eq!(&header, b"AMQP\x00\x00\x09\x01");
    pool.push(message("presence")).unwrap();
    let report = pool.stop(Duration::ZERO).await;
    assert_eq!((report.closed, report.waiting), (1, 0));
    // Its thread ends with the socket.
    assert_eq!(timeout(PATIENCE, connection.read(&mut header)).await.unwrap().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_wait_in_the_queue_while_attempts_to_connect_fail() {
    let hasty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(hasty.local_addr().unwrap().port());
    pool.push(message("presence")).unwrap();
    for _ in 0..5 {
        // Dropped at once; each is followed by a question of what it is that answers there, and the
        // next one comes when both have failed.
        timeout(PATIENCE, hasty.accept()).await.unwrap().unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.queue_events, stats.retried), (1, 0));
    let link = stats.link.unwrap();
    assert_eq!((link.state, link.opened, link.refused), (LinkState::Down, 0, None));
    assert!(link.failed >= 2 && link.cause.is_some());
    assert_eq!(pool.stop(Duration::ZERO).await.closed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_instead_of_a_broker_is_named() {
    let alert = b"\x15\x03\x03\x00\x02\x02\x0a".as_slice();
    let http = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n".as_slice();
    for (answer, cause) in [
        (alert, "the port expects TLS"),
        (http, "an HTTP server answers at the port"),
        (b"AMQP\x00\x01\x00\x00".as_slice(), "the broker does not speak AMQP 0-9-1"),
        (b"220 smtp.example.com".as_slice(), "something else than AMQP 0-9-1"),
    ] {
        let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = pool(stranger.local_addr().unwrap().port());
        let answering = async {
            loop {
                let (mut connection, _) = stranger.accept().await.unwrap();
                let mut header = [0; 8];
                connection.read_exact(&mut header).await.unwrap();
                connection.write_all(answer).await.unwrap();
            }
        };
        let failing = async {
            while pool.stats().link.is_none_or(|link| link.failed == 0) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = answering => {}
            failed = timeout(PATIENCE, failing) => failed.unwrap(),
        }
        let told = pool.stats().link.unwrap().cause.unwrap();
        assert!(told.starts_with(cause), "{told}");
        pool.stop(Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_an_exchange_that_is_not_configured_is_rejected() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let pool = pool(port);
    pool.push(message("another")).unwrap();
    let report = pool.stop(PATIENCE).await;
    assert_eq!(report.last_rejected.as_deref(), Some("exchange is not configured"));
}
