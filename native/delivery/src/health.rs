//! How a receiver stands: what comes of attempts at it, and the connection that a backend keeps, say
//! so. It is asked nothing for that.
//!
//! Each destination stands by its latest attempt. A trouble is over with the first success there, and
//! the state of the pool is the worst of all that it knows. Counting failures, or their share, was
//! turned down: an operator would have to know the rule to read the state.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{ConnectionState, Kept};
use crate::fate::Failure;

/// In how many destinations troubles are known at a time; those of a configuration are far fewer.
const MOST: usize = 64;

/// Why a pool stands as it does that somebody has paused.
const PAUSED: &str = "paused";

/// How things stand between a pool and its receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Messages arrive.
    Connected,
    /// There is no connection, or nothing has been heard of the receiver yet.
    #[default]
    Connecting,
    /// The latest attempts at a destination failed and are repeated, or the receiver asks not to
    /// send, or the pool is paused.
    Degraded,
    /// The receiver refuses what it got last, as for a wrong password. Somebody has to mend it.
    Refused,
    /// The pool takes no more messages.
    Stopped,
}

/// The state of a pool, and what led to it. Times are ages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// For how long it has been that.
    pub since: Duration,
    /// Why, where it is not as it should be.
    pub cause: Option<Cow<'static, str>>,
    /// Somebody has paused the pool.
    pub is_paused: bool,
    /// When a message arrived last.
    pub last_success: Option<Duration>,
    /// What went wrong last, whether or not it still does.
    pub last_error: Option<LastError>,
}

/// What went wrong, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// How long ago.
    pub ago: Duration,
    /// Why.
    pub cause: Cow<'static, str>,
}

/// What is known of the receiver.
#[derive(Debug)]
pub(crate) struct Health {
    began: Instant,
    /// When a message arrived last, in milliseconds after the beginning, and one; 0 if none has.
    success: AtomicU64,
    /// There are troubles: else a success changes nothing.
    troubled: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    troubles: HashMap<Box<str>, Trouble>,
    /// When there was no trouble any more, or the first success.
    well_since: Option<Instant>,
    last_error: Option<(Instant, Cow<'static, str>)>,
}

/// That of a destination, since its latest success.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    is_refused: bool,
    cause: Cow<'static, str>,
}

/// What else says how a pool stands.
pub(crate) struct Circumstances<'a> {
    pub(crate) connection: Option<&'a Kept>,
    pub(crate) paused_at: Option<Instant>,
    pub(crate) closed_at: Option<Instant>,
}

