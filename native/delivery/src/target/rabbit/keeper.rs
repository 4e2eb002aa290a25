//! Keeps the connection and the exchanges up: connects, declares, watches, begins again.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use lapin::{ConnectionState, Error, ErrorKind, Event};
use tokio::time::{sleep, timeout};

use super::RabbitTarget;
use super::cause::{cause, is_channel_limit, is_refusal};
use super::session::{Session, Unopened};
use super::settings::Declare;
use super::state::{Standing, State};
use crate::link::{Link, LinkState};
use crate::retry::Backoff;

type Cause = std::borrow::Cow<'static, str>;

/// How many channels the broker allows, as it has shown by ending a connection.
struct Allowed {
    channels: NonZeroUsize,
    cause: Cause,
}

// === impl RabbitTarget ===

impl RabbitTarget {
    /// Runs until it is dropped.
    pub(super) async fn keep(&self, link: &Link) {
        link.change(|_| ());
        let reconnect = self.settings.reconnect;
        let mut backoff = Backoff::new(reconnect, fastrand::f64);
        let mut allowed = None::<Allowed>;
        loop {
            let began = Instant::now();
            let wanted = allowed.as_ref().map_or(self.channels(), |allowed| allowed.channels);
            let delay = match Session::open(&self.settings, wanted, allowed.is_some()).await {
                Ok(session) => {
                    self.tell_channels(session.channels(), allowed.as_ref(), link);
                    let channels = session.channels().get();
                    let end = self.serve(Arc::new(session), link).await;
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
                Err(Unopened::Channels(opened, error)) if opened > 0 => {
                    self.failed(&error, None, link);
                    // Fewer than before, so this comes to an end.
                    allowed = Some(Allowed::after(opened, &error));
                    Duration::ZERO
                }
                Err(Unopened::Connection(error) | Unopened::Channels(_, error))
                    if is_refusal(&error) =>
                {
                    let login = &self.settings.login;
                    let refused = format!(
                        "user {:?}, virtual host {:?}: {}",
                        login.username,
                        login.virtual_host,
                        cause(&error)
                    );
                    self.failed(&error, Some(refused), link);
                    reconnect.max
                }
                Err(Unopened::Connection(error) | Unopened::Channels(_, error)) => {
                    self.failed(&error, None, link);
                    next(&mut backoff)
                }
            };
            sleep(delay).await;
        }
    }

    /// Counts an attempt to connect that failed, and what the broker refuses with it.
    fn failed(&self, error: &Error, refused: Option<String>, link: &Link) {
        link.change(|status| {
            status.failed += 1;
            status.cause = Some(cause(error));
            if let Some(refused) = refused {
                status.refused = Some(refused.into());
            }
        });
    }

    /// Tells if there are fewer channels than wanted, and why.
    fn tell_channels(&self, channels: NonZeroUsize, allowed: Option<&Allowed>, link: &Link) {
        let wanted = self.channels();
        let limited = (channels < wanted).then(|| {
            let cause = allowed.map_or("the broker's channel_max", |allowed| &allowed.cause);
            Cause::from(format!("{channels} channels instead of {wanted}: {cause}"))
        });
        link.change(|status| status.limited = limited);
    }

    /// Serves one connection for as long as it lasts; gives the cause of its end.
    async fn serve(&self, session: Arc<Session>, link: &Link) -> Error {
        // Before anything happens, so that nothing is missed.
        let mut events = session.events();
        self.state.send_modify(|state| state.session = Some(Arc::clone(&session)));
        link.change(|status| {
            status.state = LinkState::Up;
            status.opened += 1;
        });
        let end = self.watch(&session, &mut events, link).await;
        self.state.send_modify(State::disconnect);
        let refused = self.refused();
        link.change(|status| {
            status.state = LinkState::Down;
            status.lost += 1;
            status.cause = Some(cause(&end));
            status.refused = refused;
        });
        end
    }

    async fn watch(
        &self,
        session: &Session,
        events: &mut (impl StreamExt<Item = Event> + Unpin),
        link: &Link,
    ) -> Error {
        loop {
            if let Err(error) = self.declare_all(session).await {
                return error;
            }
            let refused = self.refused();
            link.change(|status| status.refused = refused);
            let (event, changed) = (pin!(events.next()), pin!(self.changed.notified()));
            match timeout(self.settings.reconnect.max, select(event, changed)).await {
                Ok(Either::Left((event, _))) => {
                    if let Some(end) = self.heed(event, session, link) {
                        return end;
                    }
                }
                Ok(Either::Right(_)) => {}
                Err(_) if !session.is_alive() => return closed(),
                // What was refused may have been mended.
                Err(_) => self.state.send_modify(State::forgive),
            }
        }
    }

    /// What an event of the connection means; the cause if it means its end.
    fn heed(&self, event: Option<Event>, session: &Session, link: &Link) -> Option<Error> {
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                self.state.send_modify(|state| state.blocked = true);
                link.change(|status| {
                    status.state = LinkState::Blocked;
                    status.cause = Some(reason.into());
                });
                None
            }
            Some(Event::ConnectionUnblocked) => {
                self.state.send_modify(|state| state.blocked = false);
                link.change(|status| status.state = LinkState::Up);
                None
            }
            Some(Event::Error(error)) if !session.is_alive() => Some(error),
            None => Some(closed()),
            Some(_) => None,
        }
    }

    /// Declares what is not declared. An error is the end of the connection.
    async fn declare_all(&self, session: &Session) -> Result<(), Error> {
        for (index, exchange) in self.settings.exchanges.iter().enumerate() {
            if self.state.borrow().exchanges[index] != Standing::Undeclared {
                continue;
            }
            let how = self.settings.declare;
            let declared = match how {
                Declare::None => Ok(()),
                _ => session.declare(exchange, how).await,
            };
            let standing = match &declared {
                Ok(()) => Standing::Ready,
                Err(error) if error.is_amqp_error() => {
                    let cause = format!("exchange {:?}: {}", exchange.name, cause(error));
                    Standing::NotDeclarable(cause.into())
                }
                Err(_) => return declared,
            };
            self.state.send_modify(|state| state.exchanges[index] = standing);
            // What the broker does not know at all, as a type, ends the whole connection.
            if declared.is_err_and(|error| error.is_amqp_hard_error()) {
                return Err(closed());
            }
        }
        Ok(())
    }

    fn refused(&self) -> Option<Cause> {
        self.state.borrow().refused().map(Cause::from)
    }
}

fn closed() -> Error {
    ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()
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
