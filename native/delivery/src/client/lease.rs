//! How long a connection is used.

use std::time::Duration;

use tokio::time::Instant;

/// How long a connection is used at least, if nothing happens to it, and how much longer at most:
/// traffic follows a name that moves, and spreads over receivers that are added, but not all
/// connections are made anew at once.
const LIFE: Duration = Duration::from_secs(120);
const MORE_LIFE: Duration = Duration::from_secs(60);

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(90);

/// How long a connection may still be used.
#[derive(Clone, Copy)]
pub(super) struct Lease(Instant);

// === impl Lease ===

impl Lease {
    pub(super) fn begin() -> Self {
        Self(Instant::now() + LIFE + MORE_LIFE.mul_f64(fastrand::f64()))
    }

    #[cfg(test)]
    pub(super) fn until(end: Instant) -> Self {
        Self(end)
    }

    /// Whether it is over for a connection that was used last at this time, or is used now.
    pub(super) fn is_over(self, used_at: Instant) -> bool {
        let now = Instant::now();
        now >= self.0 || now >= used_at + IDLE
    }
}
