//! Counts what becomes of messages; told of every attempt and every fate.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fate::{DropReason, Fate, Refusal};
use crate::report::Recent;
use crate::times::Recorder;

/// The one list of what is counted: the counters, their values at a moment, and their names. What was
/// accepted is counted first and read last, so that no message seems to have ended that has not begun.
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// They only grow.
        #[derive(Debug, Default)]
        struct Counters {
            $($name: AtomicU64,)*
            accepted: AtomicU64,
        }

        impl Counters {
            /// Read one after the other, in this order.
            fn read(&self) -> Counts {
                Counts {
                    $($name: self.$name.load(Ordering::Acquire),)*
                    accepted: self.accepted.load(Ordering::Acquire),
                }
            }
        }

        /// What became of messages: since the start of a pool, or between two moments.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
            /// Messages the pool answered or answers for.
            pub accepted: u64,
        }

        impl Counts {
            /// What was counted after these earlier counts of the same pool.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                Self {
                    $($name: self.$name.saturating_sub(earlier.$name),)*
                    accepted: self.accepted.saturating_sub(earlier.accepted),
                }
            }

            /// Each count and its name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)* ("accepted", self.accepted)].into_iter()
            }
        }
    };
}

counts! {
    /// Messages that the receiver confirmed.
    delivered,
    /// Messages given up because the receiver refuses them.
    rejected,
    /// Messages given up after the last permitted attempt.
    exhausted,
    /// Messages given up because the receiver did not take them.
    nacked,
    /// Messages that the receiver took and had nobody to give to.
    unroutable,
    /// Messages given up because they were too old.
    expired,
    /// Messages given up because somebody asked for it.
    purged,
    /// Messages given up because their records on disk were damaged.
    unreadable,
    /// Messages given up to make room for newer ones.
    full,
    /// Messages given up because the pool was stopped.
    closed,
    /// Messages left on disk at the stop, for the next start.
    kept,
    /// Messages that were on disk at the start. They are among those accepted.
    restored,
    /// Messages accepted into memory that the disk could not keep up with.
    unsaved,
    /// Messages never accepted because the queue was full.
    refused_full,
    /// Messages never accepted because the pool was stopped.
    refused_closed,
    /// Attempts that were followed by another one, counted per message.
    retried,
    /// Attempts at one message that the receiver did not take then.
    nacks,
    /// Panics inside the backend.
    panics,
}

/// The counters of one pool, and what happened since somebody asked last.
#[derive(Debug, Default)]
pub struct Observer {
    counters: Counters,
    times: Recorder,
    recent: Mutex<Recent>,
}

// === impl Counts ===

impl Counts {
    /// Accepted messages that were given up, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.rejected
            + self.exhausted
            + self.nacked
            + self.unroutable
            + self.expired
            + self.purged
            + self.unreadable
            + self.full
            + self.closed
    }

    /// Accepted messages that have not ended, if these are the counts since the start.
    pub(crate) fn waiting(&self) -> u64 {
        self.accepted.saturating_sub(self.delivered + self.dropped() + self.kept)
    }
}

// === impl Observer ===

impl Observer {
    pub(crate) fn accepted(&self) {
        add(&self.counters.accepted, 1);
    }

    /// So many messages were on disk at the start.
    pub(crate) fn restored(&self, messages: u64) {
        add(&self.counters.restored, messages);
        add(&self.counters.accepted, messages);
    }

    pub(crate) fn unsaved(&self) {
        add(&self.counters.unsaved, 1);
    }

    /// What was found on disk and cannot be delivered: it is too old, or damaged.
    pub(crate) fn read(&self, expired: u64, unreadable: u64) {
        add(&self.counters.expired, expired);
        add(&self.counters.unreadable, unreadable);
        if expired > 0 {
            let cause = "waited on disk longer than spool.max_age_ms";
            self.recent().causes.expired = Some(cause.into());
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        add(
            match refusal {
                Refusal::Full => &self.counters.refused_full,
                Refusal::Closed => &self.counters.refused_closed,
            },
            1,
        );
    }

    pub(crate) fn retrying(&self, messages: usize, detail: Cow<'static, str>) {
        add(&self.counters.retried, messages as u64);
        self.recent().causes.retried = Some(detail);
    }

    pub(crate) fn nack(&self) {
        add(&self.counters.nacks, 1);
    }

    /// The receiver had nobody to give a message of that destination to.
    pub(crate) fn unroutable(&self, destination: &str) {
        let mut recent = self.recent();
        match recent.unroutable.get_mut(destination) {
            Some(messages) => *messages += 1,
            None => _ = recent.unroutable.insert(destination.into(), 1),
        }
    }

    pub(crate) fn panicked(&self) {
        add(&self.counters.panics, 1);
    }

    /// Counts the one fate of a message that was accepted at `accepted` and whose last attempt
    /// took so long.
    pub(crate) fn ended(
        &self,
        accepted: Instant,
        attempt: Duration,
        fate: Fate,
        detail: Cow<'static, str>,
    ) {
        match fate {
            Fate::Delivered => {
                add(&self.counters.delivered, 1);
                self.times.record(accepted.elapsed(), attempt);
            }
            Fate::Dropped(DropReason::Rejected) => {
                add(&self.counters.rejected, 1);
                self.recent().causes.rejected = Some(detail);
            }
            Fate::Dropped(DropReason::Exhausted) => {
                add(&self.counters.exhausted, 1);
                self.recent().causes.exhausted = Some(detail);
            }
            Fate::Dropped(DropReason::Nacked) => {
                add(&self.counters.nacked, 1);
                self.recent().causes.nacked = Some(detail);
            }
            Fate::Dropped(DropReason::Expired) => {
                add(&self.counters.expired, 1);
                self.recent().causes.expired = Some(detail);
            }
            Fate::Dropped(DropReason::Unroutable) => add(&self.counters.unroutable, 1),
            Fate::Dropped(DropReason::Purged) => add(&self.counters.purged, 1),
            Fate::Dropped(DropReason::Full) => add(&self.counters.full, 1),
            Fate::Dropped(DropReason::Closed) => add(&self.counters.closed, 1),
        }
    }

    /// Counts everything whose end is still open: so many messages as closed, the rest as kept. Only
    /// right when nothing runs any more.
    pub(crate) fn close_rest(&self, lost: u64) {
        let rest = self.counts().waiting();
        let lost = lost.min(rest);
        add(&self.counters.closed, lost);
        add(&self.counters.kept, rest - lost);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// What happened since this was asked last.
    pub(crate) fn take_recent(&self) -> Recent {
        let recent = std::mem::take(&mut *self.recent());
        Recent { times: self.times.take(), ..recent }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(counter: &AtomicU64, messages: u64) {
    counter.fetch_add(messages, Ordering::Release);
}
