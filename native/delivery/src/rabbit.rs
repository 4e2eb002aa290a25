//! RabbitMQ over AMQP 0-9-1: one connection, exchanges that are declared again after each
//! reconnect, batches with all their confirms outstanding at once.
//!
//! The destination of a message is the name of an exchange, its group is the routing key.
//!
//! The AMQP client could reconnect and declare again by itself. That is turned off: what was
//! published without a confirm has to be known here, to be published again in its order, and a
//! refusal has to reach an operator instead of being repeated.
//!
//! Each batch has a channel of its own, because a broker closes the channel at a message that it
//! cannot take: so only the messages of that batch are in question. A connection for each worker
//! would do as well, and was turned down for its cost to the broker; transactions, as they wait for
//! the broker after each batch and do not say which message is at fault.
//!
//! <https://www.rabbitmq.com/docs/confirms>

mod answer;
mod cause;
mod connect;
mod connection;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod greeting;
mod keeper;
mod nodes;
mod probe;
mod publish;
mod settings;
mod state;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::backend::{Backend, BatchLimits};
use event_pusher_tls::{Tls, Validity};

use crate::connection::StatusCell;
use crate::fate::Failure;
use crate::message::Accepted;
use keeper::Keeper;
pub(crate) use probe::probe;
use publish::Publisher;
pub(crate) use settings::RabbitSettings;
pub use settings::{Declare, Exchange, RabbitOptions};
use state::{Event, StateCell};

/// How many messages one worker may have published that are not confirmed yet.
const WINDOW: usize = 256;

/// How many bytes of them, so that a batch of long messages does not fill the socket for long.
const WINDOW_BYTES: usize = 4 << 20;

/// How long the broker may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(400);

/// Publishes to the exchanges of one virtual host.
#[derive(Debug)]
pub struct RabbitBackend {
    settings: Arc<RabbitSettings>,
    state: Arc<StateCell>,
    keeper: Keeper,
    publisher: Publisher,
}

// === impl RabbitBackend ===

impl RabbitBackend {
    /// A backend that connects as soon as its pool runs.
    pub(crate) fn new(settings: RabbitSettings) -> Self {
        let settings = Arc::new(settings);
        let state = Arc::new(StateCell::new(settings.exchanges.len()));
        let keeper = Keeper::new(Arc::clone(&settings), channels(&settings), Arc::clone(&state));
        let publisher = Publisher::new(Arc::clone(&settings), Arc::clone(&state));
        Self { settings, state, keeper, publisher }
    }
}

impl Backend for RabbitBackend {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: WINDOW, bytes: WINDOW_BYTES, per_group: WINDOW }
    }

    fn destinations(&self) -> NonZeroUsize {
        destinations(&self.settings)
    }

    fn is_ready(&self, destination: &str) -> bool {
        // A message to an exchange that nobody declares is taken to be refused.
        self.settings
            .exchange(destination)
            .is_none_or(|exchange| self.state.connection_for(exchange).is_some())
    }

    fn validity(&self) -> Option<Validity> {
        self.settings.tls.as_ref().map(Tls::validity)
    }

    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let destination = &batch[0].message.destination;
        let Some(exchange) = self.settings.exchange(destination) else {
            return vec![Err(Failure::permanent("exchange is not configured")); batch.len()];
        };
        match self.state.connection_for(exchange) {
            Some(connection) => self.publisher.publish(&connection, exchange, batch).await,
            None => vec![Err(Failure::transient("connection is closed")); batch.len()],
        }
    }

    async fn attend(&self, status: &StatusCell) {
        self.keeper.keep(status).await;
    }

    async fn close(&self) {
        let connection = self.state.connection();
        self.state.apply(Event::Closed);
        if let Some(connection) = connection {
            // Whether the broker answers or not: nothing is under way any more.
            let _ = timeout(GOODBYE, connection.goodbye()).await;
        }
    }
}

/// How many exchanges there are: two sections may name one.
fn destinations(settings: &RabbitSettings) -> NonZeroUsize {
    let names = settings.exchanges.iter().map(|exchange| &exchange.name);
    NonZeroUsize::new(names.collect::<HashSet<_>>().len()).unwrap_or(NonZeroUsize::MIN)
}

/// How many channels are wanted: one for each batch that may be under way, and one for
/// declarations.
fn channels(settings: &RabbitSettings) -> NonZeroUsize {
    let exchanges = destinations(settings).get();
    let share = (settings.workers / exchanges).max(1);
    NonZeroUsize::MIN.saturating_add(share * exchanges)
}
