//! The words for what became of a message. The set is closed, and the same word is used in
//! return values, metrics, log lines and documentation.

use std::borrow::Cow;
use std::time::Duration;

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
pub enum Outcome {
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
    },
    /// The receiver does not take it now. It waits in the queue, as does what follows in its group.
    #[error("{detail}")]
    Nack {
        /// The cause.
        detail: Cow<'static, str>,
        /// How long to wait; `None` if it is given up.
        wait: Option<Duration>,
    },
    /// Another attempt would end the same way.
    #[error("{detail}")]
    Permanent {
        /// The cause.
        detail: Cow<'static, str>,
    },
}

/// The longest cause that is shown, in characters.
const CAUSE_LIMIT: usize = 200;

/// A cause in somebody else's words: they may go on for as long as they like.
pub(crate) fn cause(words: &str) -> Cow<'static, str> {
    words.chars().take(CAUSE_LIMIT).collect::<String>().into()
}

// === impl Failure ===

impl Failure {
    /// A transient failure for which the receiver named no waiting time.
    pub fn transient(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Transient { detail: detail.into(), retry_after: None }
    }

    /// A failure that another attempt would repeat.
    pub fn permanent(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Permanent { detail: detail.into() }
    }
}
