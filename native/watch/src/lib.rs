//! The native part of `scheduler_watch`, for tests: what holds a scheduler for long, and for how long
//! of that only the machine was busy. It is never installed.
//!
//! A tracer of the VM runs on the very thread that it tells of: whenever a process comes to a scheduler
//! or goes, and around each call that is traced. So the kernel's account of that thread can be read
//! there and then. To look at threads from outside was turned down: whoever looks is late as well when
//! the machine is busy, and then one long wait hides what has held a scheduler beside it.

mod account;
mod plant;
mod seen;

use rustler::{Atom, Env, Error, NifResult, Term};

use account::Account;

mod atoms {
    rustler::atoms! {
        ok, undefined, trace, discard,
        // Of a tracer.
        r#in = "in", in_exiting, out, out_exiting, out_exited, call, return_from, exception_from,
        // Of what was seen.
        stints, calls, process, came, went, native, count, long, longest, all, worked, asleep,
        // Of what is planted.
        work, lock,
    }
}

rustler::init!("scheduler_watch");

/// Of a tracer: whether something is told to [`trace`].
#[rustler::nif]
fn enabled(_tag: Atom, _state: Term<'_>, _process: Term<'_>) -> Atom {
    atoms::trace()
}

/// Of a tracer: something has happened on the calling thread.
#[rustler::nif]
fn trace(
    tag: Atom,
    _state: Term<'_>,
    process: Term<'_>,
    what: Term<'_>,
    _options: Term<'_>,
) -> Atom {
    // Nobody could be told that there is no account: the first one was read by `reset`.
    if let Ok(now) = Account::now()
        && is_normal_scheduler()
    {
        seen::here(|seen| {
            if [atoms::r#in(), atoms::in_exiting()].contains(&tag) {
                seen.comes(process, what, now);
            } else if tag == atoms::call() {
                seen.calls(process, what, now);
            } else if [atoms::return_from(), atoms::exception_from()].contains(&tag) {
                seen.returns(now);
            } else if [atoms::out(), atoms::out_exiting()].contains(&tag) {
                seen.goes(what, now);
            } else if tag == atoms::out_exited() {
                seen.ends(now);
            }
        });
    }
    atoms::ok()
}

/// Forgets what was seen. From now on, what is on a scheduler for so many microseconds is remembered.
#[rustler::nif]
fn reset(long_us: u64) -> NifResult<Atom> {
    Account::now().map_err(|error| Error::Term(Box::new(error.to_string())))?;
    seen::reset(long_us);
    Ok(atoms::ok())
}

/// `#{stints, calls}`: what was seen.
#[rustler::nif]
fn taken(env: Env<'_>) -> Term<'_> {
    seen::taken(env)
}

/// Holds the scheduler for so many milliseconds: with work, or with a lock that another thread has.
#[rustler::nif]
fn hold(how: Atom, ms: u64) -> NifResult<Atom> {
    if how == atoms::work() {
        plant::work(ms);
    } else if how == atoms::lock() {
        plant::lock(ms);
    } else {
        return Err(Error::BadArg);
    }
    Ok(atoms::ok())
}

fn is_normal_scheduler() -> bool {
    const NORMAL: i32 = 1;
    // SAFETY: it takes nothing and looks at the calling thread only.
    unsafe { rustler::sys::enif_thread_type() == NORMAL }
}
