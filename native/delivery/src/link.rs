//! The connection that a target keeps up in the background, as its pool and an operator see it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Told by a target of every change of its connection; wakes the workers of the pool with it.
#[derive(Debug)]
pub struct Link {
    wake: Arc<Notify>,
    status: Mutex<Option<LinkStatus>>,
}

/// Whether messages can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// There is no connection.
    #[default]
    Down,
    /// There is a connection.
    Up,
    /// There is a connection, and the receiver asks not to send.
    Blocked,
}

/// The state of a connection and what became of it so far. Totals only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStatus {
    /// The state at the moment.
    pub state: LinkState,
    /// Connections made.
    pub opened: u64,
    /// Connections that ended without our doing.
    pub lost: u64,
    /// Attempts to connect that failed.
    pub failed: u64,
    /// The latest cause of a loss, a failure or a block.
    pub cause: Option<Cow<'static, str>>,
    /// What the receiver refuses at the moment, as a declaration or a password. Somebody has to
    /// mend it.
    pub refused: Option<Cow<'static, str>>,
    /// What the receiver allows less of than is wanted, as channels. It does with that.
    pub limited: Option<Cow<'static, str>>,
}

// === impl Link ===

impl Link {
    /// `wake` is what workers wait for.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self { wake, status: Mutex::new(None) }
    }

    /// Changes the status and wakes the workers, who look again what is ready.
    pub fn change(&self, change: impl FnOnce(&mut LinkStatus)) {
        change(self.lock().get_or_insert_default());
        self.wake.notify_waiters();
    }

    pub(crate) fn status(&self) -> Option<LinkStatus> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<LinkStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
