//! A pool that publishes to a receiver on loopback.

use std::num::NonZeroUsize;
use std::time::Duration;

use event_pusher_delivery::{
    Attribute, ClientSettings, Message, Pool, PoolSettings, Report, RetrySettings, SnsSettings,
    SnsTarget, http_client,
};
use event_pusher_receiver::{SnsConfig, SnsServer};
use rustls::ClientConfig;
use tokio::runtime::Handle;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How the pool under test differs from the usual one.
#[derive(Clone)]
pub struct Setup {
    pub endpoint: Option<String>,
    pub secret: &'static str,
    pub workers: usize,
    pub retries: u32,
    pub batching: bool,
    pub request_timeout: Duration,
    pub tls: Option<ClientConfig>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            endpoint: None,
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            workers: 1,
            retries: 2,
            batching: true,
            request_timeout: Duration::from_secs(10),
            tls: None,
        }
    }
}

pub fn strict_server() -> SnsServer {
    SnsServer::start(SnsConfig::default())
}

pub fn pool(server: &SnsServer, setup: Setup) -> Pool {
    let endpoint = setup.endpoint.unwrap_or_else(|| server.url());
    let settings = PoolSettings {
        workers: NonZeroUsize::new(setup.workers).unwrap(),
        max_events: NonZeroUsize::new(1000).unwrap(),
        max_bytes: NonZeroUsize::new(64 << 20).unwrap(),
        retry: RetrySettings { count: setup.retries, base: Duration::from_millis(1) },
    };
    let client = ClientSettings {
        connect_timeout: Duration::from_secs(5),
        request_timeout: setup.request_timeout,
        idle_connections: setup.workers,
        tls: setup.tls,
        http2: false,
        tls_name: None,
    };
    let sns = SnsSettings::new(&endpoint, "eu-west-1", "AKIDEXAMPLE", setup.secret, setup.batching);
    let target = SnsTarget::new(sns.unwrap(), http_client(&client).unwrap());
    Pool::start(target, &settings, &Handle::current())
}

pub fn message(server: &SnsServer, topic: &str, body: &str) -> Message {
    Message {
        destination: server.topic_arn(topic).into(),
        body: body.to_owned().into(),
        attributes: Box::default(),
        group: topic.ends_with(".fifo").then(|| "alice@localhost".into()),
    }
}

pub fn with_attributes(mut message: Message, attributes: Vec<Attribute>) -> Message {
    message.attributes = attributes.into();
    message
}

/// Waits until everything that was pushed has ended; returns the last report.
pub async fn settled(pool: &Pool) -> Report {
    let report = pool.stop(PATIENCE).await;
    assert_eq!(report.waiting, 0);
    report
}
