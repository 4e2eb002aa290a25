//! The one tokio runtime of the node: started and stopped with the application, not with the
//! library.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustler::{Atom, Encoder, Env, NifResult, Term};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::atoms;

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// How long the end of the runtime waits for blocking work, as a look-up of a host name is.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// How many host names may be looked up at once: the one thing that blocks a thread. Each name has
/// one look-up at a time, so this is more than a configuration has names, and a name server that is
/// silent takes nobody's thread.
const BLOCKING_THREADS: usize = 512;

/// `ok | {error, already_running | Reason :: binary()}`
#[rustler::nif(schedule = "DirtyIo")]
fn start_runtime<'a>(env: Env<'a>, threads: usize) -> NifResult<Term<'a>> {
    if threads == 0 {
        return Err(rustler::Error::BadArg);
    }
    let mut running = running();
    if running.is_some() {
        return Ok(env.error_tuple(atoms::already_running()));
    }
    let built = Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("event_pusher")
        .on_thread_start(yield_to_schedulers)
        .enable_io()
        .enable_time()
        .build();
    match built {
        Ok(runtime) => {
            *running = Some(runtime);
            Ok(atoms::ok().encode(env))
        }
        Err(error) => Ok(env.error_tuple(error.to_string())),
    }
}

/// Makes the calling thread one that never interrupts another when it wakes up.
///
/// Each push wakes a worker. Without this, the kernel may at once give the processor of the pushing
/// scheduler to it, and a session would wait for a delivery after all. The share of processor time
/// stays the same.
fn yield_to_schedulers() {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameter lives as long as the call. Where it is not
    // permitted, the thread keeps its policy, which costs nothing but latency.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param) };
}

/// Ends the runtime and whatever still runs on it.
#[rustler::nif(schedule = "DirtyIo")]
fn stop_runtime() -> Atom {
    let stopped = running().take();
    if let Some(runtime) = stopped {
        runtime.shutdown_timeout(SHUTDOWN);
    }
    atoms::ok()
}

/// A handle to the runtime, if it runs.
pub(crate) fn handle() -> Option<Handle> {
    running().as_ref().map(|runtime| runtime.handle().clone())
}

fn running() -> MutexGuard<'static, Option<Runtime>> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner)
}
