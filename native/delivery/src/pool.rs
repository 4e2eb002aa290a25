//! A bounded queue and the workers that empty it into a target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::message::{Accepted, Message};
use crate::observer::{Observer, Report};
use crate::outcome::{DropReason, Outcome, Refusal};
use crate::queue::Queue;
use crate::retry::{self, Backoff, RetrySettings};
use crate::settings::PoolSettings;
use crate::target::Target;

/// A running pool. Dropping it ends its workers at once; [`stop`](Pool::stop) lets them finish.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue,
    observer: Observer,
    retry: RetrySettings,
}

// === impl Pool ===

impl Pool {
    /// Starts workers for the target on the given runtime.
    pub fn start<T: Target>(target: T, settings: &PoolSettings, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared {
            queue: Queue::new(settings),
            observer: Observer::default(),
            retry: settings.retry,
        });
        shared.observer.batch_limit(target.limits().events);
        let target = Arc::new(target);
        let mut workers = JoinSet::new();
        for _ in 0..settings.workers.get() {
            workers.spawn_on(work(Arc::clone(&target), Arc::clone(&shared)), runtime);
        }
        Self { shared, workers: Mutex::new(workers) }
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
        observer.ended(Instant::now(), outcome, detail.into());
    }

    /// The state of the pool, without what happened since the last [`report`](Self::report).
    pub fn stats(&self) -> Report {
        let mut report = self.shared.observer.totals();
        self.shared.queue.describe(&mut report);
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
        self.shared.queue.close();
    }

    /// Ends the pool: new messages are refused, accepted ones get until the deadline to be
    /// delivered, and what is left then is dropped as closed. A request that is under way then is
    /// cut off; its receiver may have got the message.
    pub async fn stop(&self, deadline: Duration) -> Report {
        self.close();
        // Held to the end: whoever stops the pool a second time waits for the first to finish.
        let mut workers = self.workers.lock().await;
        if timeout(deadline, async { while workers.join_next().await.is_some() {} }).await.is_err()
        {
            workers.shutdown().await;
        }
        self.shared.observer.close_rest();
        self.shared.queue.clear();
        self.report()
    }
}

/// One worker: its slot stays taken through every attempt, so retries stay inside the bound.
async fn work<T: Target>(target: Arc<T>, shared: Arc<Shared>) {
    let Shared { queue, observer, retry } = &*shared;
    while let Some(batch) = queue.next(target.limits()).await {
        let groups = groups(&batch);
        let backoff = Backoff::new(*retry, fastrand::f64);
        retry::deliver(&*target, batch, backoff, observer).await;
        queue.release(&groups);
        observer.batch_limit(target.limits().events);
    }
}

fn groups(batch: &[Accepted]) -> Vec<(Box<str>, Box<str>)> {
    let message = |accepted: &Accepted| {
        let Message { destination, group, .. } = &accepted.message;
        Some((destination.clone(), group.clone()?))
    };
    batch.iter().filter_map(message).collect()
}

#[cfg(test)]
mod tests;
