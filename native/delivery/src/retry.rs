//! The attempt loop: from a batch of accepted messages to one fate for each.
//!
//! A worker waits here between attempts and keeps its slot. Timers that would free it were turned
//! down: messages would wait in a second place, with bounds of its own, and a receiver that is down
//! would see an attempt at every message that waits, instead of at as many as there are workers.
//!
//! Four things go back into the queue instead. Nothing else has to wait as long as they do: those
//! whose destination is not ready, and groups that rest after a nack. Those whose
//! [circuit](crate::breaker) is open: one attempt tells whether to go on, and not one of each worker.
//! And where attempts are not counted, those that fail while the circuit is closed, and the receiver
//! does not ask to wait: a few that it never takes would have all workers until they are too old.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::take;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout};

use crate::backend::Backend;
use crate::backoff::{Backoff, RetryEnd, RetrySettings};
use crate::breaker::{Heard, Pass};
use crate::circuits::Circuits;
use crate::fate::{DropReason, Failure, Fate};
use crate::health::Health;
use crate::levers::Levers;
use crate::limit::Limit;
use crate::message::Accepted;
use crate::observer::Observer;

/// What comes back from an attempt, because it has to wait elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) messages: Vec<Accepted>,
    pub(crate) rests: Rests,
    pub(crate) alone: Alone,
}

/// The groups that nothing may be sent of for so long.
pub(crate) type Rests = HashMap<Box<str>, Duration>;

/// The messages without a group that may not be sent for so long, by their ids.
pub(crate) type Alone = HashMap<u64, Duration>;

/// What the attempts of a pool have in common.
pub(crate) struct Delivery<'a, T> {
    pub(crate) backend: &'a T,
    pub(crate) limit: Option<&'a Limit>,
    pub(crate) retry: RetrySettings,
    pub(crate) max_age: Option<Duration>,
    pub(crate) circuits: &'a Circuits,
    pub(crate) health: &'a Health,
    pub(crate) levers: &'a Levers,
    pub(crate) observer: &'a Observer,
}

/// What one attempt at several messages comes to: which of them have ended, and why and when the
/// others want another attempt.
struct Round<'a> {
    observer: &'a Observer,
    retry: RetrySettings,
    took: Duration,
    /// The first failure is the cause that is told.
    detail: Cow<'static, str>,
    /// The longest wait asked for: all that are left wait together.
    after: Option<Duration>,
    rests: Rests,
    heard: Heard,
}

/// One attempt. A panic inside the backend costs only the message that provokes it.
async fn attempt<T: Backend>(
    backend: &T,
    batch: &[Accepted],
    observer: &Observer,
) -> Vec<Result<(), Failure>> {
    let caught = AssertUnwindSafe(backend.deliver(batch)).catch_unwind().await;
    match (caught, batch) {
        (Ok(results), _) => results,
        (Err(_), [_]) => {
            observer.panicked();
            vec![Err(Failure::permanent("panic inside the backend"))]
        }
        (Err(_), _) => {
            observer.panicked();
            let mut results = Vec::with_capacity(batch.len());
            for single in batch.chunks(1) {
                results.extend(Box::pin(attempt(backend, single, observer)).await);
            }
            results
        }
    }
}

fn missing() -> Result<(), Failure> {
    Err(Failure::permanent("the backend gave no result"))
}

// === impl Delivery ===

