//! The bounded queue between [`Pool::push`](crate::Pool::push) and the workers.
//!
//! Pushing threads meet a counter and a bounded channel, never a lock held for long. Workers move
//! what came through the channel into lanes, one per destination, and take from the lanes in turn.
//! One queue under one lock was turned down: whoever pushes, a thread that must not wait, would
//! wait while a worker looks for its next batch.
//!
//! In its lane, each group waits for itself. Hashing groups to workers would keep their order with
//! less, and was turned down: a group that is slow or rests would hold up all that share its
//! worker, while other workers have nothing to do.

mod gauge;
mod held;
mod lanes;
mod row;
mod turns;

use std::iter;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::backend::{Backend, BatchLimits};
use crate::breaker::Pass;
use crate::circuits::Circuits;
use crate::disk::{Disk, Found};
use crate::fate::{DropReason, Fate, Refusal};
use crate::levers::Levers;
use crate::message::{Accepted, Message};
use crate::observer::Observer;
use crate::report::Levels;
use crate::retry::{Alone, Rests};
use crate::settings::{OnFull, PoolSettings};
use gauge::Gauge;
use held::{Held, SharedLanes};
use lanes::Lanes;

/// How many messages one look into the queue moves into lanes, so that no worker holds the lanes
/// for long.
const MOVED_AT_ONCE: usize = 1024;

/// How many messages that are too old one look ends; the same.
const ENDED_AT_ONCE: usize = 1024;

/// How long nobody looks for messages that are too old, so that many of them need one look.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Why messages are given up that waited here.
const FULL: &str = "queue is full";
const TOO_OLD: &str = "waited longer than queue.max_age_ms";
pub(crate) const PURGED: &str = "dropped by an operator";

#[derive(Debug)]
pub(crate) struct Queue {
    /// `None` once closed. The write lock is taken only to close.
    sender: RwLock<Option<Sender<Box<Accepted>>>>,
    receiver: Receiver<Box<Accepted>>,
    lanes: SharedLanes,
    wake: Arc<Notify>,
    /// Something came back that may be older than all that waits.
    came_back: Notify,
    next_id: AtomicUsize,
    events: Gauge,
    bytes: Gauge,
    max_age: Option<Duration>,
    on_full: OnFull,
    levers: Levers,
}

/// What a look into the queue gives.
struct Look {
    batch: Vec<Accepted>,
    /// For the attempt at them.
    pass: Pass,
    /// Something is held back: its destination is not ready, or has its share on its way.
    held: bool,
    /// When there may be something to take that has to wait now: a group has rested, or a probe may
    /// go.
    again_at: Option<Instant>,
}

/// What waited when the queue was cleared.
pub(crate) struct Rest(Lanes);

// === impl Queue ===

