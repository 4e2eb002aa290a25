//! Whether messages may travel together at the moment.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long, a service that does not know `PublishBatch` is not asked again.
const PAUSE: Duration = Duration::from_secs(3600);

/// Batches, if they are wanted, and paused while the service does not know them.
#[derive(Debug)]
pub(super) struct Batching {
    wanted: bool,
    resumes: Mutex<Option<Instant>>,
}

// === impl Batching ===

impl Batching {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, resumes: Mutex::default() }
    }

    pub(super) fn is_on(&self, now: Instant) -> bool {
        let resumes = *self.resumes.lock().unwrap_or_else(PoisonError::into_inner);
        self.wanted && resumes.is_none_or(|resumes| resumes <= now)
    }

    pub(super) fn pause(&self, now: Instant) {
        *self.resumes.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_tried_again_after_an_hour() {
        let now = Instant::now();
        let batching = Batching::new(true);
        assert!(batching.is_on(now));
        batching.pause(now);
        assert!(!batching.is_on(now + PAUSE - Duration::from_secs(1)));
        assert!(batching.is_on(now + PAUSE));
        assert!(!Batching::new(false).is_on(now), "not wanted");
    }
}
