//! What the pools under test have in common.

use std::num::NonZeroUsize;
use std::time::Duration;

use event_pusher_delivery::{ClientSettings, Pool, PoolSettings, Report, RetrySettings};

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Room for everything that a test pushes, and retries that nobody has to wait for.
pub fn pool_settings(workers: usize, retries: u32) -> PoolSettings {
    PoolSettings {
        workers: NonZeroUsize::new(workers).unwrap(),
        limit: None,
        max_events: NonZeroUsize::new(1000).unwrap(),
        max_bytes: NonZeroUsize::new(64 << 20).unwrap(),
        retry: RetrySettings {
            count: Some(retries),
            base: Duration::from_millis(1),
            max: Duration::from_secs(60),
        },
    }
}

/// A connection for each worker, over plain HTTP/1.1.
pub fn client_settings(workers: usize, request_timeout: Duration) -> ClientSettings {
    ClientSettings {
        connect_timeout: Duration::from_secs(5),
        request_timeout,
        idle_connections: workers,
        tls: None,
        http2: false,
    }
}

/// Waits until everything that was pushed has ended; returns the last report.
pub async fn settled(pool: &Pool) -> Report {
    let report = pool.stop(PATIENCE).await;
    assert_eq!(report.waiting, 0);
    report
}
