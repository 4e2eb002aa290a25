//! Keeps the connection and the exchanges up: connects, declares, watches, begins again.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use lapin::{Error, ErrorKind, Event as AmqpEvent};
use tokio::time::timeout;

use super::cause::{Cause, cause, cause_at, is_channel_limit, refuses_login};
use super::connection::{OpenConnection, Unopened};
use super::nodes::{Node, Turns};
use super::settings::{Declare, RabbitSettings};
use super::state::{Event, ExchangeEvent, StateCell};
use crate::backoff::Backoff;
use crate::connection::StatusCell;
use crate::fate;

/// Runs beside the workers, who publish on what it keeps up.
#[derive(Debug)]
pub(super) struct Keeper {
    settings: Arc<RabbitSettings>,
    /// How many channels are wanted.
    channels: NonZeroUsize,
    state: Arc<StateCell>,
}

/// How many channels the broker allows, as it has shown by ending a connection.
struct Allowed {
    channels: NonZeroUsize,
    cause: Cause,
}

/// Whom the broker does not let in, if that is the error.
pub(super) fn refusal(settings: &RabbitSettings, error: &Error) -> Option<Cause> {
    let login = &settings.login;
    refuses_login(error).then(|| {
        let cause = cause(error);
        format!("user {:?}, virtual host {:?}: {cause}", login.username, login.virtual_host).into()
    })
}

// === impl Keeper ===

impl Keeper {
    /// `channels` are wanted of each connection.
    pub(super) fn new(
        settings: Arc<RabbitSettings>,
        channels: NonZeroUsize,
        state: Arc<StateCell>,
    ) -> Self {
        Self { settings, channels, state }
    }

    /// Runs until it is dropped.
    pub(super) async fn keep(&self, status: &StatusCell) {
        self.tell(status);
        let reconnect = self.settings.reconnect;
        let mut backoff = Backoff::new(reconnect, fastrand::f64);
        let mut allowed = None::<Allowed>;
        let mut turns = Turns::new(&self.settings.login.nodes);
        loop {
            let node = turns.next();
            let began = Instant::now();
            let wanted = allowed.as_ref().map_or(self.channels, |allowed| allowed.channels);
            let delay = match OpenConnection::open(&self.settings, node, wanted, allowed.is_some())
                .await
            {
                Ok(connection) => {
                    turns.connected();
                    let channels = connection.channels().get();
                    let end = self.serve(connection, allowed.as_ref(), status).await;
                    // Another connection may have more channels, unless this one has ended by them.
                    allowed = is_channel_limit(&end).then(|| Allowed::after(channels - 1, &end));
                    // The first attempt after a loss comes at once, unless the connection was not
                    // worth the name.
                    if began.elapsed() > reconnect.base {
                        backoff = Backoff::new(reconnect, fastrand::f64);
                        Duration::ZERO
                    } else {
                        next(&mut backoff)
                    }
                }
                // No failure to connect. They are fewer than before, so this comes to an end.
                Err(Unopened::Channels(opened, error)) if opened > 0 => {
                    allowed = Some(Allowed::after(opened, &error));
                    Duration::ZERO
                }
                Err(Unopened::Connection(error) | Unopened::Channels(_, error)) => {
                    self.not_connected(node, &error, status);
                    match turns.all_have_failed() {
                        true if refuses_login(&error) => reconnect.max,
                        true => next(&mut backoff),
                        false => Duration::ZERO,
                    }
                }
            };
            let _ = timeout(delay, status.hurried()).await;
        }
    }

    /// Counts an attempt to connect that failed, and what the broker refuses with it.
    fn not_connected(&self, node: &Node, error: &Error, status: &StatusCell) {
        let (mut cause, refused) = (cause(error), refusal(&self.settings, error));
        if self.settings.login.nodes.len() > 1 {
            cause = format!("{node}: {cause}").into();
        }
        self.apply(Event::NotConnected { cause, refused }, status);
    }

