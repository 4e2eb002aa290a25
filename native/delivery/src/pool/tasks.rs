//! What runs for a pool beside its callers: workers, and what attends, expires and reads back.
//!
//! A panic ends none of them for good: what it costs is counted, and after a moment the task begins
//! again. A pool whose tasks have gone would accept messages and do nothing with them.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::backend::Backend;
use crate::message::Accepted;
use crate::observer::Observer;
use crate::retry::{Delivery, Left};

/// How long a backend may take to put away what it kept up.
pub(super) const CLOSING: Duration = Duration::from_millis(500);

/// How long to wait before a task begins again that has panicked.
pub(super) const AFTER_PANIC: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Tasks {
    workers: JoinSet<()>,
    attendant: JoinSet<()>,
    /// Ends what grows too old in the queue.
    expiry: JoinSet<()>,
    /// Reads back what is on disk.
    reader: JoinSet<()>,
}

// === impl Tasks ===

impl Tasks {
    pub(super) fn start<T: Backend>(
        backend: T,
        shared: &Arc<Shared>,
        workers: usize,
        runtime: &Handle,
    ) -> Self {
        let (backend, count) = (Arc::new(backend), workers);
        let mut workers = JoinSet::new();
        for _ in 0..count {
            workers.spawn_on(work(Arc::clone(&backend), Arc::clone(shared)), runtime);
        }
        let mut attendant = JoinSet::new();
        attendant.spawn_on(attend(backend, Arc::clone(shared)), runtime);
        let mut expiry = JoinSet::new();
        expiry.spawn_on(expire(Arc::clone(shared)), runtime);
        let mut reader = JoinSet::new();
        reader.spawn_on(read_back(Arc::clone(shared)), runtime);
        Self { workers, attendant, expiry, reader }
    }

    /// Returns when all have ended: the workers have that long, and `finished` is told then.
    pub(super) async fn end(&mut self, drain: Duration, finished: &Notify) {
        join(&mut self.workers, drain).await;
        self.expiry.shutdown().await;
        self.reader.shutdown().await;
        finished.notify_one();
        join(&mut self.attendant, CLOSING).await;
    }
}

/// Waits until the tasks have ended, up to the limit, then cuts them off.
async fn join(tasks: &mut JoinSet<()>, limit: Duration) {
    if timeout(limit, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tasks.shutdown().await;
    }
}

/// Runs what goes on until it is done, and begins it again after a panic.
async fn lasting<F: Future<Output = ()>>(observer: &Observer, run: impl Fn() -> F) {
    while AssertUnwindSafe(run()).catch_unwind().await.is_err() {
        observer.panicked();
        sleep(AFTER_PANIC).await;
    }
}

/// Lets the backend attend until no attempt is left, then close.
async fn attend<T: Backend>(backend: Arc<T>, shared: Arc<Shared>) {
    let attending = lasting(&shared.observer, || backend.attend(&shared.connection));
    if let Either::Left(((), finished)) =
        select(pin!(attending), pin!(shared.finished.notified())).await
    {
        finished.await;
    }
    if AssertUnwindSafe(backend.close()).catch_unwind().await.is_err() {
        shared.observer.panicked();
    }
}

async fn expire(shared: Arc<Shared>) {
    lasting(&shared.observer, || shared.queue.expire(&shared.observer)).await;
}

async fn read_back(shared: Arc<Shared>) {
    lasting(&shared.observer, || read_all(&shared)).await;
}

/// Reads back what is only on disk, whenever there is room for it.
async fn read_all(shared: &Arc<Shared>) {
    let Some(disk) = &shared.disk else { return };
    while !shared.queue.is_closed() {
        let reader = Arc::clone(shared);
        match spawn_blocking(move || reader.read_some()).await.map_err(JoinError::try_into_panic) {
            Ok(true) => {}
            Ok(false) => disk.changed().await,
            Err(Ok(panic)) => resume_unwind(panic),
            // The runtime ends.
            Err(Err(_)) => return,
        }
    }
}

async fn work<T: Backend>(backend: Arc<T>, shared: Arc<Shared>) {
    lasting(&shared.observer, || deliver_all(&*backend, &shared)).await;
}

/// One worker: its slot stays taken through every attempt, so retries stay inside the bound. Only
/// what may [wait for long](crate::retry) goes back into the queue.
async fn deliver_all<T: Backend>(backend: &T, shared: &Shared) {
    let Shared { queue, disk, observer, circuits, health, .. } = shared;
    let delivery = Delivery {
        backend,
        limit: shared.limit.as_ref(),
        retry: shared.retry,
        max_age: shared.max_age,
        circuits,
        health,
        levers: queue.levers(),
        observer,
    };
    while let Some((batch, pass)) = queue.next(backend, circuits, observer).await {
        if let Some(disk) = disk.as_ref().filter(|_| queue.room().0 > 0) {
            disk.room();
        }
        let (destination, groups) = place(&batch);
        let Left { messages, rests, alone } =
            delivery.deliver(&destination, batch, pass, fastrand::f64).await;
        queue.give_back(messages, &alone);
        queue.finish(&destination, &groups, &rests);
        shared.backend.update(backend);
    }
}

/// The destination of a batch and its groups, each once: the messages of one stand together.
fn place(batch: &[Accepted]) -> (Box<str>, Vec<Box<str>>) {
    let groups = batch.iter().filter_map(|accepted| accepted.message.group.clone());
    let mut groups = groups.collect::<Vec<_>>();
    groups.dedup();
    (batch[0].message.destination.clone(), groups)
}