// === impl Health ===

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            success: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            known: Mutex::default(),
        }
    }

    /// What came of an attempt at messages of one destination.
    pub(crate) fn heard(&self, destination: &str, results: &[Result<(), Failure>]) {
        let now = Instant::now();
        // What nobody wants says nothing against the receiver.
        let is_taken = |result: &Result<(), Failure>| {
            matches!(result, Ok(()) | Err(Failure::Unroutable { .. }))
        };
        let arrived = results.iter().any(is_taken);
        if arrived {
            self.succeeded(destination, now);
        }
        if let Some(failure) = results.iter().find_map(|result| result.as_ref().err()) {
            self.failed(destination, failure, !arrived, now);
        }
    }

    fn succeeded(&self, destination: &str, now: Instant) {
        let at = millis(now.duration_since(self.began)).saturating_add(1);
        let is_first = self.success.swap(at, Ordering::AcqRel) == 0;
        if !is_first && !self.troubled.load(Ordering::Acquire) {
            return;
        }
        let mut known = self.known();
        let was_in_trouble = known.troubles.remove(destination).is_some();
        if known.troubles.is_empty() && (is_first || was_in_trouble) {
            self.troubled.store(false, Ordering::Release);
            known.well_since = Some(now);
        }
    }

    fn failed(&self, destination: &str, failure: &Failure, is_trouble: bool, now: Instant) {
        let (is_refused, cause) = match failure {
            Failure::Permanent { detail } => (true, detail),
            Failure::Unroutable { detail } => (false, detail),
            Failure::Transient { detail, .. } | Failure::Nack { detail, .. } => (false, detail),
        };
        let mut known = self.known();
        known.last_error = Some((now, cause.clone()));
        if !is_trouble {
            return;
        }
        if let Some(trouble) = known.troubles.get_mut(destination) {
            if trouble.is_refused != is_refused {
                trouble.since = now;
            }
            (trouble.is_refused, trouble.cause) = (is_refused, cause.clone());
        } else if known.troubles.len() < MOST {
            let trouble = Trouble { since: now, is_refused, cause: cause.clone() };
            known.troubles.insert(destination.into(), trouble);
            self.troubled.store(true, Ordering::Release);
        }
    }

    pub(crate) fn status(&self, around: &Circumstances<'_>) -> Status {
        let known = self.known();
        let (state, since, cause) = self.state(&known, around);
        let success = self.success.load(Ordering::Acquire).checked_sub(1);
        let success =
            success.map(|at| self.began.elapsed().saturating_sub(Duration::from_millis(at)));
        let last_error = known.last_error.clone().into_iter();
        let lost = around.connection.and_then(Kept::last_error).into_iter();
        let last_error = last_error.chain(lost).max_by_key(|(at, _)| *at);
        Status {
            state,
            since: since.elapsed(),
            cause,
            is_paused: around.paused_at.is_some(),
            last_success: success,
            last_error: last_error.map(|(at, cause)| LastError { ago: at.elapsed(), cause }),
        }
    }

    /// The worst that is true. What has to be mended comes first, and the oldest of it.
    fn state(
        &self,
        known: &Known,
        around: &Circumstances<'_>,
    ) -> (State, Instant, Option<Cow<'static, str>>) {
        if let Some(at) = around.closed_at {
            return (State::Stopped, at, None);
        }
        let trouble = |is_refused: bool| {
            let troubles = known.troubles.values().filter(move |it| it.is_refused == is_refused);
            troubles.min_by_key(|trouble| trouble.since)
        };
        let refused =
            around.connection.and_then(|kept| Some((kept.since, kept.status.refused.clone()?)));
        if let Some((since, cause)) = refused {
            return (State::Refused, since, Some(cause));
        }
        if let Some(Trouble { since, cause, .. }) = trouble(true) {
            return (State::Refused, *since, Some(cause.clone()));
        }
        if let Some(at) = around.paused_at {
            return (State::Degraded, at, Some(PAUSED.into()));
        }
        let kept = around.connection.map(|kept| (kept, kept.status.state));
        match kept {
            Some((Kept { since, status, .. }, ConnectionState::Down)) => {
                return (State::Connecting, *since, status.cause.clone());
            }
            Some((Kept { since, status, .. }, ConnectionState::Blocked)) => {
                return (State::Degraded, *since, status.cause.clone());
            }
            Some((_, ConnectionState::Up)) | None => {}
        }
        if let Some(Trouble { since, cause, .. }) = trouble(false) {
            return (State::Degraded, *since, Some(cause.clone()));
        }
        let connected_since = kept.map(|(kept, _)| kept.since);
        match connected_since.into_iter().chain(known.well_since).max() {
            Some(since) => (State::Connected, since, None),
            None => (State::Connecting, self.began, None),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::connection::ConnectionStatus;

    const SECOND: Duration = Duration::from_secs(1);

    fn alone() -> Circumstances<'static> {
        Circumstances { connection: None, paused_at: None, closed_at: None }
    }

    fn told(health: &Health, around: &Circumstances<'_>) -> (State, u64, Option<String>) {
        let Status { state, since, cause, .. } = health.status(around);
        (state, since.as_secs(), cause.map(Cow::into_owned))
    }

    fn because(state: State, since: u64, cause: &str) -> (State, u64, Option<String>) {
        (state, since, Some(cause.into()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_stands_by_its_latest_attempt() {
        let health = Health::new();
        advance(SECOND).await;
        assert_eq!(told(&health, &alone()), (State::Connecting, 1, None), "nothing was heard");
        health.heard("a", &[Ok(())]);
        advance(SECOND).await;
        health.heard("a", &[Ok(())]);
        assert_eq!(told(&health, &alone()), (State::Connected, 1, None), "since the first");
        health.heard("a", &[Err(Failure::transient("503"))]);
        advance(SECOND).await;
        health.heard("a", &[Err(Failure::transient("timeout"))]);
        assert_eq!(told(&health, &alone()), because(State::Degraded, 1, "timeout"));
        health.heard("a", &[Err(Failure::permanent("403"))]);
        advance(SECOND).await;
        assert_eq!(told(&health, &alone()), because(State::Refused, 1, "403"));
        health.heard("a", &[Ok(())]);
        assert_eq!(told(&health, &alone()), (State::Connected, 0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_worst_destination_tells_and_success_elsewhere_mends_nothing() {
        let health = Health::new();
        health.heard("a", &[Err(Failure::permanent("403"))]);
        advance(SECOND).await;
        health.heard("b", &[Err(Failure::transient("503"))]);
        health.heard("c", &[Ok(())]);
        assert_eq!(told(&health, &alone()), because(State::Refused, 1, "403"));
        health.heard("a", &[Ok(())]);
        assert_eq!(told(&health, &alone()), because(State::Degraded, 0, "503"));
        health.heard("b", &[Ok(())]);
        assert_eq!(told(&health, &alone()), (State::Connected, 0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn one_message_of_a_batch_is_an_error_and_no_trouble() {
        let health = Health::new();
        health.heard("a", &[Ok(()), Err(Failure::permanent("too large"))]);
        advance(SECOND).await;
        let status = health.status(&alone());
        assert_eq!((status.state, status.last_success), (State::Connected, Some(SECOND)));
        let last = LastError { ago: SECOND, cause: "too large".into() };
        assert_eq!(status.last_error, Some(last));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_tells_before_any_attempt() {
        let health = Health::new();
        let mut kept = Kept::new(ConnectionStatus::default());
        let told =
            |kept: &Kept| told(&health, &Circumstances { connection: Some(kept), ..alone() });
        advance(SECOND).await;
        assert_eq!(told(&kept), (State::Connecting, 1, None));
        kept.change(|status| (status.failed, status.cause) = (1, Some("refused".into())));
        advance(SECOND).await;
        assert_eq!(told(&kept), because(State::Connecting, 2, "refused"), "the same as before");
        kept.change(|status| (status.state, status.cause) = (ConnectionState::Up, None));
        advance(SECOND).await;
        assert_eq!(told(&kept), (State::Connected, 1, None));
        kept.change(|status| {
            (status.state, status.cause) = (ConnectionState::Blocked, Some("memory".into()));
        });
        assert_eq!(told(&kept), because(State::Degraded, 0, "memory"));
        kept.change(|status| status.refused = Some("exchange".into()));
        assert_eq!(told(&kept), because(State::Refused, 0, "exchange"));
        let around = Circumstances { connection: Some(&kept), ..alone() };
        let last = LastError { ago: Duration::ZERO, cause: "memory".into() };
        assert_eq!(health.status(&around).last_error, Some(last));
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_did_is_told_and_a_stop_above_all() {
        let health = Health::new();
        health.heard("a", &[Err(Failure::transient("503"))]);
        let now = Some(Instant::now());
        advance(SECOND).await;
        let paused = Circumstances { paused_at: now, ..alone() };
        assert_eq!(told(&health, &paused), because(State::Degraded, 1, "paused"));
        health.heard("a", &[Err(Failure::permanent("403"))]);
        assert_eq!(told(&health, &paused), because(State::Refused, 0, "403"));
        let stopped = Circumstances { closed_at: now, ..paused };
        assert_eq!(told(&health, &stopped), (State::Stopped, 1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn troubles_have_a_bound() {
        let health = Health::new();
        for number in 0..2 * MOST {
            health.heard(&number.to_string(), &[Err(Failure::transient("503"))]);
        }
        assert_eq!(health.known().troubles.len(), MOST);
        for number in 0..2 * MOST {
            health.heard(&number.to_string(), &[Ok(())]);
        }
        assert_eq!(told(&health, &alone()), (State::Connected, 0, None));
    }
}