    /// Serves one connection for as long as it lasts; gives the cause of its end.
    async fn serve(
        &self,
        connection: OpenConnection,
        allowed: Option<&Allowed>,
        status: &StatusCell,
    ) -> Error {
        let limited = self.limited(connection.channels(), allowed);
        let connection = Arc::new(connection);
        // Before anything happens, so that nothing is missed.
        let mut events = connection.events();
        self.state.apply(Event::Connected { connection: Arc::clone(&connection), limited });
        let end = self.watch(&connection, &mut events, status).await;
        self.apply(Event::Lost(cause(&end)), status);
        end
    }

    /// Whether there are fewer channels than wanted, and why.
    fn limited(&self, channels: NonZeroUsize, allowed: Option<&Allowed>) -> Option<Cause> {
        let wanted = self.channels;
        (channels < wanted).then(|| {
            let cause = allowed.map_or("the broker's channel_max", |allowed| &allowed.cause);
            format!("{channels} channels instead of {wanted}: {cause}").into()
        })
    }

    async fn watch(
        &self,
        connection: &OpenConnection,
        events: &mut (impl StreamExt<Item = AmqpEvent> + Unpin),
        status: &StatusCell,
    ) -> Error {
        loop {
            self.tell(status);
            if let Err(error) = self.declare_all(connection).await {
                return error;
            }
            let (event, changed) = (pin!(events.next()), pin!(self.state.changed()));
            let hurried = pin!(timeout(self.settings.reconnect.max, status.hurried()));
            let happened = select(event, changed);
            match select(happened, hurried).await {
                Either::Left((Either::Left((event, _)), _)) => {
                    if let Some(end) = self.hear(event, connection) {
                        return end;
                    }
                }
                Either::Left((Either::Right(_), _)) => {}
                Either::Right(_) if !connection.is_alive() => return closed(),
                Either::Right(_) => self.state.apply(Event::TimeToTryAgain),
            }
        }
    }

    /// What the AMQP client tells of the connection; the cause if that means its end.
    fn hear(&self, event: Option<AmqpEvent>, connection: &OpenConnection) -> Option<Error> {
        match event {
            Some(AmqpEvent::ConnectionBlocked(reason)) => {
                self.state.apply(Event::Blocked(fate::cause(reason.as_str())));
                None
            }
            Some(AmqpEvent::ConnectionUnblocked) => {
                self.state.apply(Event::Unblocked);
                None
            }
            Some(AmqpEvent::Error(error)) if !connection.is_alive() => Some(error),
            None => Some(closed()),
            Some(_) => None,
        }
    }

    /// Declares what is not declared. An error is the end of the connection.
    async fn declare_all(&self, connection: &OpenConnection) -> Result<(), Error> {
        for (index, exchange) in self.settings.exchanges.iter().enumerate() {
            if !self.state.needs_declaration(index) {
                continue;
            }
            let declared = match self.settings.declare {
                Declare::None => Ok(()),
                how => connection.declare(exchange, how).await,
            };
            let event = match &declared {
                Ok(()) => ExchangeEvent::Declared,
                Err(error) if error.is_amqp_error() => {
                    ExchangeEvent::DeclarationRefused(cause_at(exchange, error))
                }
                Err(_) => return declared,
            };
            self.state.apply(Event::Exchange(index, event));
            // What the broker does not know at all, as a type, ends the whole connection.
            if declared.is_err_and(|error| error.is_amqp_hard_error()) {
                return Err(closed());
            }
        }
        Ok(())
    }

    fn apply(&self, event: Event<Arc<OpenConnection>>, status: &StatusCell) {
        self.state.apply(event);
        self.tell(status);
    }

    /// Tells an operator how things stand, and the workers to look again what is ready.
    fn tell(&self, status: &StatusCell) {
        status.change(|told| *told = self.state.status());
    }
}

fn closed() -> Error {
    ErrorKind::InvalidConnectionState(lapin::ConnectionState::Closed).into()
}

fn next(backoff: &mut Backoff<impl FnMut() -> f64>) -> Duration {
    backoff.next(None).expect("attempts to connect have no end")
}

// === impl Allowed ===

impl Allowed {
    fn after(channels: usize, end: &Error) -> Self {
        Self {
            channels: NonZeroUsize::new(channels).unwrap_or(NonZeroUsize::MIN),
            cause: cause(end),
        }
    }
}
