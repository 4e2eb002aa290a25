//! A message goes into a bounded pool and leaves it with exactly one fate.
//!
//! [`Pool::push`] takes a [`Message`] without ever waiting: it is accepted, or refused because the
//! pool is full or closed. Workers on a tokio runtime take accepted messages, several of one
//! destination together where the [`Backend`] can send them so, and attempt the delivery as often
//! as the [`RetrySettings`] allow. At the end each accepted message is *delivered*, or *dropped*
//! for one [`DropReason`], and an [`Observer`] has counted it.
//!
//! ```text
//! push ── Queue ──> worker ── retry::deliver ──> Backend::deliver ──> the receiver
//!  │                              │
//!  └─ Refusal                     └─ Fate ──> Observer
//! ```
//!
//! A backend that needs a connection keeps it up beside the workers and tells a [`StatusCell`] how it
//! stands. What cannot be attempted meanwhile stays in the queue.
//!
//! - [`SnsOptions`]: Amazon SNS
//! - [`HttpOptions`]: any HTTP receiver
//! - [`RabbitOptions`]: exchanges of RabbitMQ
//!
//! What a pool does is options, which are checked as a whole:
//!
//! ```
//! use std::io::{Read, Write, copy, sink};
//! use std::net::TcpListener;
//! use std::thread;
//! use std::time::Duration;
//!
//! use event_pusher_delivery::{
//!     BackendOptions, HttpCredentials, HttpOptions, Message, OnFull, PoolOptions,
//! };
//! use tokio::runtime::Runtime;
//!
//! // A receiver that takes what comes first.
//! let receiver = TcpListener::bind("127.0.0.1:0")?;
//! let host = format!("http://{}", receiver.local_addr()?);
//! thread::spawn(move || -> std::io::Result<()> {
//!     let (mut connection, _) = receiver.accept()?;
//!     connection.read(&mut [0; 1024])?;
//!     connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
//!     // Whatever else comes, until the pool ends the connection.
//!     copy(&mut connection, &mut sink()).map(|_bytes| ())
//! });
//!
//! let backend = BackendOptions::Http(HttpOptions {
//!     host,
//!     path_prefix: "/".into(),
//!     path: "events".into(),
//!     tls: None,
//!     http2: false,
//!     connect_timeout_ms: 5000,
//!     request_timeout_ms: 5000,
//!     credentials: HttpCredentials::default(),
//! });
//! let options = PoolOptions {
//!     pool_size: 2,
//!     limit: None,
//!     max_events: 1000,
//!     max_bytes: 1 << 20,
//!     on_full: OnFull::DropNew,
//!     max_age_ms: None,
//!     retry_max_age_ms: None,
//!     retry_count: Some(3),
//!     retry_time_ms: 500,
//!     retry_max_ms: 5000,
//!     drain_timeout_ms: 10_000,
//!     circuit_breaker_failures: 5,
//!     spool: None,
//!     backend,
//! };
//! let runtime = Runtime::new()?;
//! let pool = options.check()?.start(runtime.handle(), || {})?;
//! pool.push(Message {
//!     destination: "events".into(),
//!     body: "hello".into(),
//!     attributes: Box::default(),
//!     group: None,
//! })?;
//! let report = runtime.block_on(pool.stop(Duration::from_secs(10)));
//! assert_eq!(report.counts.delivered, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here knows Erlang: the crate could serve another host as well.

#![forbid(unsafe_code)]

mod backend;
mod backoff;
mod breaker;
mod circuits;
mod client;
mod connection;
mod dial;
mod disk;
mod fate;
#[cfg(fuzzing)]
pub mod fuzzing;
mod health;
mod http;
mod levers;
mod limit;
mod message;
mod observer;
mod options;
mod origin;
mod pool;
mod probe;
mod queue;
mod rabbit;
mod report;
mod resolve;
mod retry;
mod settings;
mod sigv4;
mod sns;
mod times;

pub use crate::connection::{ConnectionState, ConnectionStatus, StatusCell};
pub use crate::disk::{Orphan, Room, SpoolOptions, orphans, room};
pub use crate::http::{BasicAuth, HttpCredentials, HttpOptions};
pub use crate::rabbit::{Declare, Exchange, RabbitOptions};
pub use crate::sns::SnsOptions;
pub use backend::{Backend, BatchLimits};
pub use backoff::{Backoff, RETRY_AFTER_LIMIT, RetryEnd, RetrySettings};
pub use client::{Answer, ClientOptions, ClientSettings, HttpClient};
pub use event_pusher_settings::{InvalidSettings, Secret};
pub use event_pusher_tls::{Settable, Sni, TlsOptions, VerifyMode};
pub use fate::{DropReason, Failure, Fate, Refusal};
pub use health::{LastError, State, Status};
pub use message::{Accepted, Attribute, AttributeValue, Message};
pub use observer::{Counts, Observer};
pub use options::{BackendOptions, CheckedPool, PoolOptions, PoolSpool};
pub use pool::Pool;
pub use probe::Finding;
pub use report::{Causes, Change, Levels, OpenCircuit, Recent, Report, SpoolStats, Stats};
pub use settings::OnFull;
pub use sigv4::Signer;
pub use times::{Spread, Times};
