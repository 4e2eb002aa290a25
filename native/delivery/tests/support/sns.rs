//! A pool that publishes to a strict SNS service on loopback.

use std::time::Duration;

use event_pusher_delivery::{Attribute, BackendOptions, Message, Pool, SnsOptions, TlsOptions};
use event_pusher_receiver::{SnsConfig, SnsServer};

use crate::support::{CONNECT_TIMEOUT_MS, millis, options, start};

/// How the pool under test differs from the usual one.
#[derive(Clone)]
pub struct Setup {
    pub endpoint: Option<String>,
    pub region: &'static str,
    pub access_key_id: &'static str,
    pub secret: &'static str,
    pub workers: usize,
    pub retries: u32,
    pub batching: bool,
    pub request_timeout: Duration,
    pub tls: TlsOptions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "eu-west-1",
            access_key_id: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            workers: 1,
            retries: 2,
            batching: true,
            request_timeout: Duration::from_secs(10),
            tls: TlsOptions::default(),
        }
    }
}

pub fn strict_server() -> SnsServer {
    SnsServer::start(SnsConfig::default())
}

pub fn pool(server: &SnsServer, setup: Setup) -> Pool {
    let backend = SnsOptions {
        sns_host: setup.endpoint.unwrap_or_else(|| server.url()),
        region: setup.region.into(),
        partition: "aws".into(),
        account_id: "123456789012".into(),
        topics: Vec::new(),
        access_key_id: setup.access_key_id.into(),
        secret_access_key: setup.secret.into(),
        publish_batch: setup.batching,
        connect_timeout_ms: CONNECT_TIMEOUT_MS,
        request_timeout_ms: millis(setup.request_timeout),
        tls: setup.tls,
    };
    start(options(setup.workers, setup.retries, BackendOptions::Sns(backend)))
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
