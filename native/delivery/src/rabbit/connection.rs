//! One AMQP connection with its channels.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Error, ErrorKind, Event, ExchangeKind};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

use super::connect::{SocketGuard, connect};
use super::nodes::Node;
use super::settings::{Declare, Exchange, RabbitSettings};

/// How long after a channel was closed a broker that counts them still counts it.
const COUNTED: Duration = Duration::from_millis(200);

/// How long, and how often, to wait for the number of a channel that was closed: the client frees it
/// a moment later.
const FREED_WITHIN: (Duration, u32) = (Duration::from_millis(10), 100);

/// A connection with all the channels that it will ever have at a time.
///
/// They are opened before the first message is published: with one channel too many, a broker ends
/// the whole connection.
#[derive(Debug)]
pub(super) struct OpenConnection {
    connection: Connection,
    /// Ends the socket with it.
    _guard: SocketGuard,
    confirms: bool,
    channels: NonZeroUsize,
    /// The broker has refused one more.
    counted: bool,
    /// The channels that nobody uses at the moment. A batch has one of its own, so that what closes
    /// it is to blame on that batch.
    idle: Mutex<Vec<Channel>>,
    /// For batches: all channels but one, which is there for declarations if there are two at
    /// least.
    batches: Semaphore,
    /// For the batches of each exchange, so that none takes all the channels.
    shares: Vec<Semaphore>,
}

/// Why there is no open connection.
pub(super) enum Unopened {
    /// The broker cannot be reached, or lets nobody in.
    Connection(Error),
    /// The broker ended it after it had opened so many channels.
    Channels(usize, Error),
}

/// A channel that nobody else uses.
pub(super) struct Lease<'a> {
    pub(super) channel: Channel,
    _places: Vec<SemaphorePermit<'a>>,
}

// === impl OpenConnection ===

impl OpenConnection {
    /// Connects and opens `wanted` channels, or what the broker says that a connection may have.
    /// `counted` tells that a connection has ended by one more.
    pub(super) async fn open(
        settings: &RabbitSettings,
        node: &Node,
        wanted: NonZeroUsize,
        counted: bool,
    ) -> Result<Self, Unopened> {
        let (connection, guard) = connect(settings, node).await.map_err(Unopened::Connection)?;
        let allowed = usize::from(connection.configuration().channel_max());
        let channels = NonZeroUsize::new(allowed).map_or(wanted, |allowed| wanted.min(allowed));
        let batches = (channels.get() - 1).max(1);
        let share = (batches / settings.exchanges.len().max(1)).max(1);
        let open = Self {
            connection,
            _guard: guard,
            confirms: settings.confirms,
            channels,
            counted,
            idle: Mutex::default(),
            batches: Semaphore::new(batches),
            shares: settings.exchanges.iter().map(|_| Semaphore::new(share)).collect(),
        };
        open.open_channels().await?;
        Ok(open)
    }

    /// One after the other: a broker that counts them is a moment late.
    async fn open_channels(&self) -> Result<(), Unopened> {
        for opened in 0..self.channels.get() {
            let channel = self.open_channel().await;
            self.give_back(channel.map_err(|error| Unopened::Channels(opened, error))?);
        }
        Ok(())
    }

    pub(super) fn is_alive(&self) -> bool {
        self.connection.status().connected()
    }

    /// How many channels there are.
    pub(super) fn channels(&self) -> NonZeroUsize {
        self.channels
    }

    pub(super) fn events(&self) -> BoxStream<'static, Event> {
        self.connection.events_listener().boxed()
    }

    /// A channel to publish on, when one is free. It may be closed by the broker at any time.
    pub(super) async fn channel_for(&self, exchange: usize) -> Result<Lease<'_>, Error> {
        let share = place(&self.shares[exchange]).await;
        self.lease(vec![share, place(&self.batches).await]).await
    }

    pub(super) fn give_back(&self, channel: Channel) {
        self.idle().push(channel);
    }

    /// A refusal closes the channel that it comes on.
    pub(super) async fn declare(&self, exchange: &Exchange, how: Declare) -> Result<(), Error> {
        let shared = self.channels.get() == 1;
        let places = if shared { vec![place(&self.batches).await] } else { Vec::new() };
        let lease = self.lease(places).await?;
        let options = ExchangeDeclareOptions {
            durable: exchange.durable,
            passive: how == Declare::Passive,
            ..Default::default()
        };
        let (name, kind) = (exchange.name.as_str().into(), kind(&exchange.kind));
        lease.channel.exchange_declare(name, kind, options, FieldTable::default()).await?;
        self.give_back(lease.channel);
        Ok(())
    }

    pub(super) async fn goodbye(&self) -> Result<(), Error> {
        self.connection.close(200, "OK".into()).await
    }

    /// Whoever asks has a place, so there is an idle channel, or one of them has been closed.
    async fn lease<'a>(&self, places: Vec<SemaphorePermit<'a>>) -> Result<Lease<'a>, Error> {
        let idle = self.idle().pop();
        let channel = match idle.filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => {
                if self.counted {
                    sleep(COUNTED).await;
                }
                self.open_channel().await?
            }
        };
        Ok(Lease { channel, _places: places })
    }

    async fn open_channel(&self) -> Result<Channel, Error> {
        let channel = self.create_channel().await?;
        if self.confirms {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
        }
        Ok(channel)
    }

    async fn create_channel(&self) -> Result<Channel, Error> {
        let (pause, times) = FREED_WITHIN;
        for _ in 0..times {
            match self.connection.create_channel().await {
                Err(error) if matches!(error.kind(), ErrorKind::ChannelsLimitReached) => {
                    sleep(pause).await;
                }
                other => return other,
            }
        }
        self.connection.create_channel().await
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn place(places: &Semaphore) -> SemaphorePermit<'_> {
    places.acquire().await.expect("it is never closed")
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
