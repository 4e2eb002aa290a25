//! The NIF library of `event_pusher_nif`: it translates terms to messages and settings, outcomes
//! and reports to terms, and decides nothing.
//!
//! `push/2`, `stats/1` and `report/1` run on normal schedulers and never wait; whatever may wait
//! runs on dirty ones.

mod encode;
mod json;
mod message;
mod pool;
mod runtime;
mod settings;
mod trial;

use rustler::{Env, Term};

mod atoms {
    rustler::atoms! {
        ok, error, full, closed, not_running, already_running,
        // Messages.
        destination, body, json, attributes, group, string, number, binary,
        // Settings.
        pool_size, limit, max_events, max_bytes, retry_count, retry_time_ms, retry_max_ms,
        infinity, target, sns, http, rabbit,
        sns_host, region, partition, account_id, topics, access_key_id, secret_access_key,
        publish_batch, connect_timeout_ms, request_timeout_ms, http2, host, path_prefix, path,
        port, username, password, virtual_host, connection_name, confirms, declare, active, passive,
        exchanges, reconnect_delay_ms, reconnect_max_ms, nack_retry_count, nack_retry_time_ms,
        nack_retry_max_ms,
        // TLS.
        tls, verify_mode, peer, selfsigned_peer, none, disconnect_on_failure, cacertfile, certfile,
        keyfile, versions, ciphers, server_name, default, disabled, options,
        // Reports.
        accepted, delivered, rejected, exhausted, nacked, waiting, refused_full, refused_closed,
        retried, nacks, panics, queue_events, queue_bytes, in_flight, oldest_ms, batch_limit,
        clock_offset_s, connection, down, up, blocked, connections_opened, connections_lost,
        connections_failed, connection_cause, connection_refused, connection_limited, times_us,
        attempt_times_us, last_rejected, last_exhausted, last_nacked, last_retried, undefined,
        // JSON.
        true_ = "true", false_ = "false", null,
    }
}

rustler::init!("event_pusher_nif", load = load);

fn load(_env: Env<'_>, _info: Term<'_>) -> bool {
    true
}