impl<T: Backend> Delivery<'_, T> {
    /// Attempts the delivery of messages of one destination until each has ended, and tells the
    /// observer of every end. What is left comes back when the destination is not ready any more or
    /// its circuit is open, or when the receiver does not take a message now. A panic costs the messages
    /// that are pending then.
    pub(crate) async fn deliver(
        &self,
        destination: &str,
        mut pending: Vec<Accepted>,
        mut pass: Pass,
        random: impl FnMut() -> f64,
    ) -> Left {
        let delivering = self.attempts(destination, &mut pending, &mut pass, random);
        if let Ok(left) = AssertUnwindSafe(delivering).catch_unwind().await {
            return left;
        }
        self.observer.panicked();
        self.circuits.forgo(destination, pass);
        for accepted in pending {
            accepted.release();
            let fate = Fate::Dropped(DropReason::Rejected);
            self.observer.ended(
                accepted.at,
                Duration::ZERO,
                fate,
                "panic inside event_pusher".into(),
            );
        }
        Left::default()
    }

    async fn attempts(
        &self,
        destination: &str,
        pending: &mut Vec<Accepted>,
        pass: &mut Pass,
        random: impl FnMut() -> f64,
    ) -> Left {
        let mut backoff = Backoff::new(self.retry, random);
        loop {
            let Some(round) = self.attempt(destination, pending, *pass).await else {
                return Left::waiting(take(pending));
            };
            if pending.is_empty() {
                return Left::default();
            }
            if !round.rests.is_empty() {
                self.observer.retrying(pending.len(), round.detail);
                return Left::resting(take(pending), round.rests);
            }
            let waits_here =
                self.backend.is_ready(destination) && !self.circuits.is_open(destination);
            if waits_here && self.frees_worker(round.heard) {
                return self.rest(&round, take(pending), &mut backoff);
            }
            let Some(delay) = backoff.next(round.after) else {
                round.exhausted(&take(pending));
                return Left::default();
            };
            if waits_here {
                pending.retain(|accepted| round.keeps_for(accepted, delay, self.max_age));
            }
            if pending.is_empty() {
                return Left::default();
            }
            self.observer.retrying(pending.len(), round.detail);
            if !waits_here {
                return Left::waiting(take(pending));
            }
            if !self.waits(delay, destination, pending).await {
                return Left::waiting(take(pending));
            }
            match self.circuits.enter(destination, Instant::now()) {
                Some(next) => *pass = next,
                None => return Left::waiting(take(pending)),
            }
        }
    }

    /// Whether what has failed waits in the queue: it may be for long, and not for the receiver's sake.
    fn frees_worker(&self, heard: Heard) -> bool {
        let is_counted = !matches!(self.retry.end, RetryEnd::Age(_));
        self.circuits.are_watched() && !is_counted && !matches!(heard, Heard::Wait(_))
    }

    /// Lets each message wait by itself, or with its group.
    fn rest<R: FnMut() -> f64>(
        &self,
        round: &Round<'_>,
        mut messages: Vec<Accepted>,
        backoff: &mut Backoff<R>,
    ) -> Left {
        let (mut rests, mut alone) = (Rests::default(), Alone::default());
        messages.retain(|accepted| {
            let group = &accepted.message.group;
            if group.as_ref().is_some_and(|group| rests.contains_key(group)) {
                return true;
            }
            let delay = backoff.of(accepted.attempts.saturating_sub(1), round.after);
            let keeps = round.keeps_for(accepted, delay, self.max_age);
            match group {
                Some(group) if keeps => _ = rests.insert(group.clone(), delay),
                None if keeps => _ = alone.insert(accepted.id, delay),
                _ => {}
            }
            keeps
        });
        if !messages.is_empty() {
            self.observer.retrying(messages.len(), round.detail.clone());
        }
        Left { messages, rests, alone }
    }

    /// Waits for so long, or until somebody hurries. Whether another attempt may follow.
    async fn waits(&self, delay: Duration, destination: &str, pending: &[Accepted]) -> bool {
        let (opens, hurried) =
            (pin!(self.circuits.opens(destination)), pin!(self.levers.hurried()));
        let opened = matches!(timeout(delay, select(opens, hurried)).await, Ok(Either::Left(_)));
        let is_purged = pending.iter().any(|accepted| self.levers.is_purged(accepted.at));
        !(opened || is_purged || self.levers.is_paused())
    }

    /// One attempt, once the limit has a place for it. Those that have ended are pending no longer.
    /// `None` if meanwhile nothing may be attempted any more.
    async fn attempt(
        &self,
        destination: &str,
        pending: &mut Vec<Accepted>,
        pass: Pass,
    ) -> Option<Round<'_>> {
        let _place = match self.limit {
            Some(limit) => Some(limit.acquire().await),
            None => None,
        };
        if !self.circuits.stands(destination, pass) {
            return None;
        }
        if self.levers.is_paused() {
            self.circuits.forgo(destination, pass);
            return None;
        }
        let began = Instant::now();
        let results = attempt(self.backend, pending, self.observer).await;
        self.health.heard(destination, &results);
        let mut round = Round::new(self.observer, self.retry, began.elapsed());
        let mut results = results.into_iter();
        pending
            .retain_mut(|accepted| round.keeps(accepted, results.next().unwrap_or_else(missing)));
        self.circuits.heard(destination, pass, round.heard, round.detail.clone());
        Some(round)
    }
}

// === impl Left ===

