//! The NIF library of `event_pusher_nif`: it translates terms to messages and settings, fates
//! and reports to terms, and decides nothing.
//!
//! `push/2`, `stats/1`, `report/1` and `told/1` run on normal schedulers and never wait; whatever may wait
//! runs on dirty ones.

mod encode;
mod json;
mod list;
mod message;
mod pool;
mod runtime;
mod spool;
mod term;
mod trial;

use rustler::{Env, Term};

mod atoms {
    rustler::atoms! {
        ok, error, full, closed, not_running, already_running,
        // Messages.
        destination, body, json, attributes, group, string, number, binary, time,
        // Options.
        none, infinity, options,
        // Reports.
        counts, levels, connection, recent, rejected, exhausted, nacked, expired, retried,
        waiting, queue_events, queue_bytes, in_flight, oldest_ms, batch_limit, clock_offset_s, state, down,
        up, blocked, opened, lost, failed, cause, refused, limited, times_us, attempt_times_us,
        causes, changes, open_destinations, circuit, open, unroutable, troubles, spool, ahead, events,
        bytes, used_percent, synced_ms, set_aside_files, set_aside_bytes, orphaned_events,
        orphaned_bytes, free_bytes, used_bytes, is_locked, trouble,
        batching_off, clock, status, since_ms, last_success_ms, last_error, ago_ms,
        connected, connecting, degraded, stopped, paused, certificate_days,
        // Probes.
        works, unsure, broken,
        // JSON.
        true_ = "true", false_ = "false", null,
    }
}

rustler::init!("event_pusher_nif", load = load);

fn load(_env: Env<'_>, _info: Term<'_>) -> bool {
    true
}
