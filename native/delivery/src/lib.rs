//! A message goes into a bounded pool and leaves it with exactly one outcome.
//!
//! [`Pool::push`] takes a [`Message`] without ever waiting: it is accepted, or refused because the
//! pool is full or closed. Workers on a tokio runtime take accepted messages, several of one
//! destination together where the [`Target`] can send them so, and attempt the delivery as often
//! as the [`RetrySettings`] allow. At the end each accepted message is *delivered*, or *dropped*
//! for one [`DropReason`], and an [`Observer`] has counted it.
//!
//! ```text
//! push ── Queue ──> worker ── retry::deliver ──> Target::deliver ──> the receiver
//!  │                              │
//!  └─ Refusal                     └─ Outcome ──> Observer
//! ```
//!
//! A target that needs a connection keeps it up beside the workers and tells a [`Link`] how it
//! stands. What cannot be attempted meanwhile stays in the queue.
//!
//! - [`SnsTarget`]: Amazon SNS
//! - [`HttpTarget`]: any HTTP receiver
//! - [`RabbitTarget`]: exchanges of RabbitMQ
//!
//! Nothing here knows Erlang: the crate could serve another host as well.

#![forbid(unsafe_code)]

mod client;
mod dial;
mod limit;
mod link;
mod message;
mod observer;
mod outcome;
mod pool;
mod queue;
mod resolve;
mod retry;
mod retry_after;
mod settings;
mod sigv4;
mod target;
mod tls;

pub use client::{Answer, ClientSettings, HttpClient};
pub use limit::Limit;
pub use link::{Link, LinkState, LinkStatus};
pub use message::{Accepted, Attribute, AttributeValue, Message};
pub use observer::{Observer, Report, Times};
pub use outcome::{DropReason, Failure, Outcome, Refusal};
pub use pool::Pool;
pub use retry::{Backoff, RETRY_AFTER_LIMIT, RetrySettings};
pub use settings::{InvalidSettings, PoolSettings};
pub use sigv4::Signer;
pub use target::http::{HttpSettings, HttpTarget};
pub use target::rabbit::{
    Declare, Exchange, RabbitLogin, RabbitOptions, RabbitSettings, RabbitTarget,
};
pub use target::sns::{SnsOptions, SnsSettings, SnsTarget};
pub use target::{BatchLimits, Target};
pub use tls::{Sni, TlsOptions, TlsTrialError, VerifyMode, client_config, try_tls};
