//! The RabbitMQ backend where there is no broker. What a broker does with it is shown by the suite of
//! the backend, against a real one.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use event_pusher_delivery::{
    BackendOptions, ConnectionState, Declare, Exchange, Message, OnFull, Pool, PoolOptions,
    RabbitOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn pool(port: u16) -> Pool {
    let exchange = Exchange {
        section: "presence_exchange".into(),
        name: "presence".into(),
        kind: "topic".into(),
        durable: false,
    };
    let rabbit = RabbitOptions {
        host: "127.0.0.1".into(),
        hosts: Vec::new(),
        port,
        username: "guest".into(),
        password: "guest".into(),
        virtual_host: "/".into(),
        connection_name: "tests".into(),
        tls: None,
        confirms: true,
        mandatory: true,
        declare: Declare::Active,
        exchanges: vec![exchange],
        reconnect_delay_ms: 100,
        reconnect_max_ms: 200,
        nack_retry_count: None,
        nack_retry_time_ms: 100,
        nack_retry_max_ms: 200,
    };
    let options = PoolOptions {
        pool_size: 1,
        limit: None,
        max_events: 1000,
        max_bytes: 1 << 20,
        on_full: OnFull::DropNew,
        max_age_ms: None,
        retry_max_age_ms: None,
        retry_count: None,
        retry_time_ms: 100,
        retry_max_ms: 200,
        drain_timeout_ms: 0,
        circuit_breaker_failures: 0,
        spool: None,
        backend: BackendOptions::Rabbit(rabbit),
    };
    options.check().unwrap().start(&Handle::current(), || {}).unwrap()
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
    assert_eq!((report.counts.closed, report.levels.waiting), (1, 0));
    // Its thread ends with the socket.
    assert_eq!(timeout(PATIENCE, connection.read(&mut header)).await.unwrap().unwrap(), 0);
    no_task_is_left().await;
}

/// As a broker that is away for long has it many times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_attempts_to_connect_that_fail() {
    let hasty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for port in [gone, hasty.local_addr().unwrap().port()] {
        let pool = pool(port);
        let accepting = async {
            loop {
                drop(hasty.accept().await.unwrap());
            }
        };
        tokio::select! {
            () = accepting => {}
            () = failed(&pool, 5) => {}
        }
        pool.stop(Duration::ZERO).await;
        no_task_is_left().await;
    }
}

/// Waits until an attempt to connect has failed so often.
async fn failed(pool: &Pool, times: u64) {
    let failing = async {
        while pool.stats().connection.is_none_or(|connection| connection.failed < times) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, failing).await.unwrap();
}

/// A test runs outside of tasks, so all of them are the pool's or the AMQP client's.
async fn no_task_is_left() {
    let metrics = Handle::current().metrics();
    let ending = async {
        while metrics.num_alive_tasks() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = timeout(PATIENCE, ending).await;
    assert!(ended.is_ok(), "{} tasks are left", metrics.num_alive_tasks());
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
    assert_eq!((stats.levels.queue_events, stats.counts.retried), (1, 0));
    let connection = stats.connection.unwrap();
    assert_eq!(
        (connection.state, connection.opened, connection.refused),
        (ConnectionState::Down, 0, None)
    );
    assert!(connection.failed >= 2 && connection.cause.is_some());
    assert_eq!(pool.stop(Duration::ZERO).await.counts.closed, 1);
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
        tokio::select! {
            () = answering => {}
            () = failed(&pool, 1) => {}
        }
        let told = pool.stats().connection.unwrap().cause.unwrap();
        assert!(told.starts_with(cause), "{told}");
        pool.stop(Duration::ZERO).await;
        no_task_is_left().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_an_exchange_that_is_not_configured_is_rejected() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let pool = pool(port);
    pool.push(message("another")).unwrap();
    let report = pool.stop(PATIENCE).await;
    assert_eq!(report.recent.causes.rejected.as_deref(), Some("exchange is not configured"));
}
