//! What is known of the connection and of each exchange, and how events change it.
//!
//! This is the only place where it changes. What may be published where, what an operator is told
//! and what the keeper has to declare all follow from it. `State` knows neither AMQP nor tasks, so
//! each transition is tested as a line of a table.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::cause::Cause;
use super::connection::OpenConnection;
use crate::connection::{ConnectionState, ConnectionStatus};

/// The state that the keeper and the workers of a backend share.
#[derive(Debug)]
pub(super) struct StateCell {
    state: Mutex<State<Arc<OpenConnection>>>,
    changed: Notify,
}

/// The state of a backend with connections of type `C`.
#[derive(Debug)]
struct State<C> {
    connection: Connection<C>,
    /// In the order of the settings.
    exchanges: Vec<ExchangeState>,
    /// Why the latest attempt to connect was refused.
    login_refused: Option<Cause>,
    /// Totals and causes. Its `state` and `refused` follow from the fields above.
    history: ConnectionStatus,
}

#[derive(Debug)]
enum Connection<C> {
    Down,
    Up(C),
    /// The broker asks not to publish.
    Blocked(C),
}

/// What is known of an exchange. A refusal is kept, with its cause, until it is seen to be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ExchangeState {
    /// Not declared on this connection, or seen to be missing.
    Undeclared,
    /// Declared.
    Declared,
    /// The broker refuses its declaration.
    DeclarationRefused(Cause),
    /// Declared once more after a refusal, until one or the other shows.
    DeclarationOnTrial(Cause),
    /// The broker refuses what is published to it.
    PublishingRefused(Cause),
    /// Published to once more after a refusal, until one or the other shows.
    PublishingOnTrial(Cause),
}

/// What happens to the connection, to all exchanges or to one of them.
#[derive(Clone, Debug)]
pub(super) enum Event<C> {
    /// There is a connection; `limited` tells what it has less of than is wanted.
    Connected { connection: C, limited: Option<Cause> },
    /// An attempt to connect failed; `refused` tells what the broker refuses with it.
    NotConnected { cause: Cause, refused: Option<Cause> },
    /// The connection ended without our doing.
    Lost(Cause),
    /// We end the connection.
    Closed,
    /// The broker asks not to publish.
    Blocked(Cause),
    /// It does no longer.
    Unblocked,
    /// What was refused may have been mended meanwhile.
    TimeToTryAgain,
    /// Something about the exchange at this place of the settings.
    Exchange(usize, ExchangeEvent),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExchangeEvent {
    /// Its declaration succeeded.
    Declared,
    /// Its declaration was refused.
    DeclarationRefused(Cause),
    /// It took all that was published on a channel.
    Taken,
    /// A channel ended because the exchange does not exist.
    Missing,
    /// A channel ended because nothing may be published to it.
    PublishingRefused(Cause),
    /// A channel ended for another cause, or for none that is known.
    ChannelEnded,
    /// There is another connection.
    Connected,
    /// As for the connection.
    TimeToTryAgain,
}

// === impl StateCell ===

impl StateCell {
    /// For so many exchanges.
    pub(super) fn new(exchanges: usize) -> Self {
        Self { state: Mutex::new(State::new(exchanges)), changed: Notify::new() }
    }

    /// Lets the event change the state, and the keeper know if it did.
    pub(super) fn apply(&self, event: Event<Arc<OpenConnection>>) {
        if self.lock().apply(event) {
            self.changed.notify_one();
        }
    }

    /// Waits for a change that the keeper has not seen.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn status(&self) -> ConnectionStatus {
        self.lock().status()
    }

    /// What to publish on to an exchange, if that can be done now.
    pub(super) fn connection_for(&self, exchange: usize) -> Option<Arc<OpenConnection>> {
        self.lock().connection_for(exchange).cloned()
    }

    /// The connection, whatever can be done with it.
    pub(super) fn connection(&self) -> Option<Arc<OpenConnection>> {
        match &self.lock().connection {
            Connection::Down => None,
            Connection::Up(connection) | Connection::Blocked(connection) => {
                Some(Arc::clone(connection))
            }
        }
    }

    pub(super) fn needs_declaration(&self, exchange: usize) -> bool {
        use ExchangeState::{DeclarationOnTrial, Undeclared};
        matches!(self.lock().exchanges[exchange], Undeclared | DeclarationOnTrial(_))
    }

    fn lock(&self) -> MutexGuard<'_, State<Arc<OpenConnection>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl<C> State<C> {
    /// No connection, and nothing known.
    fn new(exchanges: usize) -> Self {
        Self {
            connection: Connection::Down,
            exchanges: vec![ExchangeState::Undeclared; exchanges],
            login_refused: None,
            history: ConnectionStatus::default(),
        }
    }

