//! The time that signatures are made at: the service refuses one that is minutes off its own clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// A signature that was made at least this far off the service's time may be refused for it. The
/// services allow 5 to 15 minutes; clients of AWS correct what is more than 4.
const TOLERANCE: Duration = Duration::from_secs(240);

/// Corrections that are closer to each other are the same.
const SAME: Duration = Duration::from_secs(60);

/// Our clock, corrected by what answers say of the service's.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// How many seconds the service's clock is ahead of ours.
    ahead: AtomicI64,
}

// === impl Clock ===

impl Clock {
    pub(super) fn now(&self) -> SystemTime {
        let now = SystemTime::now();
        let ahead = self.ahead();
        let distance = Duration::from_secs(ahead.unsigned_abs());
        let corrected =
            if ahead < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        corrected.unwrap_or(now)
    }

    /// How many seconds the service is ahead; zero as long as it has not mattered.
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Takes over the date of an answer that refuses a signature, if the signature was made too far
    /// off it. Tells whether another signature makes sense.
    pub(super) fn correct(&self, signed: SystemTime, date: SystemTime) -> bool {
        let off = seconds_ahead(date, signed);
        if off.unsigned_abs() < TOLERANCE.as_secs() {
            return false;
        }
        // Others may have corrected it meanwhile; dates have whole seconds only.
        let ahead = seconds_ahead(date, SystemTime::now());
        if ahead.abs_diff(self.ahead()) >= SAME.as_secs() {
            self.ahead.store(ahead, Ordering::Relaxed);
        }
        true
    }
}

fn seconds_ahead(time: SystemTime, of: SystemTime) -> i64 {
    let seconds = |distance: Duration| i64::try_from(distance.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(of) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(seconds: i64) -> SystemTime {
        let clock = Clock { ahead: AtomicI64::new(seconds) };
        clock.now()
    }

    #[test]
    fn only_a_signature_that_is_minutes_off_is_made_again() {
        let clock = Clock::default();
        for seconds in [0, 200, -200] {
            assert!(!clock.correct(SystemTime::now(), away(seconds)), "{seconds}");
            assert_eq!(clock.ahead(), 0);
        }
        for seconds in [1200, -1200, 400_000_000] {
            assert!(clock.correct(clock.now(), away(seconds)), "{seconds}");
            assert!((clock.ahead() - seconds).abs() <= 1, "{} {seconds}", clock.ahead());
            assert!(!clock.correct(clock.now(), away(seconds)), "now it fits");
        }
    }

    #[test]
    fn a_clock_that_is_set_right_later_is_followed() {
        let clock = Clock { ahead: AtomicI64::new(1200) };
        assert!(clock.correct(clock.now(), SystemTime::now()));
        assert!(clock.ahead().abs() <= 1, "{}", clock.ahead());
    }

    #[test]
    fn one_correction_serves_all_that_were_refused_with_it() {
        let clock = Clock::default();
        let signed = clock.now();
        assert!(clock.correct(signed, away(1200)));
        let ahead = clock.ahead();
        assert!(clock.correct(signed, away(1203)), "signed before the correction");
        assert_eq!(clock.ahead(), ahead);
    }
}
