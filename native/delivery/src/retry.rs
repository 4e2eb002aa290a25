//! The attempt loop: from a batch of accepted messages to one outcome for each.

use std::borrow::Cow;
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

/// Attempts the delivery of messages of one destination until each has ended, and tells the
/// observer of every end. What is left when the destination is not ready any more comes back:
/// it has to wait elsewhere.
pub(crate) async fn deliver<T: Target, R: FnMut() -> f64>(
    target: &T,
    limit: Option<&Limit>,
    mut pending: Vec<Accepted>,
    mut backoff: Backoff<R>,
    observer: &Observer,
) -> Vec<Accepted> {
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
        let mut results = results.into_iter();
        pending.retain(|accepted| match results.next().unwrap_or_else(missing) {
            Ok(()) => end(accepted, Outcome::Delivered, "".into()),
            Err(Failure::Permanent { detail }) => {
                end(accepted, Outcome::Dropped(DropReason::Rejected), detail)
            }
            Err(Failure::Transient { detail, retry_after }) => retry.wanted(detail, retry_after),
        });
        if pending.is_empty() {
            return pending;
        }
        let Some(delay) = backoff.next(retry.after) else {
            for accepted in &pending {
                end(accepted, Outcome::Dropped(DropReason::Exhausted), retry.detail.clone());
            }
            return Vec::new();
        };
        observer.retrying(pending.len(), retry.detail);
        if !target.is_ready(&pending[0].message.destination) {
            return pending;
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
        if Some(self.done) == self.settings.count || retry_after > Some(RETRY_AFTER_LIMIT) {
            return None;
        }
        let factor = 2_u32.saturating_pow(self.done);
        self.done = self.done.saturating_add(1);
        let whole = self.settings.base.saturating_mul(factor).min(self.settings.max);
        let jittered = whole.mul_f64(0.5 + 0.5 * (self.random)().clamp(0.0, 1.0));
        Some(jittered.max(retry_after.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests;
