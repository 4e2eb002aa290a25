//! The connection that a backend keeps up in the background, as its pool and an operator see it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

/// Told by a backend of every change of its connection; wakes the workers of the pool with it.
#[derive(Debug)]
pub struct StatusCell {
    wake: Arc<Notify>,
    hurry: Arc<Notify>,
    kept: Mutex<Option<Kept>>,
}

/// A connection that a backend keeps up.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) status: ConnectionStatus,
    /// When its state, or what is refused, changed last.
    pub(crate) since: Instant,
    /// When something went wrong last.
    failed_at: Option<Instant>,
}

/// Whether messages can be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionState {
    /// There is no connection.
    #[default]
    Down,
    /// There is a connection.
    Up,
    /// There is a connection, and the receiver asks not to send.
    Blocked,
}

/// The state of a connection, and what became of it since the pool started or, in a report, since
/// the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// The state at the moment.
    pub state: ConnectionState,
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

// === impl ConnectionStatus ===

impl ConnectionStatus {
    /// The same with what was counted after this earlier status.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            opened: self.opened.saturating_sub(earlier.opened),
            lost: self.lost.saturating_sub(earlier.lost),
            failed: self.failed.saturating_sub(earlier.failed),
            ..self.clone()
        }
    }
}

// === impl Kept ===

impl Kept {
    pub(crate) fn new(status: ConnectionStatus) -> Self {
        Self { status, since: Instant::now(), failed_at: None }
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut ConnectionStatus)) {
        let before = self.status.clone();
        change(&mut self.status);
        let now = &self.status;
        if (now.state, &now.refused) != (before.state, &before.refused) {
            self.since = Instant::now();
        }
        let trouble =
            |status: &ConnectionStatus| (status.lost, status.failed, status.cause.clone());
        if now.cause.is_some() && trouble(now) != trouble(&before) {
            self.failed_at = Some(Instant::now());
        }
    }

    /// What went wrong last, and when.
    pub(crate) fn last_error(&self) -> Option<(Instant, Cow<'static, str>)> {
        Some((self.failed_at?, self.status.cause.clone()?))
    }
}

// === impl StatusCell ===

impl StatusCell {
    /// `wake` is what workers wait for, `hurry` what tells whoever waits before an attempt to wait no
    /// longer.
    pub(crate) fn new(wake: Arc<Notify>, hurry: Arc<Notify>) -> Self {
        Self { wake, hurry, kept: Mutex::new(None) }
    }

    /// Returns when, after this call, somebody wants attempts to be made now, also those to connect.
    pub fn hurried(&self) -> impl Future<Output = ()> {
        self.hurry.notified()
    }

    /// Changes the status and wakes the workers, who look again what is ready.
    pub fn change(&self, change: impl FnOnce(&mut ConnectionStatus)) {
        let mut kept = self.lock();
        kept.get_or_insert_with(|| Kept::new(ConnectionStatus::default())).change(change);
        drop(kept);
        self.wake.notify_waiters();
    }

    pub(crate) fn kept(&self) -> Option<Kept> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
