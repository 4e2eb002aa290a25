//! A bounded queue and the workers that empty it into a backend.
//!
//! A worker is a task with one slot: it takes a batch and keeps it until each message has ended. So
//! the number of workers bounds all that is under way. A task for each message was turned down: it
//! would wait for its turn outside of the queue, whose bounds are what an operator sets.
//!
//! Each backend has a pool of its own. With one pool for all, a receiver in trouble would take the
//! workers of the others.

mod tasks;

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};
use tokio::time::Instant;

use crate::backend::{Backend, BackendState};
use crate::backoff::RetrySettings;
use crate::breaker::Rules;
use crate::circuits::Circuits;
use crate::connection::StatusCell;
use crate::disk::{Disk, Reading};
use crate::fate::{DropReason, Fate, Refusal};
use crate::health::{Circumstances, Health};
use crate::limit::Limit;
use crate::message::Message;
use crate::observer::Observer;
use crate::queue::{PURGED, Queue};
use crate::report::{Levels, Report, Stats, Told};
use crate::settings::PoolSettings;
use tasks::Tasks;

/// A running pool. Dropping it ends its workers at once; [`stop`](Pool::stop) lets them finish.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    tasks: AsyncMutex<Tasks>,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue,
    disk: Option<Disk>,
    observer: Observer,
    backend: BackendState,
    connection: StatusCell,
    circuits: Circuits,
    health: Health,
    limit: Option<Limit>,
    retry: RetrySettings,
    max_age: Option<Duration>,
    /// When new messages were refused first.
    closed_at: OnceLock<Instant>,
    /// All attempts have ended.
    finished: Notify,
}

// === impl Pool ===

impl Pool {
    /// Starts workers for the backend on the given runtime.
    pub(crate) fn start<T: Backend>(
        backend: T,
        settings: &PoolSettings,
        disk: Option<Disk>,
        runtime: &Handle,
    ) -> Self {
        // Each destination has a worker at least.
        let count = settings.workers.max(backend.destinations()).get();
        let share = count / backend.destinations();
        let queue = Queue::new(settings, share);
        let rules =
            settings.circuit_failures.map(|failures| Rules::new(failures, settings.retry, count));
        let shared = Arc::new(Shared {
            connection: StatusCell::new(queue.waker(), queue.levers().hurrier()),
            circuits: Circuits::new(rules, queue.waker()),
            health: Health::new(),
            queue,
            disk,
            observer: Observer::default(),
            backend: BackendState::of(&backend),
            limit: settings.limit.clone(),
            retry: settings.retry,
            max_age: settings.max_age,
            closed_at: OnceLock::new(),
            finished: Notify::new(),
        });
        let told = Mutex::new(Told::new(shared.stats()));
        let (readable, damaged) = shared.disk.as_ref().map(Disk::left).unwrap_or_default();
        shared.observer.restored(readable + damaged);
        shared.observer.read(0, damaged);
        let tasks = Tasks::start(backend, &shared, count, runtime);
        Self { shared, tasks: AsyncMutex::new(tasks), told }
    }

    /// Hands a message over. Never waits.
    ///
    /// # Errors
    ///
    /// The queue is full, or the pool has been stopped; both are counted.
    pub fn push(&self, message: Message) -> Result<(), Refusal> {
        let Shared { queue, disk, observer, .. } = &*self.shared;
        queue
            .push(message, disk.as_ref(), observer)
            .inspect_err(|refusal| observer.refused(*refusal))
    }

    /// Whether a message of that many bytes could be accepted now. For whoever has to copy it
    /// before it is [pushed](Self::push), which may take long.
    ///
    /// # Errors
    ///
    /// As for a push; both are counted.
    pub fn admits(&self, bytes: usize) -> Result<(), Refusal> {
        let Shared { queue, disk, observer, .. } = &*self.shared;
        queue.admits(bytes, disk.as_ref()).inspect_err(|refusal| observer.refused(*refusal))
    }

    /// Counts a message that [would be admitted](Self::admits) and cannot even be formed, as when
    /// its text is not UTF-8: accepted, and rejected at once.
    pub fn reject(&self, detail: &'static str) {
        let observer = &self.shared.observer;
        observer.accepted();
        let fate = Fate::Dropped(DropReason::Rejected);
        observer.ended(Instant::now(), Duration::ZERO, fate, detail.into());
    }

    /// The pool at the moment, with totals since its start.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// What is new since the latest report that [was told](Self::told).
    pub fn report(&self) -> Report {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent = self.shared.observer.take_recent();
        recent.troubles = self.shared.disk.as_ref().map(Disk::troubles).unwrap_or_default();
        told.report(self.stats(), recent)
    }

