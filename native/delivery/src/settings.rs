//! What a pool was started with. It comes from [`PoolOptions::check`](crate::PoolOptions::check).

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

use crate::backoff::RetrySettings;
use crate::limit::Limit;

/// What is dropped when a new message finds no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// The new one.
    #[default]
    DropNew,
    /// As many of those that have waited longest as give it room.
    DropOld,
}

/// How much a pool may hold and how hard it tries.
#[derive(Clone, Debug)]
pub(crate) struct PoolSettings {
    /// How many batches may be under way at once.
    pub(crate) workers: NonZeroUsize,
    /// Bounds the attempts under way together with those of other pools.
    pub(crate) limit: Option<Limit>,
    /// How many messages may wait for a worker.
    pub(crate) max_events: NonZeroUsize,
    /// How many bytes the waiting messages may occupy.
    pub(crate) max_bytes: NonZeroUsize,
    /// What is dropped when there is no room.
    pub(crate) on_full: OnFull,
    /// How old a message may become before it is given up.
    pub(crate) max_age: Option<Duration>,
    /// After so many attempts in a row that found nobody, a destination is only probed.
    pub(crate) circuit_failures: Option<u32>,
    /// How often and when a failed attempt is repeated.
    pub(crate) retry: RetrySettings,
}
