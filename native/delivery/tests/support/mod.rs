//! What the pools under test have in common.

use std::time::Duration;

use event_pusher_delivery::{BackendOptions, OnFull, Pool, PoolOptions, Report};
use tokio::runtime::Handle;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Room for everything that a test pushes, and retries that nobody has to wait for.
pub fn options(workers: usize, retries: u32, backend: BackendOptions) -> PoolOptions {
    PoolOptions {
        pool_size: workers as u64,
        limit: None,
        max_events: 1000,
        max_bytes: 64 << 20,
        on_full: OnFull::DropNew,
        max_age_ms: None,
        retry_max_age_ms: None,
        retry_count: Some(retries.into()),
        retry_time_ms: 1,
        retry_max_ms: 60_000,
        drain_timeout_ms: 0,
        circuit_breaker_failures: 0,
        spool: None,
        backend,
    }
}

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT_MS: u64 = 5000;

/// For an option.
pub fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap()
}

pub fn start(options: PoolOptions) -> Pool {
    options.check().unwrap().start(&Handle::current(), || {}).unwrap()
}

/// Waits until everything that was pushed has ended; returns the last report.
pub async fn settled(pool: &Pool) -> Report {
    let report = pool.stop(PATIENCE).await;
    assert_eq!(report.levels.waiting, 0);
    report
}
