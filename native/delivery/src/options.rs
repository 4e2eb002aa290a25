//! The options of a pool with its backend: plain data, checked once. After that nobody checks again.

use std::time::Duration;

use event_pusher_settings::InvalidSettings;
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::backoff::RetrySettings;
use crate::disk::{Disk, DiskSettings, SpoolOptions};
use crate::http::{HttpBackend, HttpOptions, HttpSettings};
use crate::limit::Limit;
use crate::pool::Pool;
use crate::probe::Finding;
use crate::rabbit::{RabbitBackend, RabbitOptions, RabbitSettings};
use crate::settings::{OnFull, PoolSettings};
use crate::sns::{SnsBackend, SnsOptions, SnsSettings};
use crate::{rabbit, sns};

/// What a pool may hold, how hard it tries, and where it delivers.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolOptions {
    /// How many batches may be under way at once.
    pub pool_size: u64,
    /// Pools that name one limit, and are of one size, have no more than `pool_size` attempts under
    /// way together.
    pub limit: Option<String>,
    /// How many messages may wait for a worker.
    pub max_events: u64,
    /// How many bytes the waiting messages may occupy.
    pub max_bytes: u64,
    /// What is dropped when a new message finds no room.
    pub on_full: OnFull,
    /// How old a message may become before it is given up; `None` sets no bound.
    pub max_age_ms: Option<u64>,
    /// How old a message may become at an attempt that follows another one. This is in place of
    /// `retry_count`, if it is given, and of that for nacks.
    pub retry_max_age_ms: Option<u64>,
    /// How many attempts may follow the first one; `None` sets no end. Not to be left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub retry_count: Option<u64>,
    /// About how long to wait before the second attempt.
    pub retry_time_ms: u64,
    /// The longest wait that is computed.
    pub retry_max_ms: u64,
    /// How long a stop may go on delivering. Whoever stops the pool keeps it; it is here to be
    /// checked with the others.
    pub drain_timeout_ms: u64,
    /// After so many attempts in a row that found nobody, a destination is only probed; with zero,
    /// never.
    #[serde(default)]
    pub circuit_breaker_failures: u64,
    /// What keeps messages on disk.
    pub spool: Option<PoolSpool>,
    /// Where it delivers.
    pub backend: BackendOptions,
}

/// What keeps the messages of a pool on disk.
#[derive(Clone, Deserialize)]
pub struct PoolSpool {
    /// The name of the pool's log; no other pool may have it.
    pub log: String,
    /// The same for all pools with one directory.
    pub options: SpoolOptions,
}

/// The options of one of the backends.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendOptions {
    /// Amazon SNS.
    Sns(SnsOptions),
    /// A receiver of HTTP requests.
    Http(HttpOptions),
    /// A broker.
    Rabbit(RabbitOptions),
}

/// A pool that can be started.
#[derive(Debug)]
pub struct CheckedPool {
    pool: PoolSettings,
    disk: Option<DiskSettings>,
    backend: BackendSettings,
}

#[derive(Debug)]
enum BackendSettings {
    Sns(SnsSettings),
    Http(HttpSettings),
    Rabbit(RabbitSettings),
}

/// More workers than this are surely a mistake: each is a connection to the receiver.
const MAX_WORKERS: u64 = 10_000;

/// The queue takes 16 bytes for each place when it is made.
const MAX_EVENTS: u64 = 10_000_000;

/// A stop that takes more than a day is surely a mistake.
const MAX_DRAIN_MS: u64 = 24 * 60 * 60 * 1000;

// === impl PoolOptions ===

impl PoolOptions {
    /// Checks everything, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Everything that cannot be used is named; no secret is shown.
    pub fn check(self) -> Result<CheckedPool, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        let workers_key = self.backend.workers_key();
        let workers = complaints.number(workers_key, self.pool_size, MAX_WORKERS);
        let max_events = complaints.number("queue.max_events", self.max_events, MAX_EVENTS);
        let max_bytes = complaints.number("queue.max_bytes", self.max_bytes, i64::MAX as u64);
        let mut age = |key: &str, age: Option<u64>| {
            let age = complaints.number(key, age?, i64::MAX as u64);
            Some(Duration::from_millis(age.get() as u64))
        };
        let max_age = age("queue.max_age_ms", self.max_age_ms);
        let retry_max_age = age("retry.max_age_ms", self.retry_max_age_ms);
        if self.drain_timeout_ms > MAX_DRAIN_MS {
            let (allowed, got) = (format!("from 0 to {MAX_DRAIN_MS}"), self.drain_timeout_ms);
            complaints.complain("queue.drain_timeout_ms", allowed, got);
        }
        let limit = self.limit.map(|name| Limit::shared(&name, workers.get()));
        let failures = u32::try_from(self.circuit_breaker_failures).unwrap_or(u32::MAX);
        let circuit_failures = (failures > 0).then_some(failures);
        let retry = RetrySettings::new(
            self.retry_count,
            retry_max_age,
            self.retry_time_ms,
            self.retry_max_ms,
        );
        let pool = PoolSettings {
            workers,
            limit,
            max_events,
            max_bytes,
            on_full: self.on_full,
            max_age,
            circuit_failures,
            retry,
        };
        let disk = self.spool.and_then(|spool| complaints.keep(spool.check()));
        match complaints.keep(self.backend.check(workers.get(), retry_max_age)) {
            Some(backend) => complaints.into_result(CheckedPool { pool, disk, backend }),
            None => Err(complaints),
        }
    }
}

