//! Whether receivers can be reached, for the check of a configuration.

use std::time::Duration;

use event_pusher_delivery::{Finding, PoolOptions};
use event_pusher_tls::{TlsOptions, TlsTrialError, try_tls as attempt};
use rustler::{Encoder, Env, Term};

use crate::{atoms, runtime, term};

/// `ok | {error, {options, [Complaint :: binary()]} | {connection, Cause :: binary()}}`. It needs
/// no runtime.
#[rustler::nif(schedule = "DirtyIo")]
fn try_tls<'a>(env: Env<'a>, host: &str, port: u16, tls: Term<'a>, patience_ms: u64) -> Term<'a> {
    let patience = Duration::from_millis(patience_ms.max(1));
    let tried = term::decode::<TlsOptions>(tls)
        .map_err(TlsTrialError::Options)
        .and_then(|options| attempt(host, port, &options, patience));
    match tried {
        Ok(()) => atoms::ok().encode(env),
        Err(TlsTrialError::Options(complaints)) => {
            env.error_tuple((atoms::options(), complaints.0))
        }
        Err(TlsTrialError::Connection(cause)) => env.error_tuple((atoms::connection(), cause)),
    }
}

/// `{ok, [{works | unsure | broken, binary()}]} | {error, [Complaint :: binary()]}`. It needs no
/// runtime: one of its own is there until it has ended.
#[rustler::nif(schedule = "DirtyIo")]
fn probe<'a>(env: Env<'a>, settings: Term<'a>) -> Term<'a> {
    let checked = match term::decode::<PoolOptions>(settings).and_then(PoolOptions::check) {
        Ok(checked) => checked,
        Err(complaints) => return env.error_tuple(complaints.0),
    };
    match runtime::run(checked.probe()) {
        Ok(findings) => {
            let findings: Vec<_> = findings.iter().map(|finding| found(env, finding)).collect();
            (atoms::ok(), findings).encode(env)
        }
        Err(error) => env.error_tuple(vec![error.to_string()]),
    }
}

fn found<'a>(env: Env<'a>, finding: &Finding) -> Term<'a> {
    let (how, text) = match finding {
        Finding::Works(text) => (atoms::works(), text),
        Finding::Unsure(text) => (atoms::unsure(), text),
        Finding::Broken(text) => (atoms::broken(), text),
    };
    (how, text.as_ref()).encode(env)
}
