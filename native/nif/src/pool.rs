//! A pool as a resource: it belongs to the process that started it and ends with it.

use std::sync::Arc;
use std::time::Duration;

use event_pusher_delivery::{Pool, Refusal};
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};
use tokio::runtime::Handle;

use crate::settings::Settings;
use crate::{atoms, encode, message, runtime};

pub(crate) struct PoolResource {
    pool: Arc<Pool>,
    runtime: Handle,
}

#[rustler::resource_impl]
impl Resource for PoolResource {
    const IMPLEMENTS_DOWN: bool = true;

    /// The owner died without stopping the pool. Nothing here may wait.
    fn down<'a>(&'a self, _env: Env<'a>, _owner: LocalPid, _monitor: Monitor) {
        self.pool.close();
        let pool = Arc::clone(&self.pool);
        // The task ends by itself, at once: it only cuts the workers off.
        drop(self.runtime.spawn(async move { pool.stop(Duration::ZERO).await }));
    }
}

/// `{ok, Pool} | {error, not_running | [Complaint :: binary()]}`. The calling process owns the
/// pool.
#[rustler::nif(schedule = "DirtyIo")]
fn start_pool<'a>(env: Env<'a>, settings: Term<'a>) -> NifResult<Term<'a>> {
    let settings = match Settings::decode(settings)? {
        Ok(settings) => settings,
        Err(complaints) => return Ok(env.error_tuple(complaints.0)),
    };
    let Some(runtime) = runtime::handle() else {
        return Ok(env.error_tuple(atoms::not_running()));
    };
    let pool = Arc::new(settings.start(&runtime));
    let resource = ResourceArc::new(PoolResource { pool, runtime });
    // No monitor: the owner is gone already, and the pool goes with the last reference.
    let _ = env.monitor(&resource, &env.pid());
    Ok((atoms::ok(), resource).encode(env))
}

/// `ok | {error, [Complaint :: binary()]}`. Nothing is started for it.
#[rustler::nif(schedule = "DirtyIo")]
fn check_pool<'a>(env: Env<'a>, settings: Term<'a>) -> NifResult<Term<'a>> {
    Ok(match Settings::decode(settings)? {
        Ok(_) => atoms::ok().encode(env),
        Err(complaints) => env.error_tuple(complaints.0),
    })
}

/// `ok | {error, full | closed}`
#[rustler::nif]
fn push<'a>(
    env: Env<'a>,
    pool: ResourceArc<PoolResource>,
    message: Term<'a>,
) -> NifResult<Term<'a>> {
    let Some(message) = message::decode(message)? else {
        pool.pool.reject("text is not UTF-8");
        return Ok(atoms::ok().encode(env));
    };
    Ok(match pool.pool.push(message) {
        Ok(()) => atoms::ok().encode(env),
        Err(Refusal::Full) => env.error_tuple(atoms::full()),
        Err(Refusal::Closed) => env.error_tuple(atoms::closed()),
    })
}

/// The counters and levels of the pool.
#[rustler::nif]
fn stats<'a>(env: Env<'a>, pool: ResourceArc<PoolResource>) -> Term<'a> {
    encode::stats(env, &pool.pool.stats())
}

/// The counters and levels of the pool, and what happened since the last report.
#[rustler::nif]
fn report<'a>(env: Env<'a>, pool: ResourceArc<PoolResource>) -> Term<'a> {
    encode::report(env, &pool.pool.report())
}

/// Refuses new messages from now on; the time to drain begins.
#[rustler::nif]
fn close_pool(pool: ResourceArc<PoolResource>) -> Atom {
    pool.pool.close();
    atoms::ok()
}

/// Drains the pool up to the deadline and gives the last report.
#[rustler::nif(schedule = "DirtyIo")]
fn stop_pool<'a>(env: Env<'a>, pool: ResourceArc<PoolResource>, drain_ms: u64) -> Term<'a> {
    let report = pool.runtime.block_on(pool.pool.stop(Duration::from_millis(drain_ms)));
    encode::report(env, &report)
}