    /// Changes what the event changes; `false` if that is nothing.
    fn apply(&mut self, event: Event<C>) -> bool {
        let current = std::mem::replace(&mut self.connection, Connection::Down);
        self.connection = match (current, event) {
            (_, Event::Connected { connection, limited }) => {
                self.history.opened += 1;
                self.login_refused = None;
                self.history.limited = limited;
                self.each_exchange(&ExchangeEvent::Connected);
                Connection::Up(connection)
            }
            (_, Event::NotConnected { cause, refused }) => {
                self.history.failed += 1;
                self.history.cause = Some(cause);
                self.login_refused = refused.or(self.login_refused.take());
                Connection::Down
            }
            (_, Event::Lost(cause)) => {
                self.history.lost += 1;
                self.history.cause = Some(cause);
                Connection::Down
            }
            (_, Event::Closed) => Connection::Down,
            (
                Connection::Up(connection) | Connection::Blocked(connection),
                Event::Blocked(cause),
            ) => {
                self.history.cause = Some(cause);
                Connection::Blocked(connection)
            }
            (Connection::Blocked(connection), Event::Unblocked) => Connection::Up(connection),
            (current, Event::TimeToTryAgain) => {
                self.connection = current;
                return self.each_exchange(&ExchangeEvent::TimeToTryAgain);
            }
            (current, Event::Exchange(exchange, event)) => {
                self.connection = current;
                return self.exchanges[exchange].apply(event);
            }
            (current, Event::Blocked(_) | Event::Unblocked) => {
                self.connection = current;
                return false;
            }
        };
        true
    }

    fn each_exchange(&mut self, event: &ExchangeEvent) -> bool {
        self.exchanges.iter_mut().fold(false, |any, state| state.apply(event.clone()) | any)
    }

    fn connection_for(&self, exchange: usize) -> Option<&C> {
        use ExchangeState::{Declared, PublishingOnTrial};
        match (&self.connection, &self.exchanges[exchange]) {
            (Connection::Up(connection), Declared | PublishingOnTrial(_)) => Some(connection),
            _ => None,
        }
    }

    fn status(&self) -> ConnectionStatus {
        ConnectionStatus {
            state: match self.connection {
                Connection::Down => ConnectionState::Down,
                Connection::Up(_) => ConnectionState::Up,
                Connection::Blocked(_) => ConnectionState::Blocked,
            },
            refused: self.refused(),
            ..self.history.clone()
        }
    }

    /// The user or virtual host if they are refused, or else all exchanges that are, in one text.
    fn refused(&self) -> Option<Cause> {
        let exchanges = || {
            let causes: Vec<_> = self.exchanges.iter().filter_map(ExchangeState::refused).collect();
            (!causes.is_empty()).then(|| causes.join("; ").into())
        };
        self.login_refused.clone().or_else(exchanges)
    }
}

// === impl ExchangeState ===

impl ExchangeState {
    fn apply(&mut self, event: ExchangeEvent) -> bool {
        let after = self.clone().after(event);
        std::mem::replace(self, after) != *self
    }

    /// The table: what an exchange is after an event. What is not in it changes nothing.
    fn after(self, event: ExchangeEvent) -> Self {
        use ExchangeEvent as E;
        match (self, event) {
            (Self::Undeclared | Self::DeclarationOnTrial(_), E::Declared) => Self::Declared,
            (Self::Undeclared | Self::DeclarationOnTrial(_), E::DeclarationRefused(cause)) => {
                Self::DeclarationRefused(cause)
            }
            (Self::DeclarationRefused(cause), E::TimeToTryAgain) => Self::DeclarationOnTrial(cause),
            // It takes what it has refused before.
            (Self::PublishingOnTrial(_), E::Taken) => Self::Declared,
            (Self::Declared | Self::PublishingOnTrial(_), E::Missing) => Self::Undeclared,
            // It may be missing. A refusal says more.
            (Self::Declared, E::ChannelEnded) => Self::Undeclared,
            (_, E::PublishingRefused(cause)) => Self::PublishingRefused(cause),
            (Self::PublishingRefused(cause), E::TimeToTryAgain) => Self::PublishingOnTrial(cause),
            // The new one may find exchanges missing. A refusal stays one.
            (Self::Declared, E::Connected) => Self::Undeclared,
            (Self::PublishingOnTrial(cause), E::Connected) => Self::PublishingRefused(cause),
            (state, _) => state,
        }
    }

    fn refused(&self) -> Option<&str> {
        match self {
            Self::Undeclared | Self::Declared => None,
            Self::DeclarationRefused(cause)
            | Self::DeclarationOnTrial(cause)
            | Self::PublishingRefused(cause)
            | Self::PublishingOnTrial(cause) => Some(cause),
        }
    }
}

#[cfg(test)]
mod tests;
