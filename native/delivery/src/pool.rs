//! A bounded queue and the workers that empty it into a target.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, sleep, timeout};

use crate::limit::Limit;
use crate::link::Link;
use crate::message::{Accepted, Message};
use crate::observer::{Observer, Report};
use crate::outcome::{DropReason, Outcome, Refusal};
use crate::queue::Queue;
use crate::retry::{self, Backoff, Left, RetrySettings};
use crate::settings::PoolSettings;
use crate::target::Target;

/// How long a target may take to put away what it kept up.
const CLOSING: Duration = Duration::from_millis(500);

/// How long to wait before a target attends again that panicked while it did.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// A running pool. Dropping it ends its workers at once; [`stop`](Pool::stop) lets them finish.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug)]
struct Tasks {
    workers: JoinSet<()>,
    attendant: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue,
    observer: Observer,
    link: Link,
    limit: Option<Limit>,
    retry: RetrySettings,
    /// When new messages were refused first.
    closed_at: OnceLock<Moment>,
    /// All attempts have ended.
    finished: Notify,
}

// === impl Pool ===

impl Pool {
    /// Starts workers for the target on the given runtime.
    pub fn start<T: Target>(target: T, settings: &PoolSettings, runtime: &Handle) -> Self {
        // Each destination has a worker at least.
        let count = settings.workers.max(target.destinations()).get();
        let share = count / target.destinations();
        let queue = Queue::new(settings, share);
        let shared = Arc::new(Shared {
            link: Link::new(queue.waker()),
            queue,
            observer: Observer::default(),
            limit: settings.limit.clone(),
            retry: settings.retry,
            closed_at: OnceLock::new(),
            finished: Notify::new(),
        });
        shared.observer.target(&target);
        let target = Arc::new(target);
        let mut workers = JoinSet::new();
        for _ in 0..count {
            workers.spawn_on(work(Arc::clone(&target), Arc::clone(&shared)), runtime);
        }
        let mut attendant = JoinSet::new();
        attendant.spawn_on(attend(target, Arc::clone(&shared)), runtime);
        Self { shared, tasks: Mutex::new(Tasks { workers, attendant }) }
    }

    /// Hands a message over. Never waits.
    ///
    /// # Errors
    ///
    /// The queue is full, or the pool has been stopped; both are counted.
    pub fn push(&self, message: Message) -> Result<(), Refusal> {
        let Shared { queue, observer, .. } = &*self.shared;
        queue.push(message, observer).inspect_err(|refusal| observer.refused(*refusal))
    }

    /// Counts a message that cannot even be formed, as when its text is not UTF-8: accepted, and
    /// rejected at once.
    pub fn reject(&self, detail: &'static str) {
        let observer = &self.shared.observer;
        observer.accepted();
        let outcome = Outcome::Dropped(DropReason::Rejected);
        observer.ended(Instant::now(), Duration::ZERO, outcome, detail.into());
    }

    /// The state of the pool, without what happened since the last [`report`](Self::report).
    pub fn stats(&self) -> Report {
        let mut report = self.shared.observer.totals();
        self.shared.queue.describe(&mut report);
        report.link = self.shared.link.status();
        report
    }

    /// The state of the pool and what happened since the last report.
    pub fn report(&self) -> Report {
        let mut report = self.stats();
        self.shared.observer.take_recent(&mut report);
        report
    }

    /// Refuses new messages from now on. Whatever was accepted goes on.
    pub fn close(&self) {
        self.closing();
    }

    /// Closes the queue, and says when that was.
    fn closing(&self) -> Moment {
        let since = *self.shared.closed_at.get_or_init(Moment::now);
        self.shared.queue.close();
        since
    }

    /// Ends the pool: new messages are refused, accepted ones get that long to be delivered, and
    /// what is left then is dropped as closed. A request that is under way then is cut off; its
    /// receiver may have got the message. If the pool has been closed before, the time began then.
    pub async fn stop(&self, drain: Duration) -> Report {
        let since = self.closing();
        // Held to the end: whoever stops the pool a second time waits for the first to finish.
        let mut tasks = self.tasks.lock().await;
        join(&mut tasks.workers, drain.saturating_sub(since.elapsed())).await;
        self.shared.finished.notify_one();
        join(&mut tasks.attendant, CLOSING).await;
        self.shared.observer.close_rest();
        self.shared.queue.clear();
        self.report()
    }
}

/// Waits until the tasks have ended, up to the limit, then cuts them off.
async fn join(tasks: &mut JoinSet<()>, limit: Duration) {
    if timeout(limit, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tasks.shutdown().await;
    }
}

/// Lets the target attend until no attempt is left, then close.
async fn attend<T: Target>(target: Arc<T>, shared: Arc<Shared>) {
    let attending = async {
        while AssertUnwindSafe(target.attend(&shared.link)).catch_unwind().await.is_err() {
            shared.observer.panicked();
            sleep(AFTER_PANIC).await;
        }
    };
    if let Either::Left(((), finished)) =
        select(pin!(attending), pin!(shared.finished.notified())).await
    {
        finished.await;
    }
    target.close().await;
}

/// One worker: its slot stays taken through every attempt, so retries stay inside the bound. Only
/// what a destination must be ready for, or what is not taken now, goes back into the queue.
async fn work<T: Target>(target: Arc<T>, shared: Arc<Shared>) {
    let Shared { queue, observer, limit, retry, .. } = &*shared;
    while let Some(batch) = queue.next(&*target).await {
        let (destination, groups) = place(&batch);
        let backoff = Backoff::new(*retry, fastrand::f64);
        let Left { messages, rests } =
            retry::deliver(&*target, limit.as_ref(), batch, backoff, observer).await;
        queue.give_back(messages);
        queue.finish(&destination, &groups, &rests);
        observer.target(&*target);
    }
}

/// The destination of a batch and its groups, each once: the messages of one stand together.
fn place(batch: &[Accepted]) -> (Box<str>, Vec<Box<str>>) {
    let groups = batch.iter().filter_map(|accepted| accepted.message.group.clone());
    let mut groups = groups.collect::<Vec<_>>();
    groups.dedup();
    (batch[0].message.destination.clone(), groups)
}

#[cfg(test)]
mod tests;
