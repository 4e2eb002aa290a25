//! How much of something there is, and may be.

use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

use crate::fate::Refusal;

/// A level with a ceiling.
#[derive(Debug)]
pub(super) struct Gauge {
    level: AtomicUsize,
    pub(super) max: usize,
}

// === impl Gauge ===

impl Gauge {
    pub(super) fn new(max: usize) -> Self {
        Self { level: AtomicUsize::new(0), max }
    }

    pub(super) fn level(&self) -> usize {
        self.level.load(Acquire)
    }

    pub(super) fn has_room(&self, amount: usize) -> bool {
        self.with(self.level(), amount).is_some()
    }

    fn with(&self, level: usize, amount: usize) -> Option<usize> {
        level.checked_add(amount).filter(|sum| *sum <= self.max)
    }

    /// Not added and taken back: somebody else would be refused meanwhile, or drop too much.
    pub(super) fn add(&self, amount: usize) -> Result<(), Refusal> {
        let added = self.level.fetch_update(AcqRel, Acquire, |level| self.with(level, amount));
        added.map(|_before| ()).map_err(|_level| Refusal::Full)
    }

    pub(super) fn room(&self) -> usize {
        self.max.saturating_sub(self.level())
    }

    pub(super) fn put_back(&self, amount: usize) {
        self.level.fetch_add(amount, AcqRel);
    }

    pub(super) fn reset(&self) {
        self.level.store(0, Release);
    }

    pub(super) fn sub(&self, amount: usize) {
        self.level.fetch_sub(amount, AcqRel);
    }
}
