//! How long deliveries took: all of them, each to within 1.6 percent of its time.
//!
//! Counters by time take the memory of a thousand numbers, however many deliveries there are. A sample of
//! them was turned down: what is rare, as the slowest one in a thousand, is rarely in it.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use histogram::AtomicHistogram;

/// Times of up to 64 microseconds are exact; beyond, 32 buckets for each doubling.
const GROUPING_POWER: u8 = 5;

/// The longest time that is told apart from longer ones is 2^36 microseconds, 19 hours.
const LONGEST_POWER: u8 = 36;

/// Microseconds, in rising order, and how many deliveries took about so long.
pub type Spread = Vec<(u64, u64)>;

/// How long deliveries took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From acceptance to confirmation.
    pub total: Spread,
    /// The attempts that succeeded.
    pub attempt: Spread,
}

/// What many threads add to.
pub(crate) struct Recorder {
    total: AtomicHistogram,
    attempt: AtomicHistogram,
}

// === impl Times ===

impl Times {
    pub(crate) fn and(self, later: Self) -> Self {
        Self { total: sum(self.total, later.total), attempt: sum(self.attempt, later.attempt) }
    }
}

fn sum(one: Spread, other: Spread) -> Spread {
    let mut counts = BTreeMap::new();
    one.into_iter()
        .chain(other)
        .for_each(|(time, count)| *counts.entry(time).or_default() += count);
    counts.into_iter().collect()
}

// === impl Recorder ===

impl Recorder {
    pub(crate) fn record(&self, total: Duration, attempt: Duration) {
        add(&self.total, total);
        add(&self.attempt, attempt);
    }

    /// What was recorded since this was asked last.
    pub(crate) fn take(&self) -> Times {
        Times { total: taken(&self.total), attempt: taken(&self.attempt) }
    }
}

fn add(histogram: &AtomicHistogram, time: Duration) {
    let longest = (1 << LONGEST_POWER) - 1;
    let time = u64::try_from(time.as_micros()).unwrap_or(longest).min(longest);
    histogram.increment(time).expect("it is not longer than the longest");
}

/// The middle of each bucket in which there is anything.
fn taken(histogram: &AtomicHistogram) -> Spread {
    let drained = histogram.drain();
    let some = drained.iter().filter(|bucket| bucket.count() > 0);
    some.map(|bucket| (bucket.start().midpoint(bucket.end()), bucket.count())).collect()
}

fn new() -> AtomicHistogram {
    AtomicHistogram::new(GROUPING_POWER, LONGEST_POWER).expect("the powers are in their ranges")
}

impl Default for Recorder {
    fn default() -> Self {
        Self { total: new(), attempt: new() }
    }
}

impl Debug for Recorder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(time: u64) -> Duration {
        Duration::from_micros(time)
    }

    #[test]
    fn every_time_is_there_as_exactly_as_said() {
        let recorder = Recorder::default();
        let times = [0, 1, 63, 64, 1000, 12_345, 1_000_000, 60_000_000, 3_600_000_000];
        times.iter().for_each(|time| recorder.record(micros(*time), Duration::ZERO));
        let Times { total, attempt } = recorder.take();
        assert_eq!(attempt, [(0, 9)]);
        assert_eq!(total.len(), times.len());
        for (time, (told, count)) in times.into_iter().zip(total) {
            assert_eq!(count, 1);
            assert!(told.abs_diff(time) * 1000 <= time * 16, "{time} is told as {told}");
        }
        assert_eq!(recorder.take(), Times::default(), "each is told once");
    }

    #[test]
    fn what_takes_longer_than_anything_is_there() {
        let recorder = Recorder::default();
        recorder.record(Duration::MAX, micros(7));
        let Times { total, attempt } = recorder.take();
        assert_eq!((total.len(), total[0].1, attempt), (1, 1, vec![(7, 1)]));
    }

    #[test]
    fn counts_add_up() {
        let times = |total: &[(u64, u64)]| Times { total: total.to_vec(), attempt: Spread::new() };
        let sum = times(&[(1, 1), (5, 2)]).and(times(&[(3, 1), (5, 1)]));
        assert_eq!(sum, times(&[(1, 1), (3, 1), (5, 3)]));
    }
}
