//! One AMQP connection with its channels.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Error, Event, ExchangeKind};
use tokio::sync::Mutex;

use super::connect::{Breaker, connect};
use super::settings::{Exchange, RabbitSettings};

#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    /// Ends with the session.
    _breaker: Breaker,
    confirms: bool,
    /// With confirms, the channels that nobody uses at the moment: a batch has one of its own, so
    /// that what closes it is to blame on that batch. Without, the one channel that all use: only
    /// one channel keeps the order when nobody waits for an answer.
    channels: Mutex<Vec<Channel>>,
}

// === impl Session ===

impl Session {
    pub(super) async fn open(settings: &RabbitSettings) -> Result<Self, Error> {
        let (connection, breaker) = connect(settings).await?;
        Ok(Self {
            connection,
            _breaker: breaker,
            confirms: settings.confirms,
            channels: Mutex::default(),
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.connection.status().connected()
    }

    pub(super) fn events(&self) -> BoxStream<'static, Event> {
        self.connection.events_listener().boxed()
    }

    /// A channel to publish on. It may be closed by the broker at any time.
    pub(super) async fn take_channel(&self) -> Result<Channel, Error> {
        let mut channels = self.channels.lock().await;
        if let Some(channel) = channels.pop() {
            // Without confirms, the end of a channel shows at the next use only: so it is used.
            if !self.confirms && channel.status().connected() {
                channels.push(channel.clone());
            }
            return Ok(channel);
        }
        let channel = self.connection.create_channel().await?;
        if self.confirms {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
        } else {
            channels.push(channel.clone());
        }
        Ok(channel)
    }

    pub(super) async fn return_channel(&self, channel: Channel) {
        if self.confirms {
            self.channels.lock().await.push(channel);
        }
    }

    /// On a channel of its own, because a refusal closes it.
    pub(super) async fn declare(&self, exchange: &Exchange) -> Result<(), Error> {
        let channel = self.connection.create_channel().await?;
        let options = ExchangeDeclareOptions { durable: exchange.durable, ..Default::default() };
        let (name, kind) = (exchange.name.as_str().into(), kind(&exchange.kind));
        channel.exchange_declare(name, kind, options, FieldTable::default()).await?;
        channel.close(200, "OK".into()).await
    }

    pub(super) async fn goodbye(&self) -> Result<(), Error> {
        self.connection.close(200, "OK".into()).await
    }
}

fn kind(name: &str) -> ExchangeKind {
    match name {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "headers" => ExchangeKind::Headers,
        "topic" => ExchangeKind::Topic,
        other => ExchangeKind::Custom(other.to_owned()),
    }
}
