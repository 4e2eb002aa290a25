//! What a pool tells of itself: totals and levels at any time, and in a report what is new.
//!
//! What is new is decided here and not by those who read reports, because they may be killed: only
//! what they confirm counts as told, so the next one hears the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use crate::connection::{ConnectionState, ConnectionStatus};
use crate::health::Status;
use crate::observer::Counts;
use crate::times::Times;

/// How many troubles with the disk one report holds at most.
const TROUBLES: usize = 64;

/// By how many seconds a receiver's clock has to be off to be told.
const CLOCK_TOLERANCE: u64 = 60;

/// A pool at a moment, with totals since its start. Always
/// `accepted = delivered + rejected + exhausted + nacked + unroutable + expired + purged + unreadable + full + closed +
/// kept + waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What became of messages.
    pub counts: Counts,
    /// What the pool holds.
    pub levels: Levels,
    /// How the receiver stands.
    pub status: Status,
    /// The connection that the backend keeps, if it keeps one.
    pub connection: Option<ConnectionStatus>,
    /// The destinations whose circuits are open.
    pub open: Vec<OpenCircuit>,
}

/// A destination at which nothing is attempted but probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCircuit {
    /// Where messages would go.
    pub destination: Box<str>,
    /// Of the latest failure.
    pub cause: Cow<'static, str>,
}

/// What a pool has on disk at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Messages that are there and not in memory.
    pub ahead: u64,
    /// Messages that are there and have not ended; of what was accepted within the sync time, some
    /// are not written yet.
    pub events: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// How much of what the files of all pools may have they have, in percent.
    pub used_percent: u64,
    /// How long ago the oldest of these messages was accepted, at most.
    pub oldest: Option<Duration>,
    /// How long ago the disk last confirmed what was written, to whichever pool's files.
    pub synced: Option<Duration>,
    /// Files with records that cannot be read, which were set aside.
    pub set_aside_files: u64,
    /// Bytes of these files.
    pub set_aside_bytes: u64,
    /// Messages in the same directory that no pool has, when somebody looked last.
    pub orphaned_events: u64,
    /// What their files take.
    pub orphaned_bytes: u64,
    /// Why it takes no more messages, if it does not.
    pub trouble: Option<Cow<'static, str>>,
}

/// What a pool holds at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Accepted messages whose end is still open, in the queue or in flight.
    pub waiting: u64,
    /// Messages in the queue.
    pub queue_events: usize,
    /// Bytes that the messages in the queue occupy.
    pub queue_bytes: usize,
    /// Messages that have left the queue and have not ended.
    pub in_flight: u64,
    /// For how long the oldest message in the queue has waited.
    pub oldest: Option<Duration>,
    /// How many messages the backend takes together at the moment.
    pub batch_limit: usize,
    /// How many seconds the receiver's clock is ahead of ours, where that matters; else zero.
    pub clock_offset: i64,
    /// How many destinations have an open circuit: nothing is attempted there but probes. None of a
    /// pool that takes no more messages.
    pub open_destinations: usize,
    /// How many days the certificate of the receiver is still valid, if one has been seen; negative if
    /// it is not.
    pub certificate_days: Option<i64>,
    /// What it has on disk, if it has a spool.
    pub spool: Option<SpoolStats>,
}

/// What is new since the latest report that [was told](crate::Pool::told): counts, also those of
/// the connection, are of the time between. Levels and states are those at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What became of messages.
    pub counts: Counts,
    /// What the pool holds.
    pub levels: Levels,
    /// How the receiver stands.
    pub status: Status,
    /// The connection that the backend keeps, if it keeps one.
    pub connection: Option<ConnectionStatus>,
    /// Single happenings.
    pub recent: Recent,
    /// What an operator has to hear of.
    pub changes: Vec<Change>,
}

/// Single happenings since the latest report that was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// How long deliveries took.
    pub times: Times,
    /// Why messages did not arrive.
    pub causes: Causes,
    /// How many messages nobody wanted, by destination.
    pub unroutable: BTreeMap<Box<str>, u64>,
    /// What went wrong on disk: up to 64.
    pub troubles: Vec<String>,
}

/// The latest cause of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes {
    /// Of a rejection.
    pub rejected: Option<Cow<'static, str>>,
    /// Of an exhaustion.
    pub exhausted: Option<Cow<'static, str>>,
    /// Of a nack that ended a message.
    pub nacked: Option<Cow<'static, str>>,
    /// Of an end for age: the last failure, where there was one.
    pub expired: Option<Cow<'static, str>>,
    /// Of a retry.
    pub retried: Option<Cow<'static, str>>,
}