// === impl PoolSpool ===

impl PoolSpool {
    fn check(self) -> Result<DiskSettings, InvalidSettings> {
        Ok(DiskSettings { spool: self.options.check()?, log: self.log })
    }
}

// === impl BackendOptions ===

impl BackendOptions {
    /// What the configuration calls the number of workers: outgoing pools have another word for it.
    fn workers_key(&self) -> &'static str {
        match self {
            Self::Sns(_) => "pool_size",
            Self::Http(_) | Self::Rabbit(_) => "workers",
        }
    }

    fn check(
        self,
        workers: usize,
        retry_max_age: Option<Duration>,
    ) -> Result<BackendSettings, InvalidSettings> {
        match self {
            Self::Sns(options) => options.check(workers).map(BackendSettings::Sns),
            Self::Http(options) => options.check(workers).map(BackendSettings::Http),
            Self::Rabbit(options) => {
                options.check(workers, retry_max_age).map(BackendSettings::Rabbit)
            }
        }
    }
}

// === impl CheckedPool ===

impl CheckedPool {
    /// Starts the workers of the pool on the given runtime. A thread that writes to the disk runs
    /// `thread` first. Waits for the disk, if the pool has one.
    ///
    /// # Errors
    ///
    /// The directory of the spool cannot be used.
    pub fn start(self, runtime: &Handle, thread: fn()) -> Result<Pool, InvalidSettings> {
        let disk = self.disk.map(|settings| Disk::open(&settings, thread)).transpose()?;
        let pool = &self.pool;
        Ok(match self.backend {
            BackendSettings::Sns(settings) => {
                Pool::start(SnsBackend::new(settings), pool, disk, runtime)
            }
            BackendSettings::Http(settings) => {
                Pool::start(HttpBackend::new(settings), pool, disk, runtime)
            }
            BackendSettings::Rabbit(settings) => {
                Pool::start(RabbitBackend::new(settings), pool, disk, runtime)
            }
        })
    }

    /// Tries the receiver without delivering anything, and without the spool. It takes as long as
    /// the time limits of the backend allow, for each thing that it asks for.
    pub async fn probe(self) -> Vec<Finding> {
        match self.backend {
            BackendSettings::Sns(settings) => sns::probe(settings).await,
            BackendSettings::Http(settings) => vec![HttpBackend::new(settings).probe().await],
            BackendSettings::Rabbit(settings) => rabbit::probe(settings).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpCredentials;

    fn complaints(backend: BackendOptions) -> Vec<String> {
        let options = PoolOptions {
            pool_size: 0,
            limit: None,
            max_events: 0,
            max_bytes: 1,
            on_full: OnFull::DropNew,
            max_age_ms: Some(0),
            retry_max_age_ms: Some(0),
            retry_count: Some(0),
            retry_time_ms: 0,
            retry_max_ms: 0,
            drain_timeout_ms: MAX_DRAIN_MS + 1,
            circuit_breaker_failures: 0,
            spool: None,
            backend,
        };
        options.check().unwrap_err().0
    }

    #[test]
    fn all_complaints_come_at_once_and_name_the_field() {
        let http = HttpOptions {
            host: "http://h".into(),
            path_prefix: "/".into(),
            path: String::new(),
            tls: None,
            http2: false,
            connect_timeout_ms: 1,
            request_timeout_ms: 0,
            credentials: HttpCredentials::default(),
        };
        assert_eq!(
            complaints(BackendOptions::Http(http)),
            [
                "workers: must be from 1 to 10000, got 0",
                "queue.max_events: must be from 1 to 10000000, got 0",
                "queue.max_age_ms: must be from 1 to 9223372036854775807, got 0",
                "retry.max_age_ms: must be from 1 to 9223372036854775807, got 0",
                "queue.drain_timeout_ms: must be from 0 to 86400000, got 86400001",
                "request_timeout: must be at least 1 ms, got 0",
            ]
        );
    }
}
