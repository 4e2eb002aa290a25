//! RabbitMQ over AMQP 0-9-1: one connection, exchanges that are declared again after each
//! reconnect, batches with all their confirms outstanding at once.
//!
//! The destination of a message is the name of an exchange, its group is the routing key.
//! <https://www.rabbitmq.com/docs/confirms>

mod cause;
mod connect;
mod greeting;
mod keeper;
mod publish;
mod session;
mod settings;
mod state;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::link::Link;
use crate::message::Accepted;
use crate::outcome::Failure;
use crate::target::{BatchLimits, Target};
pub use settings::{Declare, Exchange, RabbitLogin, RabbitOptions, RabbitSettings};
use state::State;

/// How many messages one worker may have published that are not confirmed yet.
const WINDOW: usize = 256;

/// How many bytes of them, so that a batch of long messages does not fill the socket for long.
const WINDOW_BYTES: usize = 4 << 20;

/// How long the broker may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(400);

/// Publishes to the exchanges of one virtual host.
#[derive(Debug)]
pub struct RabbitTarget {
    settings: RabbitSettings,
    state: watch::Sender<State>,
    /// A worker has seen an exchange stand otherwise: the keeper's concern.
    changed: Notify,
    /// Makes the ids of messages differ from those of any other target.
    origin: u64,
}

// === impl RabbitTarget ===

impl RabbitTarget {
    /// A target that connects as soon as its pool runs.
    pub fn new(settings: RabbitSettings) -> Self {
        let state = watch::Sender::new(State::new(settings.exchanges.len()));
        Self { settings, state, changed: Notify::new(), origin: fastrand::u64(..) }
    }

    /// How many channels are wanted: one for each batch that may be under way, and one for
    /// declarations.
    fn channels(&self) -> NonZeroUsize {
        let exchanges = self.destinations().get();
        let share = (self.settings.workers / exchanges).max(1);
        NonZeroUsize::MIN.saturating_add(share * exchanges)
    }
}

impl Target for RabbitTarget {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: WINDOW, bytes: WINDOW_BYTES, per_group: WINDOW }
    }

    fn destinations(&self) -> NonZeroUsize {
        // Two sections may name one exchange.
        let names = self.settings.exchanges.iter().map(|exchange| &exchange.name);
        let names = names.collect::<HashSet<_>>();
        NonZeroUsize::new(names.len()).unwrap_or(NonZeroUsize::MIN)
    }

    fn is_ready(&self, destination: &str) -> bool {
        // A message to an exchange that nobody declares is taken to be refused.
        self.settings
            .exchange(destination)
            .is_none_or(|exchange| self.state.borrow().session_for(exchange).is_some())
    }

    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let destination = &batch[0].message.destination;
        let Some(exchange) = self.settings.exchange(destination) else {
            return vec![Err(Failure::permanent("exchange is not configured")); batch.len()];
        };
        let session = self.state.borrow().session_for(exchange);
        match session {
            Some(session) => self.publish(&session, exchange, batch).await,
            None => vec![Err(Failure::transient("connection is closed")); batch.len()],
        }
    }

    async fn attend(&self, link: &Link) {
        self.keep(link).await;
    }

    async fn close(&self) {
        let session = self.state.send_replace(State::new(self.settings.exchanges.len())).session;
        if let Some(session) = session {
            // Whether the broker answers or not: nothing is under way any more.
            let _ = timeout(GOODBYE, session.goodbye()).await;
        }
    }
}
