//! The words for what became of a message. The set is closed, and the same word is used in
//! return values, metrics, log lines and documentation.

use std::borrow::Cow;
use std::time::Duration;

pub(crate) use event_pusher_tls::cause;
use thiserror::Error;

/// Why a pool did not accept a message. The caller still owns its fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The queue holds as many messages or bytes as it may.
    #[error("queue is full")]
    Full,
    /// The pool has been stopped.
    #[error("pool is closed")]
    Closed,
}

/// The end of one accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver confirmed it.
    Delivered,
    /// It was given up.
    Dropped(DropReason),
}

/// Why an accepted message was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The receiver refused it, or would refuse it, however often it is sent.
    Rejected,
    /// Every permitted attempt failed.
    Exhausted,
    /// The receiver said each time that it does not take it now.
    Nacked,
    /// The receiver took it and has nobody to give it to.
    Unroutable,
    /// It was older than a message may be.
    Expired,
    /// Somebody had it dropped.
    Purged,
    /// It made room for a newer one.
    Full,
    /// The pool was stopped before the message could be delivered.
    Closed,
}

/// The end of one attempt that did not succeed.
///
/// `detail` names the cause for an operator, as in `403 SignatureDoesNotMatch`. It never holds
/// content or credentials.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// Another attempt may succeed.
    #[error("{detail}")]
    Transient {
        /// The cause.
        detail: Cow<'static, str>,
        /// How long the receiver asked to wait.
        retry_after: Option<Duration>,
        /// Nobody answered, or with a fault of the receiver's own: it may be away.
        away: bool,
    },
    /// The receiver does not take it now. It waits in the queue, as does what follows in its group.
    #[error("{detail}")]
    Nack {
        /// The cause.
        detail: Cow<'static, str>,
        /// How long to wait; `None` if it is given up.
        wait: Option<Duration>,
    },
    /// The receiver took it and has nobody to give it to. It is not sent again.
    #[error("{detail}")]
    Unroutable {
        /// The cause.
        detail: Cow<'static, str>,
    },
    /// Another attempt would end the same way.
    #[error("{detail}")]
    Permanent {
        /// The cause.
        detail: Cow<'static, str>,
    },
}

// === impl Failure ===

impl Failure {
    /// A transient failure of a receiver that may be away.
    pub fn transient(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Transient { detail: detail.into(), retry_after: None, away: true }
    }

    /// A transient failure of a receiver that answers, but not for this message now.
    pub fn busy(detail: impl Into<Cow<'static, str>>, retry_after: Option<Duration>) -> Self {
        Self::Transient { detail: detail.into(), retry_after, away: false }
    }

    /// A failure that another attempt would repeat.
    pub fn permanent(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Permanent { detail: detail.into() }
    }
}
