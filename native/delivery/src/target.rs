//! Where messages go. A target makes one attempt; it knows neither pool nor retry.

pub mod sns;

use std::future::Future;

use crate::message::Accepted;
use crate::outcome::Failure;

/// One kind of receiver.
pub trait Target: Send + Sync + 'static {
    /// How much one call of [`deliver`](Self::deliver) may carry. It may change while the pool
    /// runs.
    fn limits(&self) -> BatchLimits {
        BatchLimits::SINGLE
    }

    /// One attempt to deliver messages of one destination: a result for each, in their order.
    fn deliver(&self, batch: &[Accepted]) -> impl Future<Output = Vec<Result<(), Failure>>> + Send;
}

/// How much may travel together. A single message is always taken, whatever it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// How many messages.
    pub events: usize,
    /// How much they may weigh together, in bytes.
    pub bytes: usize,
}

impl BatchLimits {
    /// Each message on its own.
    pub const SINGLE: Self = Self { events: 1, bytes: usize::MAX };
}
