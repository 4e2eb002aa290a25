//! The lanes, which one thread has at a time, and what is known of them without.
//!
//! A worker may lose its processor while it has them, on a busy machine for long. So a scheduler never
//! waits for them: it takes them if nobody has them, and leaves a word otherwise.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release,
};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tokio::time::Instant;

use super::lanes::Lanes;

#[derive(Debug)]
pub(super) struct SharedLanes {
    lanes: Mutex<Lanes>,
    /// For whoever has them next: all that rests has rested, for the last time.
    closing: AtomicBool,
    /// The same, this time.
    hurrying: AtomicBool,
    began: Instant,
    /// When the message was accepted that had waited longest when somebody had them last, in nanoseconds
    /// after the beginning, and one; 0 if none waited.
    oldest: AtomicU64,
}

/// The lanes, for as long as somebody has them.
pub(super) struct Held<'a> {
    lanes: MutexGuard<'a, Lanes>,
    shared: &'a SharedLanes,
}

// === impl SharedLanes ===

impl SharedLanes {
    pub(super) fn new(lanes: Lanes) -> Self {
        Self {
            lanes: Mutex::new(lanes),
            closing: AtomicBool::new(false),
            hurrying: AtomicBool::new(false),
            began: Instant::now(),
            oldest: AtomicU64::new(0),
        }
    }

    pub(super) fn hold(&self) -> Held<'_> {
        self.held(self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None` if somebody has them.
    pub(super) fn try_hold(&self) -> Option<Held<'_>> {
        match self.lanes.try_lock() {
            Ok(lanes) => Some(self.held(lanes)),
            Err(TryLockError::Poisoned(poisoned)) => Some(self.held(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn held<'a>(&'a self, mut lanes: MutexGuard<'a, Lanes>) -> Held<'a> {
        if self.closing.load(Acquire) {
            lanes.rest_no_longer();
        }
        if self.hurrying.load(Acquire) && self.hurrying.swap(false, AcqRel) {
            lanes.hurry();
        }
        Held { lanes, shared: self }
    }

    /// All that rests has rested, for the last time.
    pub(super) fn rest_no_longer(&self) {
        self.closing.store(true, Release);
    }

    /// All that rests has rested, this time.
    pub(super) fn hurry(&self) {
        self.hurrying.store(true, Release);
    }

    /// When the message was accepted that has waited longest, as far as that was known when somebody had
    /// the lanes last.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let after = self.oldest.load(Acquire).checked_sub(1)?;
        Some(self.began + Duration::from_nanos(after))
    }
}

// === impl Held ===

impl Deref for Held<'_> {
    type Target = Lanes;

    fn deref(&self) -> &Lanes {
        &self.lanes
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Lanes {
        &mut self.lanes
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let after = self.lanes.oldest().map(|at| {
            // What was read back from disk may be older than the pool.
            let after = at.saturating_duration_since(self.shared.began).as_nanos();
            u64::try_from(after).map_or(u64::MAX, |after| after.saturating_add(1))
        });
        self.shared.oldest.store(after.unwrap_or(0), Release);
    }
}
