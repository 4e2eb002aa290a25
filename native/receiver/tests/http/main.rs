//! The receiver of webhooks: what it keeps, how each fault looks to a client, and whom it convinces
//! or lets in.

// The helpers of a test may unwrap like the test itself.
#![allow(clippy::unwrap_used)]

mod plain;
mod support;
mod tls;
