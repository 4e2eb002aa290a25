//! What an operator does to a running pool: to hold it, to hurry it, to have it forget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Levers {
    wanted: Mutex<Wanted>,
    /// Whoever waits before an attempt shall wait no longer.
    hurry: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// When the pool was paused, if it is.
    paused_at: Option<Instant>,
    /// What was accepted until then is not wanted any more.
    purged_until: Option<Instant>,
}

// === impl Levers ===

impl Levers {
    /// Nothing is attempted until the pool [is resumed](Self::resume). Whoever waits before an attempt
    /// gives back what it has.
    pub(crate) fn pause(&self) {
        self.wanted().paused_at.get_or_insert_with(Instant::now);
        self.hurry();
    }

    pub(crate) fn resume(&self) {
        self.wanted().paused_at = None;
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused_at().is_some()
    }

    pub(crate) fn paused_at(&self) -> Option<Instant> {
        self.wanted().paused_at
    }

    /// What was accepted until then is not wanted any more. Whoever waits before an attempt gives back
    /// what it has.
    pub(crate) fn purge(&self, until: Instant) {
        let mut wanted = self.wanted();
        wanted.purged_until = wanted.purged_until.max(Some(until));
        drop(wanted);
        self.hurry();
    }

    pub(crate) fn purged_until(&self) -> Option<Instant> {
        self.wanted().purged_until
    }

    /// Whether nobody wants what was accepted at that moment.
    pub(crate) fn is_purged(&self, accepted: Instant) -> bool {
        self.purged_until().is_some_and(|until| accepted <= until)
    }

    pub(crate) fn hurry(&self) {
        self.hurry.notify_waiters();
    }

    /// Returns when somebody hurries after this call.
    pub(crate) fn hurried(&self) -> impl Future<Output = ()> {
        self.hurry.notified()
    }

    pub(crate) fn hurrier(&self) -> Arc<Notify> {
        Arc::clone(&self.hurry)
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