impl Left {
    /// Messages that wait in the queue because nothing may be attempted now.
    fn waiting(messages: Vec<Accepted>) -> Self {
        Self { messages, ..Self::default() }
    }

    /// Messages that wait in the queue because the receiver does not take them, or one before them
    /// in their group, now.
    fn resting(mut messages: Vec<Accepted>, rests: Rests) -> Self {
        for accepted in &mut messages {
            if accepted.message.group.as_ref().is_some_and(|group| rests.contains_key(group)) {
                accepted.nacks = accepted.nacks.saturating_add(1);
            }
        }
        Self { messages, rests, alone: Alone::default() }
    }
}

// === impl Round ===

impl<'a> Round<'a> {
    fn new(observer: &'a Observer, retry: RetrySettings, took: Duration) -> Self {
        let (detail, rests) = ("".into(), Rests::default());
        Self { observer, retry, took, detail, after: None, rests, heard: Heard::Wait(None) }
    }

    /// Whether the message stays for another attempt. If not, its fate is counted.
    fn keeps(&mut self, accepted: &mut Accepted, result: Result<(), Failure>) -> bool {
        self.heard = self.heard.and(&result);
        match result {
            Ok(()) => self.ends(accepted, Fate::Delivered, "".into()),
            Err(Failure::Permanent { detail }) => {
                self.ends(accepted, Fate::Dropped(DropReason::Rejected), detail)
            }
            Err(Failure::Unroutable { detail }) => {
                self.observer.unroutable(&accepted.message.destination);
                self.ends(accepted, Fate::Dropped(DropReason::Unroutable), detail)
            }
            Err(Failure::Transient { detail, retry_after, .. }) => {
                self.failed(accepted, detail, retry_after)
            }
            Err(Failure::Nack { detail, wait }) => self.nacked(accepted, detail, wait),
        }
    }

    /// Each message has its own attempts: those of a batch may have met elsewhere before.
    fn failed(
        &mut self,
        accepted: &mut Accepted,
        detail: Cow<'static, str>,
        retry_after: Option<Duration>,
    ) -> bool {
        if self.rests(accepted) {
            // It fails for what came before it in its group.
            return self.again(detail, retry_after);
        }
        let done = accepted.attempts;
        accepted.attempts = done.saturating_add(1);
        self.again(detail.clone(), retry_after);
        (self.retry.permits(done) && self.retry.permits_at(accepted.at.elapsed()))
            || self.ends(accepted, Fate::Dropped(DropReason::Exhausted), detail)
    }

    fn nacked(
        &mut self,
        accepted: &Accepted,
        detail: Cow<'static, str>,
        wait: Option<Duration>,
    ) -> bool {
        self.observer.nack();
        match (wait, &accepted.message.group) {
            (None, _) => self.ends(accepted, Fate::Dropped(DropReason::Nacked), detail),
            (Some(wait), Some(group)) => {
                let rest = self.rests.entry(group.clone()).or_insert(wait);
                *rest = wait.max(*rest);
                self.again(detail, None)
            }
            // Nothing follows it.
            (wait, None) => self.again(detail, wait),
        }
    }

    fn rests(&self, accepted: &Accepted) -> bool {
        accepted.message.group.as_ref().is_some_and(|group| self.rests.contains_key(group))
    }

    fn again(&mut self, detail: Cow<'static, str>, after: Option<Duration>) -> bool {
        if self.detail.is_empty() {
            self.detail = detail;
        }
        self.after = self.after.max(after);
        true
    }

    fn ends(&self, accepted: &Accepted, fate: Fate, detail: Cow<'static, str>) -> bool {
        accepted.release();
        self.observer.ended(accepted.at, self.took, fate, detail);
        false
    }

    /// Whether the message may wait for so long. If not, its fate is counted.
    fn keeps_for(&self, accepted: &Accepted, delay: Duration, max_age: Option<Duration>) -> bool {
        let age = accepted.at.elapsed() + delay;
        let reason = match max_age {
            Some(max_age) if age >= max_age => DropReason::Expired,
            _ if !self.retry.permits_at(age) => DropReason::Exhausted,
            _ => return true,
        };
        self.ends(accepted, Fate::Dropped(reason), self.detail.clone())
    }

    fn exhausted(&self, messages: &[Accepted]) {
        for accepted in messages {
            self.ends(accepted, Fate::Dropped(DropReason::Exhausted), self.detail.clone());
        }
    }
}

#[cfg(test)]
mod tests;
