//! Counts what becomes of messages; told of every attempt and every outcome.

use std::borrow::Cow;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::link::LinkStatus;
use crate::outcome::{DropReason, Outcome, Refusal};
use crate::target::Target;

/// How many delivery times one report holds at most.
const SAMPLES: usize = 64;

/// The counters of one pool. Totals only grow; a [`Report`] is a snapshot of them.
#[derive(Debug, Default)]
pub struct Observer {
    accepted: AtomicU64,
    delivered: AtomicU64,
    rejected: AtomicU64,
    exhausted: AtomicU64,
    nacked: AtomicU64,
    closed: AtomicU64,
    refused_full: AtomicU64,
    refused_closed: AtomicU64,
    retried: AtomicU64,
    nacks: AtomicU64,
    panics: AtomicU64,
    batch_limit: AtomicUsize,
    clock_offset: AtomicI64,
    samples: AtomicUsize,
    recent: Mutex<Recent>,
}

/// What happened since the last report.
#[derive(Debug, Default)]
struct Recent {
    times: Vec<Times>,
    rejected: Option<Cow<'static, str>>,
    exhausted: Option<Cow<'static, str>>,
    nacked: Option<Cow<'static, str>>,
    retried: Option<Cow<'static, str>>,
}

/// How long the delivery of one message took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// From acceptance to confirmation.
    pub total: Duration,
    /// The attempt that succeeded.
    pub attempt: Duration,
}

/// A snapshot of a pool. Always
/// `accepted = delivered + rejected + exhausted + nacked + closed + waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages the pool answered or answers for.
    pub accepted: u64,
    /// Messages that the receiver confirmed.
    pub delivered: u64,
    /// Messages given up because the receiver refuses them.
    pub rejected: u64,
    /// Messages given up after the last permitted attempt.
    pub exhausted: u64,
    /// Messages given up because the receiver did not take them.
    pub nacked: u64,
    /// Messages given up because the pool was stopped.
    pub closed: u64,
    /// Accepted messages whose end is still open, in the queue or in flight.
    pub waiting: u64,
    /// Messages never accepted because the queue was full.
    pub refused_full: u64,
    /// Messages never accepted because the pool was stopped.
    pub refused_closed: u64,
    /// Attempts that were followed by another one, counted per message.
    pub retried: u64,
    /// Attempts at one message that the receiver did not take then.
    pub nacks: u64,
    /// Panics inside the target.
    pub panics: u64,
    /// Messages in the queue.
    pub queue_events: usize,
    /// Bytes that the messages in the queue occupy.
    pub queue_bytes: usize,
    /// For how long the oldest message in the queue has waited.
    pub oldest: Option<Duration>,
    /// How many messages the target takes together at the moment.
    pub batch_limit: usize,
    /// How many seconds the receiver's clock is ahead of ours, where that matters; else zero.
    pub clock_offset: i64,
    /// The connection that the target keeps, if it keeps one.
    pub link: Option<LinkStatus>,
    /// How long deliveries took: up to 64 since the last report.
    pub times: Vec<Times>,
    /// The latest cause of a rejection since the last report.
    pub last_rejected: Option<Cow<'static, str>>,
    /// The latest cause of an exhaustion since the last report.
    pub last_exhausted: Option<Cow<'static, str>>,
    /// The latest cause of a nack that ended a message since the last report.
    pub last_nacked: Option<Cow<'static, str>>,
    /// The latest cause of a retry since the last report.
    pub last_retried: Option<Cow<'static, str>>,
}

// === impl Observer ===

impl Observer {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Full => &self.refused_full,
            Refusal::Closed => &self.refused_closed,
        };
        counter.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn retrying(&self, messages: usize, detail: Cow<'static, str>) {
        self.retried.fetch_add(messages as u64, Ordering::Release);
        self.recent().retried = Some(detail);
    }

    pub(crate) fn nack(&self) {
        self.nacks.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Release);
    }

    /// How the target stands at the moment.
    pub(crate) fn target(&self, target: &impl Target) {
        self.batch_limit.store(target.limits().events, Ordering::Release);
        self.clock_offset.store(target.clock_offset(), Ordering::Release);
    }

    /// Counts the one outcome of a message that was accepted at `accepted` and whose last attempt
    /// took so long.
    pub(crate) fn ended(
        &self,
        accepted: Instant,
        attempt: Duration,
        outcome: Outcome,
        detail: Cow<'static, str>,
    ) {
        match outcome {
            Outcome::Delivered => {
                self.delivered.fetch_add(1, Ordering::Release);
                self.sample(accepted, attempt);
            }
            Outcome::Dropped(DropReason::Rejected) => {
                self.rejected.fetch_add(1, Ordering::Release);
                self.recent().rejected = Some(detail);
            }
            Outcome::Dropped(DropReason::Exhausted) => {
                self.exhausted.fetch_add(1, Ordering::Release);
                self.recent().exhausted = Some(detail);
            }
            Outcome::Dropped(DropReason::Nacked) => {
                self.nacked.fetch_add(1, Ordering::Release);
                self.recent().nacked = Some(detail);
            }
            Outcome::Dropped(DropReason::Closed) => {
                self.closed.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// Counts everything whose end is still open as closed. Only right when nothing runs any more.
    pub(crate) fn close_rest(&self) {
        self.closed.fetch_add(self.totals().waiting, Ordering::Release);
    }

    pub(crate) fn totals(&self) -> Report {
        let mut report = Report {
            delivered: self.delivered.load(Ordering::Acquire),
            rejected: self.rejected.load(Ordering::Acquire),
            exhausted: self.exhausted.load(Ordering::Acquire),
            nacked: self.nacked.load(Ordering::Acquire),
            closed: self.closed.load(Ordering::Acquire),
            refused_full: self.refused_full.load(Ordering::Acquire),
            refused_closed: self.refused_closed.load(Ordering::Acquire),
            retried: self.retried.load(Ordering::Acquire),
            nacks: self.nacks.load(Ordering::Acquire),
            panics: self.panics.load(Ordering::Acquire),
            batch_limit: self.batch_limit.load(Ordering::Acquire),
            clock_offset: self.clock_offset.load(Ordering::Acquire),
            ..Report::default()
        };
        // Acceptance is counted first and read last, so that no message seems to have ended
        // that has not begun.
        report.accepted = self.accepted.load(Ordering::Acquire);
        report.waiting = report.accepted.saturating_sub(report.ended());
        report
    }

    pub(crate) fn take_recent(&self, report: &mut Report) {
        let recent = std::mem::take(&mut *self.recent());
        self.samples.store(0, Ordering::Relaxed);
        report.times = recent.times;
        report.last_rejected = recent.rejected;
        report.last_exhausted = recent.exhausted;
        report.last_nacked = recent.nacked;
        report.last_retried = recent.retried;
    }

    fn sample(&self, accepted: Instant, attempt: Duration) {
        if self.samples.load(Ordering::Relaxed) < SAMPLES
            && self.samples.fetch_add(1, Ordering::Relaxed) < SAMPLES
        {
            self.recent().times.push(Times { total: accepted.elapsed(), attempt });
        }
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Report ===

impl Report {
    /// Accepted messages that were given up, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.rejected + self.exhausted + self.nacked + self.closed
    }

    fn ended(&self) -> u64 {
        self.delivered + self.dropped()
    }
}
