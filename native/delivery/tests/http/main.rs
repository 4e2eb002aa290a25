//! The HTTP backend against a receiver of webhooks on loopback: what arrives, whom it trusts, and
//! what every kind of failure comes to.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

mod answers;
mod arrivals;
mod certificates;
mod connections;
mod failures;
mod load;
#[path = "../support/pem_file.rs"]
mod pem_file;
mod proxies;
mod rig;
mod statuses;
#[path = "../support/mod.rs"]
mod support;
