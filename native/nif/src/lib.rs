//! The NIF library of `event_pusher_nif`: it translates terms to messages and settings, outcomes
//! and reports to terms, and decides nothing.
//!
//! `push/2`, `stats/1` and `report/1` run on normal schedulers and never wait; whatever may wait
//! runs on dirty ones.

mod decode;
mod encode;
mod json;
mod pool;
mod runtime;

use rustler::{Env, Term};

mod atoms {
    rustler::atoms! {
        ok, error, full, closed, not_running, already_running,
        // Messages.
        destination, body, json, attributes, group, string, number, binary,
        // Settings.
        target, sns, pool_size, max_events, max_bytes, retry_count, retry_time_ms, sns_host,
        region, access_key_id, secret_access_key, publish_batch, connect_timeout_ms,
        request_timeout_ms,
        // Reports.
        accepted, delivered, rejected, exhausted, waiting, refused_full, refused_closed, retried,
        panics, queue_events, queue_bytes, in_flight, oldest_ms, batch_limit, times_us,
        last_rejected, last_exhausted, last_retried, undefined,
        // JSON.
        true_ = "true", false_ = "false", null,
    }
}

rustler::init!("event_pusher_nif", load = load);

fn load(_env: Env<'_>, _info: Term<'_>) -> bool {
    true
}
