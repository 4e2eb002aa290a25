//! A pool that posts to a receiver of webhooks.

use std::time::Duration;

use event_pusher_delivery::{
    Attribute, AttributeValue, BackendOptions, HttpCredentials, HttpOptions, Message, Pool,
    PoolOptions, Stats as PoolStats, TlsOptions,
};
use event_pusher_receiver::{Fault, HttpConfig, HttpServer, Stats};
use tokio::time::timeout;

use crate::support::{CONNECT_TIMEOUT_MS, PATIENCE, millis, options, settled, start};

/// How the pool under test differs from the usual one.
#[derive(Clone)]
pub struct Setup {
    pub path: &'static str,
    pub workers: usize,
    pub retries: u32,
    pub limit: Option<&'static str>,
    pub request_timeout: Duration,
    pub tls: Option<TlsOptions>,
    pub http2: bool,
    pub credentials: HttpCredentials,
}

/// What became of the messages, in counts, and how many requests it took.
#[derive(Debug, PartialEq, Eq)]
pub struct Fates {
    pub delivered: u64,
    pub rejected: u64,
    pub exhausted: u64,
    pub retried: u64,
    pub requests: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            path: "hook",
            workers: 1,
            retries: 2,
            limit: None,
            request_timeout: Duration::from_secs(20),
            tls: None,
            http2: false,
            credentials: HttpCredentials::default(),
        }
    }
}

pub fn server() -> HttpServer {
    HttpServer::start(HttpConfig::default())
}

pub fn server_that(fault: Fault) -> HttpServer {
    let server = server();
    server.always(fault);
    server
}

pub fn pool(server: &HttpServer, setup: Setup) -> Pool {
    pool_to(&server.url(), setup)
}

pub fn pool_to(url: &str, setup: Setup) -> Pool {
    let backend = HttpOptions {
        host: url.into(),
        path_prefix: "/".into(),
        path: setup.path.into(),
        tls: setup.tls,
        http2: setup.http2,
        connect_timeout_ms: CONNECT_TIMEOUT_MS,
        request_timeout_ms: millis(setup.request_timeout),
        credentials: setup.credentials,
    };
    start(PoolOptions {
        limit: setup.limit.map(String::from),
        retry_max_ms: 20,
        ..options(setup.workers, setup.retries, BackendOptions::Http(backend))
    })
}

pub fn message(body: impl Into<bytes::Bytes>) -> Message {
    let (destination, attributes) = ("hook".into(), Box::default());
    Message { destination, body: body.into(), attributes, group: None }
}

pub fn with_headers(headers: &[(&str, &[u8])]) -> Message {
    let header = |&(name, value): &(&str, &[u8])| Attribute {
        name: name.into(),
        value: AttributeValue::Binary(value.into()),
    };
    Message { attributes: headers.iter().map(header).collect(), ..message("body") }
}

/// Pushes so many messages, whose bodies are their numbers.
pub fn push(pool: &Pool, count: usize) {
    for index in 0..count {
        pool.push(message(index.to_string())).unwrap();
    }
}

/// One message to this server; what became of it, and the latest cause of a failure.
pub async fn told(server: &HttpServer, setup: Setup) -> (Fates, String) {
    let pool = pool(server, setup);
    pool.push(message("body")).unwrap();
    let report = settled(&pool).await;
    let fates = Fates {
        delivered: report.counts.delivered,
        rejected: report.counts.rejected,
        exhausted: report.counts.exhausted,
        retried: report.counts.retried,
        requests: server.stats().requests,
    };
    (
        fates,
        report.recent.causes.rejected.or(report.recent.causes.exhausted).unwrap_or_default().into(),
    )
}

pub async fn fates(server: &HttpServer, setup: Setup) -> Fates {
    told(server, setup).await.0
}

/// Waits until the server's counters are as wanted.
pub async fn seen(server: &HttpServer, wanted: impl Fn(&Stats) -> bool) -> Stats {
    timeout(PATIENCE, server.until(wanted)).await.unwrap()
}

/// Waits until the pool's counters are as wanted; they add up at every look.
pub async fn until(pool: &Pool, wanted: impl Fn(&PoolStats) -> bool) -> PoolStats {
    let looking = async {
        loop {
            let report = pool.stats();
            assert_eq!(
                report.counts.accepted,
                report.counts.delivered + report.counts.dropped() + report.levels.waiting
            );
            if wanted(&report) {
                return report;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap()
}

// === impl Fates ===

impl Fates {
    /// At the first attempt.
    pub const DELIVERED: Self =
        Self { delivered: 1, rejected: 0, exhausted: 0, retried: 0, requests: 1 };

    /// At the first attempt.
    pub const REJECTED: Self =
        Self { delivered: 0, rejected: 1, exhausted: 0, retried: 0, requests: 1 };

    /// After all attempts of the usual pool.
    pub const EXHAUSTED: Self =
        Self { delivered: 0, rejected: 0, exhausted: 1, retried: 2, requests: 3 };

    /// As `EXHAUSTED`, but no attempt has become a request.
    pub const UNREACHED: Self = Self { requests: 0, ..Self::EXHAUSTED };
}
