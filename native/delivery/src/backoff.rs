//! How long to wait between attempts.

use std::time::Duration;

/// The longest wait that a receiver may ask for. A message that would have to wait longer is given
/// up where attempts are counted, because its place in the pool is needed and an earlier one is not
/// welcome. Where they are not, it waits that long.
pub const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(300);

/// How often and when a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// When no attempt follows any more.
    pub end: RetryEnd,
    /// About how long to wait before the second attempt; doubled for each one after it. Zero
    /// repeats at once.
    pub base: Duration,
    /// The longest wait that is computed; what a receiver asks for may be longer.
    pub max: Duration,
}

/// When a message is given up whose attempts fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryEnd {
    /// Never.
    Never,
    /// After so many attempts that followed the first one.
    Count(u32),
    /// Before an attempt at which it would be that old, however many there have been.
    Age(Duration),
}

/// The shortest base where attempts are not counted: what fails at once would be attempted without a
/// pause for all that time.
const SHORTEST_BASE_MS: u64 = 10;

/// The waits between the attempts of one delivery.
#[derive(Debug)]
pub struct Backoff<R> {
    settings: RetrySettings,
    done: u32,
    random: R,
}

// === impl RetrySettings ===

impl RetrySettings {
    /// The settings that options with times in milliseconds stand for. A bound of age is in place of
    /// the count.
    pub(crate) fn new(
        count: Option<u64>,
        max_age: Option<Duration>,
        base_ms: u64,
        max_ms: u64,
    ) -> Self {
        let count = count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let (end, shortest) = match (max_age, count) {
            (Some(max_age), _) => (RetryEnd::Age(max_age), SHORTEST_BASE_MS),
            (None, Some(count)) => (RetryEnd::Count(count), 0),
            (None, None) => (RetryEnd::Never, 0),
        };
        let base_ms = base_ms.max(shortest);
        let max_ms = max_ms.max(shortest);
        Self { end, base: Duration::from_millis(base_ms), max: Duration::from_millis(max_ms) }
    }

    /// Whether another attempt may follow after `done` that were repeated.
    pub fn permits(&self, done: u32) -> bool {
        !matches!(self.end, RetryEnd::Count(count) if done >= count)
    }

    /// Whether there may be another attempt at a message that is that old then.
    pub fn permits_at(&self, age: Duration) -> bool {
        !matches!(self.end, RetryEnd::Age(max_age) if age >= max_age)
    }

    /// How long to wait before another attempt after `done` that were repeated. `random`, from 0 to
    /// 1, is the jitter: where attempts are counted, none is spent on an early one.
    pub fn wait(&self, done: u32, random: f64) -> Duration {
        let whole = self.base.saturating_mul(2_u32.saturating_pow(done)).min(self.max);
        let random = random.clamp(0.0, 1.0);
        match self.end {
            RetryEnd::Age(_) => whole.mul_f64(random),
            RetryEnd::Never | RetryEnd::Count(_) => whole.mul_f64(0.5 + 0.5 * random),
        }
    }

    /// The same for a message that is that old now, or `None` if there must not be another attempt.
    pub fn wait_of(&self, done: u32, age: Duration, random: f64) -> Option<Duration> {
        let wait = self.wait(done, random);
        (self.permits(done) && self.permits_at(age + wait)).then_some(wait)
    }
}

// === impl Backoff ===

impl<R: FnMut() -> f64> Backoff<R> {
    /// `random` gives numbers from 0 to 1: the jitter.
    pub fn new(settings: RetrySettings, random: R) -> Self {
        Self { settings, done: 0, random }
    }

    /// How long a message waits that has had so many attempts that were repeated, of whichever
    /// delivery; at least as long as the receiver asked for, but for [`RETRY_AFTER_LIMIT`].
    pub fn of(&mut self, done: u32, retry_after: Option<Duration>) -> Duration {
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_LIMIT);
        self.settings.wait(done, (self.random)()).max(asked)
    }

    /// How long to wait before the next attempt, or `None` if there must not be one.
    ///
    /// Of the whole of `base * 2^n`, at most `max`, the wait before retry `n` (from 0) is the half at
    /// least where attempts are counted, and any part where they are not. It is never shorter than
    /// what the receiver asked for, but for [`RETRY_AFTER_LIMIT`].
    pub fn next(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        let asked = retry_after.unwrap_or_default();
        let is_counted = !matches!(self.settings.end, RetryEnd::Age(_));
        if (is_counted && asked > RETRY_AFTER_LIMIT) || !self.settings.permits(self.done) {
            return None;
        }
        let wait = self.settings.wait(self.done, (self.random)());
        self.done = self.done.saturating_add(1);
        Some(wait.max(asked.min(RETRY_AFTER_LIMIT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    #[test]
    fn no_wait_exceeds_its_bounds() {
        let base = Duration::from_millis(50);
        let settings = RetrySettings { end: RetryEnd::Count(100), base, max: MAX };
        for random in [0.0, 0.3, 1.0, f64::MAX] {
            let mut backoff = Backoff::new(settings, || random);
            for retry in 0..100_u32 {
                let delay = backoff.next(None).unwrap();
                let whole = base.saturating_mul(2_u32.saturating_pow(retry)).min(MAX);
                assert!(whole / 2 <= delay && delay <= whole, "retry {retry}: {delay:?}");
            }
            assert_eq!(backoff.next(None), None);
        }
    }

    #[test]
    fn waits_that_are_not_counted_are_any_part_of_the_whole() {
        let settings = RetrySettings::new(Some(0), Some(MAX), 50, 60_000);
        for (random, share) in [(-1.0, 0.0), (0.0, 0.0), (0.3, 0.3), (1.0, 1.0), (f64::MAX, 1.0)] {
            let mut backoff = Backoff::new(settings, || random);
            for retry in 0..100_u32 {
                let whole = settings.base.saturating_mul(2_u32.saturating_pow(retry)).min(MAX);
                assert_eq!(backoff.next(None), Some(whole.mul_f64(share)), "retry {retry}");
            }
        }
        let mut backoff = Backoff::new(settings, || 0.0);
        assert_eq!(backoff.next(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(backoff.next(Some(Duration::MAX)), Some(RETRY_AFTER_LIMIT));
    }

    #[test]
    fn what_is_not_counted_is_never_repeated_at_once_for_ever() {
        let settings = RetrySettings::new(Some(2), Some(MAX), 0, 0);
        assert_eq!(settings.wait(0, 1.0), Duration::from_millis(10));
        assert_eq!(RetrySettings::new(Some(2), None, 0, 0).wait(0, 1.0), Duration::ZERO);
    }

    #[test]
    fn a_bound_of_age_is_in_place_of_the_count() {
        let settings = RetrySettings::new(Some(0), Some(MAX), 1000, 60_000);
        let second = Duration::from_secs(1);
        assert!(settings.permits(u32::MAX));
        assert!(settings.permits_at(MAX - second) && !settings.permits_at(MAX));
        assert_eq!(settings.wait_of(0, MAX - second, 1.0), None, "at the next attempt");
        assert_eq!(settings.wait_of(0, MAX - second, 0.5), Some(second / 2));
        let counted = RetrySettings::new(Some(1), None, 1000, 60_000);
        assert_eq!(counted.wait_of(0, Duration::MAX / 2, 1.0), Some(second), "whatever the age");
        assert_eq!(counted.wait_of(1, Duration::ZERO, 1.0), None);
    }
}
