//! The bounded queue between [`Pool::push`](crate::Pool::push) and the workers.
//!
//! Pushing threads meet a counter and a bounded channel, never a lock held for long. Workers move
//! what came through the channel into lanes, one per destination, and take from the lanes in turn.

mod lanes;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::message::{Accepted, Message};
use crate::observer::{Observer, Report};
use crate::outcome::Refusal;
use crate::retry::Rests;
use crate::settings::PoolSettings;
use crate::target::{BatchLimits, Target};
use lanes::Lanes;

/// How many messages one look into the queue moves into lanes, so that no worker holds the lanes
/// for long.
const MOVED_AT_ONCE: usize = 1024;

#[derive(Debug)]
pub(crate) struct Queue {
    /// `None` once closed. The write lock is taken only to close.
    sender: RwLock<Option<Sender<Box<Accepted>>>>,
    receiver: Receiver<Box<Accepted>>,
    lanes: Mutex<Lanes>,
    wake: Arc<Notify>,
    next_id: AtomicUsize,
    events: Gauge,
    bytes: Gauge,
}

/// What a look into the queue gives.
struct Look {
    batch: Vec<Accepted>,
    /// Something is held back: its destination is not ready, or has its share on its way.
    held: bool,
    /// When the first group has rested of those that do.
    rested_at: Option<Instant>,
}

/// A level with a ceiling.
#[derive(Debug)]
struct Gauge {
    level: AtomicUsize,
    max: usize,
}

// === impl Queue ===

impl Queue {
    /// Of one destination, only `share` batches are on their way at a time.
    pub(crate) fn new(settings: &PoolSettings, share: usize) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(settings.max_events.get());
        Self {
            sender: RwLock::new(Some(sender)),
            receiver,
            lanes: Mutex::new(Lanes::new(share)),
            wake: Arc::default(),
            next_id: AtomicUsize::new(0),
            events: Gauge::new(settings.max_events.get()),
            bytes: Gauge::new(settings.max_bytes.get()),
        }
    }

    /// Adds a message or refuses it; never waits for room.
    pub(crate) fn push(&self, message: Message, observer: &Observer) -> Result<(), Refusal> {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(Refusal::Closed)?;
        self.reserve(&message)?;
        observer.accepted();
        let id = self.next_id.fetch_add(1, AcqRel) as u64;
        sender
            .try_send(Box::new(Accepted { id, at: std::time::Instant::now(), nacks: 0, message }))
            .expect("the channel has room for every reserved event, and its receiver is ours");
        self.wake.notify_one();
        Ok(())
    }

    /// Refuses whatever is pushed from now on. What waits can still be taken.
    /// What rests may go once more, at once.
    pub(crate) fn close(&self) {
        self.sender.write().unwrap_or_else(PoisonError::into_inner).take();
        self.lanes().rest_no_longer();
        self.wake.notify_waiters();
    }

    /// Wakes workers that wait; for whoever may make a destination ready.
    pub(crate) fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// The next messages to deliver together, or `None` when the queue is closed and empty.
    pub(crate) async fn next<T: Target>(&self, target: &T) -> Option<Vec<Accepted>> {
        loop {
            // Before the look, so that whatever is pushed after the look is heard.
            let mut woken = pin!(self.wake.notified());
            woken.as_mut().enable();
            let closed = self.is_closed();
            let Look { batch, held, rested_at } =
                self.take(target.limits(), |destination| target.is_ready(destination));
            if !batch.is_empty() {
                // Somebody else has to see when a group has rested.
                if rested_at.is_some() {
                    self.wake.notify_one();
                }
                return Some(batch);
            }
            // A message of a busy group is taken by the worker that ends that group; one that is
            // held back may yet go before the deadline.
            if closed && !held {
                return None;
            }
            match rested_at {
                // Whichever comes first: then there is another look.
                Some(at) => timeout_at(at, woken).await.unwrap_or_default(),
                None => woken.await,
            }
        }
    }

    /// Puts messages of one destination back in front of those that wait. They are counted again,
    /// whether there is room or not: they were accepted. Whoever took them looks again, so nobody
    /// has to be woken.
    pub(crate) fn give_back(&self, batch: Vec<Accepted>) {
        for accepted in &batch {
            self.events.put_back(1);
            self.bytes.put_back(accepted.message.footprint());
        }
        self.lanes().give_back(batch);
    }

    /// Tells that a batch of this destination with these groups has ended, so that the next one may
    /// go, at once or when the group has rested.
    pub(crate) fn finish(&self, destination: &str, groups: &[Box<str>], rests: &Rests) {
        let mut lanes = self.lanes();
        let now = Instant::now();
        lanes.finish(destination, groups, |group| rests.get(group).map(|time| now + *time));
        let more = lanes.has_something_to_take();
        drop(lanes);
        if self.is_closed() {
            // There may be nothing left to wait for.
            self.wake.notify_waiters();
        } else if more {
            // What has become free is as good as pushed.
            groups.iter().for_each(|_| self.wake.notify_one());
            self.wake.notify_one();
        }
    }

    pub(crate) fn describe(&self, report: &mut Report) {
        report.queue_events = self.events.level();
        report.queue_bytes = self.bytes.level();
        let mut lanes = self.lanes();
        self.fill(&mut lanes);
        report.oldest = lanes.oldest().map(|at| at.elapsed());
    }

    /// Forgets what waits. Only right when the queue is closed and no worker is left.
    pub(crate) fn clear(&self) {
        self.lanes().clear();
        self.receiver.try_iter().for_each(drop);
        self.events.reset();
        self.bytes.reset();
    }

    fn take(&self, limits: BatchLimits, ready: impl Fn(&str) -> bool) -> Look {
        let (mut batch, mut held, mut rested_at) = (Vec::new(), false, None);
        // All that was moved may belong to busy groups: look until there is something to take.
        while batch.is_empty() {
            let mut lanes = self.lanes();
            let moved = self.fill(&mut lanes);
            lanes.wake_rested(Instant::now());
            batch = lanes.take(limits, &ready);
            held = lanes.has_something_to_take();
            rested_at = lanes.rested_at();
            if moved == 0 {
                break;
            }
        }
        for accepted in &batch {
            self.events.sub(1);
            self.bytes.sub(accepted.message.footprint());
        }
        Look { batch, held, rested_at }
    }

    fn fill(&self, lanes: &mut Lanes) -> usize {
        self.receiver.try_iter().take(MOVED_AT_ONCE).map(|accepted| lanes.add(accepted)).count()
    }

    fn reserve(&self, message: &Message) -> Result<(), Refusal> {
        self.events.add(1)?;
        self.bytes.add(message.footprint()).inspect_err(|_| self.events.sub(1))
    }

    fn is_closed(&self) -> bool {
        self.sender.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Gauge ===

impl Gauge {
    fn new(max: usize) -> Self {
        Self { level: AtomicUsize::new(0), max }
    }

    fn level(&self) -> usize {
        self.level.load(Acquire)
    }

    fn add(&self, amount: usize) -> Result<(), Refusal> {
        let before = self.level.fetch_add(amount, AcqRel);
        if amount > self.max.saturating_sub(before) {
            self.sub(amount);
            return Err(Refusal::Full);
        }
        Ok(())
    }

    fn put_back(&self, amount: usize) {
        self.level.fetch_add(amount, AcqRel);
    }

    fn reset(&self) {
        self.level.store(0, Release);
    }

    fn sub(&self, amount: usize) {
        self.level.fetch_sub(amount, AcqRel);
    }
}
