//! The RabbitMQ target where there is no broker. What a broker does with it is shown by the suite of
//! the backend, against a real one.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use event_pusher_delivery::{
    Exchange, LinkState, Message, Pool, PoolSettings, RabbitLogin, RabbitSettings, RabbitTarget,
    RetrySettings,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::timeout;

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
    let settings = RabbitSettings::new(login, None, true, vec![exchange], delay, max).unwrap();
    let retry = RetrySettings { count: None, base: delay, max };
    let pool = PoolSettings::new("workers", 1, 1000, 1 << 20, retry).unwrap();
    Pool::start(RabbitTarget::new(settings), &pool, &Handle::current())
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
    for _ in 0..3 {
        // Dropped at once; the next one comes when this one has failed.
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
async fn a_message_to_an_exchange_that_is_not_configured_is_rejected() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let pool = pool(port);
    pool.push(message("another")).unwrap();
    let report = pool.stop(PATIENCE).await;
    assert_eq!(report.last_rejected.as_deref(), Some("exchange is not configured"));
}
