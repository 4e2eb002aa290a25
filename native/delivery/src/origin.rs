//! What receivers know a message by.

use crate::message::Accepted;

/// Tells the messages of one pool from those of any other one, of this node or another, now or
/// after a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(u64);

// === impl Origin ===

impl Origin {
    pub(crate) fn random() -> Self {
        Self(fastrand::u64(..))
    }

    #[cfg(test)]
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The id of a message, the same in each attempt.
    pub(crate) fn id(self, accepted: &Accepted) -> String {
        format!("{:016x}-{}", self.0, accepted.id)
    }
}
