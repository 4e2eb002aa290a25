//! Where messages go. A target makes one attempt; it knows neither pool nor retry.

pub mod http;
pub mod rabbit;
pub mod sns;

use std::future::{Future, ready};
use std::num::NonZeroUsize;

use crate::link::Link;
use crate::message::Accepted;
use crate::outcome::Failure;

/// One kind of receiver.
pub trait Target: Send + Sync + 'static {
    /// How much one call of [`deliver`](Self::deliver) may carry. It may change while the pool
    /// runs.
    fn limits(&self) -> BatchLimits {
        BatchLimits::SINGLE
    }

    /// How many seconds the receiver's clock is ahead of ours, where that matters; else zero.
    fn clock_offset(&self) -> i64 {
        0
    }

    /// How many destinations should get by beside each other: none of them occupies more than its
    /// share of the workers, even if attempts at it do not end.
    fn destinations(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    /// Whether an attempt at this destination makes sense now. While it does not, messages to it
    /// stay in the queue.
    fn is_ready(&self, _destination: &str) -> bool {
        true
    }

    /// One attempt to deliver messages of one destination: a result for each, in their order.
    fn deliver(&self, batch: &[Accepted]) -> impl Future<Output = Vec<Result<(), Failure>>> + Send;

    /// Keeps up what attempts need, as a connection, for as long as the pool runs; tells the link
    /// whenever [`is_ready`](Self::is_ready) may answer differently. A target that needs nothing
    /// returns at once.
    fn attend(&self, _link: &Link) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Puts away what [`attend`](Self::attend) kept up; called once, when no attempt is left.
    fn close(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// How much may travel together. A single message is always taken, whatever it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// How many messages.
    pub events: usize,
    /// How much they may weigh together, in bytes.
    pub bytes: usize,
    /// How many messages of one group. With more than one, the target answers for their order.
    pub per_group: usize,
}

impl BatchLimits {
    /// Each message on its own.
    pub const SINGLE: Self = Self { events: 1, bytes: usize::MAX, per_group: 1 };
}