/// A change that an operator has to hear of, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The connection was made, lost or blocked, it is blocked no longer, or the very first attempt
    /// at it failed.
    Connection(ConnectionState),
    /// The receiver refuses something else than before; or nothing any more.
    Refused(Option<Cow<'static, str>>),
    /// The receiver allows less than is wanted.
    Limited(Cow<'static, str>),
    /// The receiver does not take several messages together, which it was expected to.
    BatchingOff,
    /// The receiver's clock is that many seconds ahead of ours.
    Clock(i64),
    /// Nothing is attempted at a destination any more but probes, or attempts go again.
    Circuit {
        /// Where messages go.
        destination: Box<str>,
        /// Whether it is open now.
        open: bool,
        /// Of the latest failure.
        cause: Cow<'static, str>,
    },
}

/// What has been told of a pool.
#[derive(Debug)]
pub(crate) struct Told {
    stats: Stats,
    /// The latest report, until it is confirmed.
    latest: Option<(Stats, Recent)>,
}

// === impl Told ===

impl Told {
    /// Nothing but what a pool is from its start on.
    pub(crate) fn new(stats: Stats) -> Self {
        Self { stats, latest: None }
    }

    /// What is new, also what a report told that nobody has confirmed.
    pub(crate) fn report(&mut self, now: Stats, mut recent: Recent) -> Report {
        if let Some((_, earlier)) = self.latest.take() {
            recent = earlier.and(recent);
        }
        let changes = changes(&self.stats, &now);
        self.latest = Some((now.clone(), recent.clone()));
        let connection = now.connection.map(|now| match &self.stats.connection {
            Some(told) => now.since(told),
            None => now,
        });
        let counts = now.counts.since(&self.stats.counts);
        let Stats { levels, status, .. } = now;
        Report { counts, levels, status, connection, recent, changes }
    }

    /// The latest report has been told.
    pub(crate) fn confirm(&mut self) {
        if let Some((stats, _)) = self.latest.take() {
            self.stats = stats;
        }
    }
}

// === impl Recent ===

impl Recent {
    /// This, and what happened later.
    fn and(mut self, later: Self) -> Self {
        self.times = mem::take(&mut self.times).and(later.times);
        for (destination, messages) in later.unroutable {
            *self.unroutable.entry(destination).or_default() += messages;
        }
        self.troubles.extend(later.troubles);
        self.troubles.truncate(TROUBLES);
        let Causes { rejected, exhausted, nacked, expired, retried } = mem::take(&mut self.causes);
        self.causes = Causes {
            rejected: later.causes.rejected.or(rejected),
            exhausted: later.causes.exhausted.or(exhausted),
            nacked: later.causes.nacked.or(nacked),
            expired: later.causes.expired.or(expired),
            retried: later.causes.retried.or(retried),
        };
        self
    }
}

/// What an operator has to hear of who was told that and has this now.
fn changes(told: &Stats, now: &Stats) -> Vec<Change> {
    let before = told.connection.clone().unwrap_or_default();
    let connection = now.connection.iter().flat_map(|status| connection_changes(&before, status));
    let circuits = circuit_changes(&told.open, &now.open);
    let batching = told.levels.batch_limit > 1 && now.levels.batch_limit == 1;
    // Not when the clock has been set right.
    let clock = now.levels.clock_offset;
    let clock_is_new = clock != told.levels.clock_offset && clock.unsigned_abs() >= CLOCK_TOLERANCE;
    connection
        .chain(circuits)
        .chain(batching.then_some(Change::BatchingOff))
        .chain(clock_is_new.then_some(Change::Clock(clock)))
        .collect()
}

/// Those that open and close again between two reports are no news.
fn circuit_changes(told: &[OpenCircuit], now: &[OpenCircuit]) -> impl Iterator<Item = Change> {
    let new_in = |open: &[OpenCircuit], before: &[OpenCircuit]| {
        let known = |circuit: &&OpenCircuit| {
            before.iter().any(|other| other.destination == circuit.destination)
        };
        open.iter().filter(|circuit| !known(circuit)).cloned().collect::<Vec<_>>()
    };
    let (opened, closed) = (new_in(now, told), new_in(told, now));
    let change = |open: bool| {
        move |OpenCircuit { destination, cause }| Change::Circuit { destination, open, cause }
    };
    opened.into_iter().map(change(true)).chain(closed.into_iter().map(change(false)))
}

fn connection_changes(
    told: &ConnectionStatus,
    now: &ConnectionStatus,
) -> impl Iterator<Item = Change> {
    let state = state_change(told, now).map(Change::Connection);
    // Somebody has to mend it, so it is told again when it is another thing.
    let refused = (now.refused != told.refused).then(|| Change::Refused(now.refused.clone()));
    // It works with less, so that it has ended is no news.
    let limited = now.limited.clone().filter(|_| now.limited != told.limited);
    state.into_iter().chain(refused).chain(limited.map(Change::Limited))
}

/// Once per change, and the very first failure.
fn state_change(told: &ConnectionStatus, now: &ConnectionStatus) -> Option<ConnectionState> {
    use ConnectionState::{Blocked, Down, Up};
    let ConnectionStatus { opened, lost, failed, .. } = now.since(told);
    let never_tried = told.opened == 0 && told.failed == 0;
    let is_news = match (told.state, now.state) {
        (before, Up) => opened > 0 || before == Blocked,
        (before, Blocked) => before != Blocked || lost > 0,
        (_, Down) => lost > 0 || (failed > 0 && never_tried),
    };
    is_news.then_some(now.state)
}

#[cfg(test)]
mod tests;
