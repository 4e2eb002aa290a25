//! Where messages go. A backend makes one attempt; it knows neither pool nor retry.

use std::future::{Future, ready};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::SystemTime;

use event_pusher_tls::Validity;

use crate::connection::StatusCell;
use crate::fate::Failure;
use crate::message::Accepted;
use crate::report::Levels;

const SECONDS_PER_DAY: i64 = 86_400;

/// One kind of receiver.
pub trait Backend: Send + Sync + 'static {
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

    /// Until when the certificate of the receiver is valid, if it has one. Asked once.
    fn validity(&self) -> Option<Validity> {
        None
    }

    /// Whether an attempt at this destination makes sense now. While it does not, messages to it
    /// stay in the queue.
    fn is_ready(&self, _destination: &str) -> bool {
        true
    }

    /// One attempt to deliver messages of one destination: a result for each, in their order.
    fn deliver(&self, batch: &[Accepted]) -> impl Future<Output = Vec<Result<(), Failure>>> + Send;

    /// Keeps up what attempts need, as a connection, for as long as the pool runs; tells the cell
    /// whenever [`is_ready`](Self::is_ready) may answer differently. A backend that needs nothing
    /// returns at once.
    fn attend(&self, _connection: &StatusCell) -> impl Future<Output = ()> + Send {
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
    /// How many messages of one group. With more than one, the backend answers for their order.
    pub per_group: usize,
}

impl BatchLimits {
    /// Each message on its own.
    pub const SINGLE: Self = Self { events: 1, bytes: usize::MAX, per_group: 1 };
}

/// What a backend answered last of what may change: a report asks no backend.
#[derive(Debug)]
pub(crate) struct BackendState {
    batch_limit: AtomicUsize,
    clock_offset: AtomicI64,
    validity: Option<Validity>,
}

impl BackendState {
    pub(crate) fn of(backend: &impl Backend) -> Self {
        Self {
            batch_limit: backend.limits().events.into(),
            clock_offset: backend.clock_offset().into(),
            validity: backend.validity(),
        }
    }

    pub(crate) fn update(&self, backend: &impl Backend) {
        self.batch_limit.store(backend.limits().events, Ordering::Release);
        self.clock_offset.store(backend.clock_offset(), Ordering::Release);
    }

    pub(crate) fn describe(&self, levels: &mut Levels) {
        levels.batch_limit = self.batch_limit.load(Ordering::Acquire);
        levels.clock_offset = self.clock_offset.load(Ordering::Acquire);
        let left = self.validity.as_ref().and_then(|it| it.seconds_left(SystemTime::now()));
        levels.certificate_days = left.map(|seconds| seconds.div_euclid(SECONDS_PER_DAY));
    }
}
