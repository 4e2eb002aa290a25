//! Keeps the connection and the exchanges up: connects, declares, watches, begins again.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use lapin::{ConnectionState, Error, ErrorKind, Event};
use tokio::time::{sleep, timeout};

use super::RabbitTarget;
use super::cause::{cause, is_refusal};
use super::session::Session;
use super::state::{Standing, State};
use crate::link::{Link, LinkState};
use crate::retry::Backoff;

/// Why a connection ended.
type Cause = std::borrow::Cow<'static, str>;

// === impl RabbitTarget ===

impl RabbitTarget {
    /// Runs until it is dropped.
    pub(super) async fn keep(&self, link: &Link) {
        link.change(|_| ());
        let reconnect = self.settings.reconnect;
        let mut backoff = Backoff::new(reconnect, fastrand::f64);
        loop {
            let began = Instant::now();
            let delay = match Session::open(&self.settings).await {
                Ok(session) => {
                    self.serve(Arc::new(session), link).await;
                    // The first attempt after a loss comes at once, unless the connection was not
                    // worth the name.
                    if began.elapsed() > reconnect.base {
                        backoff = Backoff::new(reconnect, fastrand::f64);
                        Duration::ZERO
                    } else {
                        next(&mut backoff)
                    }
                }
                Err(error) if is_refusal(&error) => {
                    let login = &self.settings.login;
                    let cause = cause(&error);
                    let refused = format!(
                        "user {:?}, virtual host {:?}: {cause}",
                        login.username, login.virtual_host
                    );
                    link.change(|status| {
                        status.failed += 1;
                        status.cause = Some(cause);
                        status.refused = Some(refused.into());
                    });
                    reconnect.max
                }
                Err(error) => {
                    link.change(|status| {
                        status.failed += 1;
                        status.cause = Some(cause(&error));
                    });
                    next(&mut backoff)
                }
            };
            sleep(delay).await;
        }
    }

    /// Serves one connection for as long as it lasts.
    async fn serve(&self, session: Arc<Session>, link: &Link) {
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
            status.cause = Some(end);
            status.refused = refused;
        });
    }

    async fn watch(
        &self,
        session: &Session,
        events: &mut (impl StreamExt<Item = Event> + Unpin),
        link: &Link,
    ) -> Cause {
        loop {
            if let Err(error) = self.declare_all(session).await {
                return cause(&error);
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
                Err(_) if !session.is_alive() => return "connection is closed".into(),
                // What was refused may have been mended.
                Err(_) => self.state.send_modify(State::forgive),
            }
        }
    }

    /// What an event of the connection means; the cause if it means its end.
    fn heed(&self, event: Option<Event>, session: &Session, link: &Link) -> Option<Cause> {
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
            Some(Event::Error(error)) if !session.is_alive() => Some(cause(&error)),
            None => Some("connection is closed".into()),
            Some(_) => None,
        }
    }

    /// Declares what is not declared. An error is the end of the connection.
    async fn declare_all(&self, session: &Session) -> Result<(), Error> {
        for (index, exchange) in self.settings.exchanges.iter().enumerate() {
            if self.state.borrow().exchanges[index] != Standing::Undeclared {
                continue;
            }
            let declared = session.declare(exchange).await;
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
                return Err(ErrorKind::InvalidConnectionState(ConnectionState::Closed).into());
            }
        }
        Ok(())
    }

    fn refused(&self) -> Option<Cause> {
        self.state.borrow().refused().map(Cause::from)
    }
}

fn next(backoff: &mut Backoff<impl FnMut() -> f64>) -> Duration {
    backoff.next(None).expect("attempts to connect have no end")
}
