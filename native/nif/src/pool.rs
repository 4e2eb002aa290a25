//! A pool as a resource: it belongs to the process that started it and ends with it.

use std::sync::Arc;
use std::time::Duration;

use event_pusher_delivery::{Pool, PoolOptions, Refusal};
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term};
use tokio::runtime::Handle;

use crate::{atoms, encode, message, runtime, term};

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
        drop(self.runtime.spawn(async move { pool.end(Duration::ZERO).await }));
    }
}

/// `{ok, Pool} | {error, not_running | [Complaint :: binary()]}`. The calling process owns the
/// pool.
#[rustler::nif(schedule = "DirtyIo")]
fn start_pool<'a>(env: Env<'a>, settings: Term<'a>) -> Term<'a> {
    let checked = match term::decode::<PoolOptions>(settings).and_then(PoolOptions::check) {
        Ok(checked) => checked,
        Err(complaints) => return env.error_tuple(complaints.0),
    };
    let Some(runtime) = runtime::handle() else {
        return env.error_tuple(atoms::not_running());
    };
    let pool = match checked.start(&runtime, runtime::yield_to_schedulers) {
        Ok(pool) => Arc::new(pool),
        Err(complaints) => return env.error_tuple(complaints.0),
    };
    let resource = ResourceArc::new(PoolResource { pool, runtime });
    // No monitor: the owner is gone already, and the pool goes with the last reference.
    let _ = env.monitor(&resource, &env.pid());
    (atoms::ok(), resource).encode(env)
}

/// `ok | {error, [Complaint :: binary()]}`. Nothing is started for it.
#[rustler::nif(schedule = "DirtyIo")]
fn check_pool<'a>(env: Env<'a>, settings: Term<'a>) -> Term<'a> {
    match term::decode::<PoolOptions>(settings).and_then(PoolOptions::check) {
        Ok(_) => atoms::ok().encode(env),
        Err(complaints) => env.error_tuple(complaints.0),
    }
}

/// `ok | {error, full | closed}`
#[rustler::nif]
fn push<'a>(
    env: Env<'a>,
    pool: ResourceArc<PoolResource>,
    message: Term<'a>,
) -> NifResult<Term<'a>> {
    let pool = &pool.pool;
    // Before the copy, which a scheduler has no time for if the message is too large anyway.
    if let Err(refusal) = pool.admits(message::size(message)) {
        return Ok(refused(env, refusal));
    }
    let Some(message) = message::decode(message)? else {
        pool.reject("text is not UTF-8");
        return Ok(atoms::ok().encode(env));
    };
    Ok(match pool.push(message) {
        Ok(()) => atoms::ok().encode(env),
        Err(refusal) => refused(env, refusal),
    })
}

fn refused(env: Env<'_>, refusal: Refusal) -> Term<'_> {
    env.error_tuple(match refusal {
        Refusal::Full => atoms::full(),
        Refusal::Closed => atoms::closed(),
    })
}

/// The pool at the moment, with totals since its start.
#[rustler::nif]
fn stats<'a>(env: Env<'a>, pool: ResourceArc<PoolResource>) -> Term<'a> {
    encode::stats(env, &pool.pool.stats())
}

/// What is new since the latest report that was told.
#[rustler::nif]
fn report<'a>(env: Env<'a>, pool: ResourceArc<PoolResource>) -> Term<'a> {
    encode::report(env, &pool.pool.report())
}

/// The latest report has been told.
#[rustler::nif]
fn told(pool: ResourceArc<PoolResource>) -> Atom {
    pool.pool.told();
    atoms::ok()
}

/// Nothing is attempted until the pool is resumed.
#[rustler::nif]
fn pause_pool(pool: ResourceArc<PoolResource>) -> Atom {
    pool.pool.pause();
    atoms::ok()
}

/// Goes on after a pause.
#[rustler::nif]
fn resume_pool(pool: ResourceArc<PoolResource>) -> Atom {
    pool.pool.resume();
    atoms::ok()
}

/// Makes attempts now that wait for their time.
#[rustler::nif]
fn retry_now(pool: ResourceArc<PoolResource>) -> Atom {
    pool.pool.retry_now();
    atoms::ok()
}

/// Drops what waits and is that old; tells how many messages.
#[rustler::nif(schedule = "DirtyCpu")]
fn purge_pool(pool: ResourceArc<PoolResource>, age_ms: u64) -> u64 {
    pool.pool.purge(Duration::from_millis(age_ms))
}

/// Refuses new messages from now on; the time to drain begins.
#[rustler::nif]
fn close_pool(pool: ResourceArc<PoolResource>) -> Atom {
    pool.pool.close();
    atoms::ok()
}

/// Drains the pool up to the deadline. It makes no report: if the owner is killed meanwhile, nobody
/// would get it, and the next owner would confirm it with its own.
#[rustler::nif(schedule = "DirtyIo")]
fn stop_pool(pool: ResourceArc<PoolResource>, drain_ms: u64) -> Atom {
    runtime::wait(pool.pool.end(Duration::from_millis(drain_ms)));
    atoms::ok()
}
