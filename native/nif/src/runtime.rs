//! The one tokio runtime of the node: started and stopped with the application, not with the
//! library.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustler::{Atom, Encoder, Env, NifResult, Term};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::atoms;

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// How long the end of the runtime waits for what its threads are at.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// More threads are surely a mistake. The setting `runtime_threads` has the same bound.
const MOST_THREADS: usize = 1024;

/// `ok | {error, already_running | Reason :: binary()}`
#[rustler::nif(schedule = "DirtyIo")]
fn start_runtime<'a>(env: Env<'a>, threads: usize) -> NifResult<Term<'a>> {
    if !(1..=MOST_THREADS).contains(&threads) {
        return Err(rustler::Error::BadArg);
    }
    let mut running = locked(&RUNTIME);
    if running.is_some() {
        return Ok(env.error_tuple(atoms::already_running()));
    }
    match build(threads) {
        Ok(runtime) => {
            *running = Some(runtime);
            Ok(atoms::ok().encode(env))
        }
        Err(error) => Ok(env.error_tuple(error.to_string())),
    }
}

fn build(threads: usize) -> io::Result<Runtime> {
    try_threads(threads)?;
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("event_pusher")
        .on_thread_start(yield_to_schedulers)
        .enable_io()
        .enable_time()
        .build()
}

/// Whether the system gives that many threads. A runtime takes for granted that it does: it panics
/// if not, and then waits without end for those that it has got.
fn try_threads(threads: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // They live at the same time: none ends before the last one has begun.
        let closed = locked(&gate);
        let begun = (0..threads).try_for_each(|_| {
            thread::Builder::new().spawn_scoped(scope, || drop(locked(&gate))).map(drop)
        });
        drop(closed);
        begun.map_err(|error| {
            io::Error::new(error.kind(), format!("{threads} threads cannot be had: {error}"))
        })
    })
}

/// Makes the calling thread one that never interrupts another when it wakes up.
///
/// Each push wakes a worker. Without this, the kernel may at once give the processor of the pushing
/// scheduler to it, and a session would wait for a delivery after all. The share of processor time
/// stays the same.
pub(crate) fn yield_to_schedulers() {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the parameter lives as long as the call. Where it is not
    // permitted, the thread keeps its policy, which costs nothing but latency.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param) };
}

/// Ends the runtime and whatever still runs on it.
#[rustler::nif(schedule = "DirtyIo")]
fn stop_runtime() -> Atom {
    let stopped = locked(&RUNTIME).take();
    if let Some(runtime) = stopped {
        runtime.shutdown_timeout(SHUTDOWN);
    }
    atoms::ok()
}

/// A handle to the runtime, if it runs.
pub(crate) fn handle() -> Option<Handle> {
    locked(&RUNTIME).as_ref().map(|runtime| runtime.handle().clone())
}

/// Waits on the calling thread, also for what ran on a runtime that has ended.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let here = Builder::new_current_thread().enable_time().build();
    here.expect("it needs nothing of the system").block_on(future)
}

/// Runs on the calling thread what needs the network.
pub(crate) fn run<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(Builder::new_current_thread().enable_io().enable_time().build()?.block_on(future))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