impl Queue {
    /// Of one destination, only `share` batches are on their way at a time.
    pub(crate) fn new(settings: &PoolSettings, share: usize) -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(settings.max_events.get());
        Self {
            sender: RwLock::new(Some(sender)),
            receiver,
            lanes: SharedLanes::new(Lanes::new(share)),
            wake: Arc::default(),
            came_back: Notify::new(),
            next_id: AtomicUsize::new(0),
            events: Gauge::new(settings.max_events.get()),
            bytes: Gauge::new(settings.max_bytes.get()),
            max_age: settings.max_age,
            on_full: settings.on_full,
            levers: Levers::default(),
        }
    }

    /// Whether a message of that many bytes could be accepted now.
    pub(crate) fn admits(&self, bytes: usize, disk: Option<&Disk>) -> Result<(), Refusal> {
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        if disk.is_some() {
            return Ok(());
        }
        let has_room = self.events.has_room(1) && self.bytes.has_room(bytes);
        let can_make_room = self.on_full == OnFull::DropOld && bytes <= self.bytes.max;
        if has_room || can_make_room { Ok(()) } else { Err(Refusal::Full) }
    }

    /// Adds a message or refuses it; never waits for room. What memory has no room for goes to the
    /// disk, if there is one, and so does what comes after it.
    pub(crate) fn push(
        &self,
        message: Message,
        disk: Option<&Disk>,
        observer: &Observer,
    ) -> Result<(), Refusal> {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.as_ref().ok_or(Refusal::Closed)?;
        let Some(message) = self.placed(message, disk, observer)? else { return Ok(()) };
        let hold = disk.and_then(|disk| disk.hold(&message));
        if disk.is_some() && hold.is_none() {
            observer.unsaved();
        }
        observer.accepted();
        let id = self.next_id.fetch_add(1, AcqRel) as u64;
        sender
            .try_send(Box::new(Accepted {
                id,
                at: Instant::now(),
                nacks: 0,
                attempts: 0,
                message,
                hold,
            }))
            .expect("the channel has room for every reserved event, and its receiver is ours");
        self.wake.notify_one();
        Ok(())
    }

    /// Refuses whatever is pushed from now on. What waits can still be taken.
    /// What rests may go once more, at once. Takes no time, whatever waits: a scheduler closes.
    pub(crate) fn close(&self) {
        self.sender.write().unwrap_or_else(PoisonError::into_inner).take();
        self.lanes.rest_no_longer();
        self.wake.notify_waiters();
    }

    /// What somebody does to the pool.
    pub(crate) fn levers(&self) -> &Levers {
        &self.levers
    }

    /// Lets attempts go at once, of what waits for its time, and of what waited while the pool was
    /// paused.
    pub(crate) fn hurry(&self) {
        self.lanes.hurry();
        self.levers.hurry();
        self.wake.notify_waiters();
    }

    /// Drops what waits and was accepted until then.
    pub(crate) fn purge(&self, until: Instant, observer: &Observer) {
        self.levers.purge(until);
        while self.end_unwanted(&mut self.lanes(), Instant::now(), observer) == ENDED_AT_ONCE {}
        if self.is_closed() {
            // There may be nothing left to wait for.
            self.wake.notify_waiters();
        }
    }

    /// Wakes workers that wait; for whoever may make a destination ready.
    pub(crate) fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// The next messages to deliver together, with the permission for an attempt at them, or `None`
    /// when the queue is closed and empty.
    pub(crate) async fn next<T: Backend>(
        &self,
        backend: &T,
        circuits: &Circuits,
        observer: &Observer,
    ) -> Option<(Vec<Accepted>, Pass)> {
        loop {
            // Before the look, so that whatever is pushed after the look is heard.
            let mut woken = pin!(self.wake.notified());
            woken.as_mut().enable();
            let closed = self.is_closed();
            let Look { batch, pass, held, again_at } = self.take(backend, circuits, observer);
            if !batch.is_empty() {
                // Somebody else has to see when its time has come.
                if again_at.is_some() {
                    self.wake.notify_one();
                }
                return Some((batch, pass));
            }
            // A message of a busy group is taken by the worker that ends that group; one that is
            // held back may yet go before the deadline.
            if closed && !held {
                return None;
            }
            match again_at {
                // Whichever comes first: then there is another look.
                Some(at) => timeout_at(at, woken).await.unwrap_or_default(),
                None => woken.await,
            }
        }
    }

    /// Puts messages of one destination back in front of those that wait, or beside them for so long.
    /// They are counted again, whether there is room or not: they were accepted. Whoever took them
    /// looks again, so nobody has to be woken.
    pub(crate) fn give_back(&self, batch: Vec<Accepted>, alone: &Alone) {
        for accepted in &batch {
            self.events.put_back(1);
            self.bytes.put_back(accepted.message.footprint());
        }
        let now = Instant::now();
        self.lanes().give_back(batch, |accepted| alone.get(&accepted.id).map(|rest| now + *rest));
        self.came_back.notify_one();
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

    /// Ends whatever waits for too long, also while nobody can take it. Does not return, but where
    /// there is no such bound.
    pub(crate) async fn expire(&self, observer: &Observer) {
        let Some(max_age) = self.max_age else { return };
        loop {
            let now = Instant::now();
            let ended = self.end_unwanted(&mut self.lanes(), now, observer);
            if ended > 0 && self.is_closed() {
                // There may be nothing left to wait for.
                self.wake.notify_waiters();
            }
            if ended == ENDED_AT_ONCE {
                continue;
            }
            // Whatever is pushed from now on is younger.
            let oldest = self.oldest(&mut self.lanes()).unwrap_or(now);
            let look = oldest.checked_add(max_age).map(|at| at.max(now + BETWEEN_LOOKS));
            match look {
                Some(at) => timeout_at(at, self.came_back.notified()).await.unwrap_or_default(),
                None => self.came_back.notified().await,
            }
        }
    }

    pub(crate) fn describe(&self, levels: &mut Levels) {
        levels.queue_events = self.events.level();
        levels.queue_bytes = self.bytes.level();
        // A scheduler asks, who does not wait for a worker.
        let oldest = match self.lanes.try_hold() {
            Some(mut lanes) => self.oldest(&mut lanes),
            None => self.lanes.oldest(),
        };
        levels.oldest = oldest.map(|at| at.elapsed());
    }

    /// Adds messages that were read back from disk, behind all that waits; whether there is room or
    /// not, as they were accepted.
    pub(crate) fn restore(&self, found: Vec<Found>) {
        // What came through the channel has come before them. That may be much.
        while self.fill(&mut self.lanes(), MOVED_AT_ONCE) == MOVED_AT_ONCE {}
        let mut lanes = self.lanes();
        self.fill(&mut lanes, usize::MAX);
        for found in found {
            let at = found.accepted_at();
            let Found { message, hold, .. } = found;
            self.events.put_back(1);
            self.bytes.put_back(message.footprint());
            let id = self.next_id.fetch_add(1, AcqRel) as u64;
            let hold = Some(hold);
            lanes.add(Box::new(Accepted { id, at, nacks: 0, attempts: 0, message, hold }));
        }
        drop(lanes);
        self.wake.notify_waiters();
        self.came_back.notify_one();
    }

    /// How many messages, and bytes of them, may be read back from disk: none before half of what
    /// may be here has left.
    pub(crate) fn room(&self) -> (usize, usize) {
        let (events, bytes) = (self.events.room(), self.bytes.room());
        if events < self.events.max.div_ceil(2) || bytes < self.bytes.max.div_ceil(2) {
            return (0, 0);
        }
        (events, bytes)
    }

    /// Takes out what waits, for whoever has the time to free it: with many groups, that is
    /// seconds, and nobody else should wait for it. Only right when the queue is closed and no
    /// worker is left.
    pub(crate) fn clear(&self) -> Rest {
        let mut lanes = self.lanes().clear();
        self.receiver.try_iter().for_each(|accepted| lanes.add(accepted));
        self.events.reset();
        self.bytes.reset();
        Rest(lanes)
    }

    /// As a worker holds it that looks.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> impl Sized {
        self.lanes()
    }

    fn take<T: Backend>(&self, backend: &T, circuits: &Circuits, observer: &Observer) -> Look {
        // One message is enough to see whether somebody answers.
        let limits = |destination: &str| match circuits.is_open(destination) {
            true => BatchLimits::SINGLE,
            false => backend.limits(),
        };
        // All that was moved may belong to busy groups: look until there is something to take.
        loop {
            let mut lanes = self.lanes();
            let moved = self.fill(&mut lanes, MOVED_AT_ONCE);
            let now = Instant::now();
            if self.end_unwanted(&mut lanes, now, observer) == ENDED_AT_ONCE {
                continue;
            }
            if self.levers.is_paused() {
                return Look::PAUSED;
            }
            let more = lanes.wake_rested(now);
            let batch = lanes.take(limits, |destination| {
                backend.is_ready(destination) && circuits.permits(destination, now)
            });
            if batch.is_empty() && (moved > 0 || more) {
                continue;
            }
            let held = lanes.has_something_to_take();
            let probe_at = lanes.first_time(|destination| circuits.probes_at(destination));
            let again_at = lanes.rested_at().into_iter().chain(probe_at).min();
            let destination = batch.first().map(|accepted| &*accepted.message.destination);
            let pass = destination.and_then(|destination| circuits.enter(destination, now));
            drop(lanes);
            batch.iter().for_each(|accepted| self.has_left(accepted));
            return Look { batch, pass: pass.unwrap_or(Pass::NONE), held, again_at };
        }
    }

    fn fill(&self, lanes: &mut Lanes, at_once: usize) -> usize {
        self.receiver.try_iter().take(at_once).map(|accepted| lanes.add(accepted)).count()
    }

    /// Ends what was accepted so long ago that it is too old now, or that nobody wants it any more;
    /// tells how many messages.
    fn end_unwanted(&self, lanes: &mut Lanes, now: Instant, observer: &Observer) -> usize {
        let too_old = self.max_age.and_then(|age| now.checked_sub(age));
        let purged = self.levers.purged_until();
        let Some(until) = too_old.max(purged) else { return 0 };
        let mut ended = 0;
        while ended < ENDED_AT_ONCE
            && let Some(at) = self.oldest(lanes).filter(|at| *at <= until)
        {
            let (reason, cause) = match purged {
                Some(purged) if at <= purged => (DropReason::Purged, PURGED),
                _ => (DropReason::Expired, TOO_OLD),
            };
            self.drop_oldest(lanes, reason, cause, observer);
            ended += 1;
        }
        ended
    }

    /// When what has waited longest was accepted. What came through the channel first has, but for
    /// what is in a lane.
    fn oldest(&self, lanes: &mut Lanes) -> Option<Instant> {
        if lanes.oldest().is_none() {
            self.fill(lanes, 1);
        }
        lanes.oldest()
    }

    fn drop_oldest(
        &self,
        lanes: &mut Lanes,
        reason: DropReason,
        cause: &'static str,
        observer: &Observer,
    ) {
        let Some(accepted) = lanes.pop_oldest() else { return };
        self.has_left(&accepted);
        accepted.release();
        observer.ended(accepted.at, Duration::ZERO, Fate::Dropped(reason), cause.into());
    }

    fn has_left(&self, accepted: &Accepted) {
        self.events.sub(1);
        self.bytes.sub(accepted.message.footprint());
    }

    fn reserve(&self, message: &Message) -> Result<(), Refusal> {
        self.events.add(1)?;
        self.bytes.add(message.footprint()).inspect_err(|_| self.events.sub(1))
    }

    /// The message, if it has a place in memory now, and not on disk.
    fn placed(
        &self,
        message: Message,
        disk: Option<&Disk>,
        observer: &Observer,
    ) -> Result<Option<Message>, Refusal> {
        let Some(disk) = disk else {
            self.reserve(&message).or_else(|_full| self.make_room(&message, observer))?;
            return Ok(Some(message));
        };
        if disk.ahead() == 0 && self.reserve(&message).is_ok() {
            return Ok(Some(message));
        }
        match disk.append(message) {
            Ok(()) => {
                observer.accepted();
                Ok(None)
            }
            // It must not overtake what is on disk.
            Err(_) if disk.ahead() > 0 => Err(Refusal::Full),
            Err(message) => {
                self.reserve(&message).or_else(|_full| self.make_room(&message, observer))?;
                Ok(Some(message))
            }
        }
    }

    /// Drops what has waited longest until there is room, if that is wanted and enough. Whoever
    /// pushes must not wait: if somebody has the lanes at this moment, nothing is dropped.
    fn make_room(&self, message: &Message, observer: &Observer) -> Result<(), Refusal> {
        if self.on_full == OnFull::DropNew || message.footprint() > self.bytes.max {
            return Err(Refusal::Full);
        }
        let mut lanes = self.lanes.try_hold().ok_or(Refusal::Full)?;
        while self.oldest(&mut lanes).is_some() {
            self.drop_oldest(&mut lanes, DropReason::Full, FULL, observer);
            if self.reserve(message).is_ok() {
                return Ok(());
            }
        }
        Err(Refusal::Full)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn lanes(&self) -> Held<'_> {
        self.lanes.hold()
    }
}

// === impl Look ===

impl Look {
    /// What waits is held back until somebody resumes.
    const PAUSED: Self = Self { batch: Vec::new(), pass: Pass::NONE, held: true, again_at: None };
}

// === impl Rest ===

impl Rest {
    /// How many messages of it are nowhere else. Takes long where there are many.
    pub(crate) fn unsaved(mut self) -> u64 {
        let waiting = iter::from_fn(|| self.0.pop_oldest());
        waiting.map(|accepted| u64::from(accepted.hold.is_none())).sum()
    }
}
