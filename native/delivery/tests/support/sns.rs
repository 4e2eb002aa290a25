//! A pool that publishes to a strict SNS service on loopback.

use std::time::Duration;

use event_pusher_delivery::{
    Attribute, ClientSettings, Message, Pool, SnsOptions, SnsSettings, SnsTarget,
};
use event_pusher_receiver::{SnsConfig, SnsServer};
use rustls::ClientConfig;
use tokio::runtime::Handle;

use crate::support::{client_settings, pool_settings};

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
    pub tls: Option<ClientConfig>,
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
            tls: None,
        }
    }
}

pub fn strict_server() -> SnsServer {
    SnsServer::start(SnsConfig::default())
}

pub fn pool(server: &SnsServer, setup: Setup) -> Pool {
    let endpoint = setup.endpoint.unwrap_or_else(|| server.url());
    let client =
        ClientSettings { tls: setup.tls, ..client_settings(setup.workers, setup.request_timeout) };
    let sns = SnsSettings::new(&SnsOptions {
        sns_host: &endpoint,
        region: setup.region,
        partition: "aws",
        account_id: "123456789012",
        topics: &[],
        access_key_id: setup.access_key_id,
        secret_access_key: setup.secret,
        batching: setup.batching,
    });
    let target = SnsTarget::new(sns.unwrap(), &client);
    Pool::start(target, &pool_settings(setup.workers, setup.retries), &Handle::current())
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
