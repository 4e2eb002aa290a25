//! The attempt loop: from a batch of accepted messages to one outcome for each.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::sleep;

use crate::limit::Limit;
use crate::message::Accepted;
use crate::observer::Observer;
use crate::outcome::{DropReason, Failure, Outcome};
use crate::target::Target;

/// The longest wait that a receiver may ask for. A message that would have to wait longer is
/// given up, because its place in the pool is needed and an earlier attempt is not welcome.
pub const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(300);

/// How often and when a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// How many attempts may follow the first one; `None` sets no end.
    pub count: Option<u32>,
    /// About how long to wait before the second attempt; doubled for each one after it. Zero
    /// repeats at once.
    pub base: Duration,
    /// The longest wait that is computed; what a receiver asks for may be longer.
    pub max: Duration,
}

/// The waits between the attempts of one delivery.
#[derive(Debug)]
pub struct Backoff<R> {
    settings: RetrySettings,
    done: u32,
    random: R,
}

/// What comes back from an attempt, because it has to wait elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) messages: Vec<Accepted>,
    pub(crate) rests: Rests,
}

/// The groups that nothing may be sent of for so long.
pub(crate) type Rests = HashMap<Box<str>, Duration>;

/// Attempts the delivery of messages of one destination until each has ended, and tells the
/// observer of every end. What is left comes back when the destination is not ready any more, or
/// when the receiver does not take a message now.
pub(crate) async fn deliver<T: Target, R: FnMut() -> f64>(
    target: &T,
    limit: Option<&Limit>,
    mut pending: Vec<Accepted>,
    mut backoff: Backoff<R>,
    observer: &Observer,
) -> Left {
    loop {
        let slot = match limit {
            Some(limit) => Some(limit.acquire().await),
            None => None,
        };
        let began = Instant::now();
        let results = attempt(target, &pending, observer).await;
        let took = began.elapsed();
        drop(slot);
        // Counts the end of a message, which leaves the loop.
        let end = |accepted: &Accepted, outcome, detail| {
            observer.ended(accepted.at, took, outcome, detail);
            false
        };
        let mut retry = Retry::default();
        let mut rests = Rests::new();
        let mut results = results.into_iter();
        pending.retain(|accepted| match results.next().unwrap_or_else(missing) {
            Ok(()) => end(accepted, Outcome::Delivered, "".into()),
            Err(Failure::Permanent { detail }) => {
                end(accepted, Outcome::Dropped(DropReason::Rejected), detail)
            }
            Err(Failure::Transient { detail, retry_after }) => retry.wanted(detail, retry_after),
            Err(Failure::Nack { detail, wait }) => {
                observer.nack();
                match (wait, &accepted.message.group) {
                    (None, _) => end(accepted, Outcome::Dropped(DropReason::Nacked), detail),
                    (Some(wait), Some(group)) => {
                        let rest = rests.entry(group.clone()).or_insert(wait);
                        *rest = wait.max(*rest);
                        retry.wanted(detail, None)
                    }
                    // Nothing follows it.
                    (wait, None) => retry.wanted(detail, wait),
                }
            }
        });
        if pending.is_empty() {
            return Left::default();
        }
        if !rests.is_empty() {
            observer.retrying(pending.len(), retry.detail);
            let resting = |accepted: &Accepted| {
                accepted.message.group.as_ref().is_some_and(|group| rests.contains_key(group))
            };
            for accepted in pending.iter_mut().filter(|accepted| resting(accepted)) {
                accepted.nacks = accepted.nacks.saturating_add(1);
            }
            return Left { messages: pending, rests };
        }
        let Some(delay) = backoff.next(retry.after) else {
            for accepted in &pending {
                end(accepted, Outcome::Dropped(DropReason::Exhausted), retry.detail.clone());
            }
            return Left::default();
        };
        observer.retrying(pending.len(), retry.detail);
        if !target.is_ready(&pending[0].message.destination) {
            return Left { messages: pending, rests };
        }
        sleep(delay).await;
    }
}

/// Why and when the messages that are left want another attempt.
#[derive(Debug, Default)]
struct Retry {
    detail: Cow<'static, str>,
    after: Option<Duration>,
}

/// One attempt. A panic inside the target costs only the message that provokes it.
async fn attempt<T: Target>(
    target: &T,
    batch: &[Accepted],
    observer: &Observer,
) -> Vec<Result<(), Failure>> {
    let caught = AssertUnwindSafe(target.deliver(batch)).catch_unwind().await;
    match (caught, batch) {
        (Ok(results), _) => results,
        (Err(_), [_]) => {
            observer.panicked();
            vec![Err(Failure::permanent("panic inside the target"))]
        }
        (Err(_), _) => {
            observer.panicked();
            let mut results = Vec::with_capacity(batch.len());
            for single in batch.chunks(1) {
                results.extend(Box::pin(attempt(target, single, observer)).await);
            }
            results
        }
    }
}

fn missing() -> Result<(), Failure> {
    Err(Failure::permanent("the target gave no result"))
}

// === impl Retry ===

impl Retry {
    /// Keeps the message in the loop. All that are left wait for the longest wait asked for; the
    /// first failure is the cause that is told.
    fn wanted(&mut self, detail: Cow<'static, str>, after: Option<Duration>) -> bool {
        if self.detail.is_empty() {
            self.detail = detail;
        }
        self.after = self.after.max(after);
        true
    }
}

// === impl RetrySettings ===

impl RetrySettings {
    /// How long to wait before another attempt after `done` that were repeated, or `None` if there
    /// must not be one. `random`, from 0 to 1, is the jitter.
    pub fn wait(&self, done: u32, random: f64) -> Option<Duration> {
        if self.count.is_some_and(|count| done >= count) {
            return None;
        }
        let whole = self.base.saturating_mul(2_u32.saturating_pow(done)).min(self.max);
        Some(whole.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0)))
    }
}

// === impl Backoff ===

impl<R: FnMut() -> f64> Backoff<R> {
    /// `random` gives numbers from 0 to 1: the jitter.
    pub fn new(settings: RetrySettings, random: R) -> Self {
        Self { settings, done: 0, random }
    }

    /// How long to wait before the next attempt, or `None` if there must not be one.
    ///
    /// The wait before retry `n` (from 0) lies between the half and the whole of `base * 2^n`,
    /// at most `max`, and is never shorter than what the receiver asked for.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        if retry_after > Some(RETRY_AFTER_LIMIT) {
            return None;
        }
        let wait = self.settings.wait(self.done, (self.random)())?;
        self.done = self.done.saturating_add(1);
        Some(wait.max(retry_after.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests;