    /// Confirms that the latest report reached who had to hear of it. Until then, the next one
    /// says the same again, and more.
    pub fn told(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).confirm();
    }

    /// Attempts nothing from now on, and accepts as before, until the pool is
    /// [resumed](Self::resume) or closed. What is under way ends.
    pub fn pause(&self) {
        self.shared.queue.levers().pause();
    }

    /// Goes on after a [pause](Self::pause).
    pub fn resume(&self) {
        self.shared.queue.levers().resume();
        self.shared.queue.hurry();
    }

    /// Makes attempts now that wait for their time: those that are repeated, probes, those to connect
    /// and what the receiver does not take. It is for who knows that the receiver is back.
    pub fn retry_now(&self) {
        self.shared.circuits.hurry();
        self.shared.queue.hurry();
    }

    /// Drops what waits and is that old, and tells how many messages that were at once: what is only on
    /// disk follows as it is read back, and what is under way if it comes back.
    pub fn purge(&self, age: Duration) -> u64 {
        let Shared { queue, disk, observer, .. } = &*self.shared;
        let now = Instant::now();
        let before = observer.counts().purged;
        if let Some(until) = now.checked_sub(age) {
            queue.purge(until, observer);
        }
        if let Some(disk) = disk {
            disk.room();
        }
        observer.counts().purged - before
    }

    /// Refuses new messages from now on. Whatever was accepted goes on.
    pub fn close(&self) {
        self.closing();
    }

    /// Closes the queue, and says when that was.
    fn closing(&self) -> Instant {
        let since = *self.shared.closed_at.get_or_init(|| {
            self.shared.circuits.hurry();
            self.shared.queue.levers().resume();
            Instant::now()
        });
        self.shared.queue.close();
        since
    }

    /// Ends the pool: new messages are refused, accepted ones get that long to be delivered, and
    /// what is left then is dropped as closed, or kept on disk for the next start. A request that
    /// is under way then is cut off; its receiver may have got the message. If the pool has been
    /// closed before, the time began then.
    pub async fn stop(&self, drain: Duration) -> Report {
        self.end(drain).await;
        self.report()
    }

    /// The same for somebody who tells nobody, or asks for a report later: it would be the latest, which
    /// somebody else may confirm.
    pub async fn end(&self, drain: Duration) {
        let since = self.closing();
        // Held to the end: whoever stops the pool a second time waits for the first to finish.
        let mut tasks = self.tasks.lock().await;
        tasks.end(drain.saturating_sub(since.elapsed()), &self.shared.finished).await;
        self.put_away().await;
    }

    /// Leaves what has not ended on disk, if there is one, and forgets it here.
    async fn put_away(&self) {
        let shared = Arc::clone(&self.shared);
        let close = move || shared.disk.as_ref().is_some_and(Disk::close);
        let kept = self.shared.disk.is_some() && apart(close).await;
        let (rest, observer) = (self.shared.queue.clear(), &self.shared.observer);
        // Only where the disk could not keep up, somebody has to look which ones it has.
        if kept && observer.counts().unsaved > 0 {
            observer.close_rest(rest.unsaved());
        } else {
            observer.close_rest(if kept { 0 } else { u64::MAX });
            free(rest);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn stats(&self) -> Stats {
        let (mut counts, mut levels) = (self.observer.counts(), Levels::default());
        counts.unsaved += self.disk.as_ref().map(Disk::late).unwrap_or_default();
        self.queue.describe(&mut levels);
        self.backend.describe(&mut levels);
        levels.waiting = counts.waiting();
        levels.spool = self.disk.as_ref().map(Disk::stats);
        let ahead = levels.spool.as_ref().map_or(0, |spool| spool.ahead);
        levels.in_flight = levels.waiting.saturating_sub(levels.queue_events as u64 + ahead);
        let open = self.circuits.open();
        let closed_at = self.closed_at.get().copied();
        // What is stopped waits for nobody.
        levels.open_destinations = if closed_at.is_some() { 0 } else { open.len() };
        let kept = self.connection.kept();
        let status = self.health.status(&Circumstances {
            connection: kept.as_ref(),
            paused_at: self.queue.levers().paused_at(),
            closed_at,
        });
        Stats { counts, levels, status, connection: kept.map(|kept| kept.status), open }
    }

    /// Reads back as much as there is room for, within bounds; tells whether that was anything.
    /// Waits for the disk.
    fn read_some(&self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let Reading { found, expired, unreadable, panic } = disk.read(self.queue.room());
        self.observer.read(expired, unreadable);
        let messages = found.len() as u64;
        let (purged, wanted): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| self.queue.levers().is_purged(found.accepted_at()));
        for found in purged {
            found.hold.end();
            let fate = Fate::Dropped(DropReason::Purged);
            self.observer.ended(found.accepted_at(), Duration::ZERO, fate, PURGED.into());
        }
        self.queue.restore(wanted);
        disk.passed(messages);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        messages + expired + unreadable > 0
    }
}

/// Frees it on a thread of its own: whoever stops a pool waits for its last report. If there is no
/// thread to be had, that takes longer.
fn free(rest: impl Send + 'static) {
    let _ = thread::Builder::new().name("event_pusher".into()).spawn(move || drop(rest));
}

/// Does what waits for the disk on a thread of its own, or here if there is none to be had. A panic is as
/// good as no.
async fn apart(run: impl Fn() -> bool + Send + Sync + 'static) -> bool {
    let (sender, done) = oneshot::channel();
    let run = Arc::new(run);
    let there = Arc::clone(&run);
    let begun = thread::Builder::new()
        .name("event_pusher".into())
        .spawn(move || sender.send(there()).unwrap_or_default());
    if begun.is_ok() { done.await.unwrap_or_default() } else { run() }
}

#[cfg(test)]
mod tests;
