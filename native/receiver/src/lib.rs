//! Servers on loopback that receive what we deliver, as strictly as the real service does.
//!
//! Integration tests and benchmarks start them in their own process, Erlang suites as the program
//! `receiver` behind a port. They listen on real sockets, with TLS if asked, and fail on demand:
//! every [`Fault`] is something a client has to survive. None of this is ever shipped.
//!
//! - [`SnsServer`]: Amazon SNS, with verified signatures and the documented limits
//! - [`HttpServer`]: webhooks over HTTP/1.1 and HTTP/2, with any certificate of an [`Authority`]
//! - [`Proxy`]: stands before any server that speaks TCP, and disturbs what passes

mod authority;
mod body;
mod controls;
mod conversation;
mod fault;
mod gate;
mod handler;
mod http;
mod inbox;
mod journal;
mod listener;
mod loopback;
mod proxy;
mod server;
mod sns;
mod stage;
mod streams;
mod tls;

pub use authority::{Authority, Identity, Validity};
pub use controls::Controls;
pub use fault::Fault;
pub use http::{HttpConfig, HttpReceived, HttpServer};
pub use journal::{Request, Stats};
pub use proxy::{Cut, Proxy, Weather};
pub use sns::{Action, AttributeValue, Received, SnsConfig, SnsServer};
pub use tls::{TlsConfig, TlsVersions};
