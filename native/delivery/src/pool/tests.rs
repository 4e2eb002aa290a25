//! A pool with a backend that does what a test wants.

mod ages;
mod attendance;
mod breakers;
mod durability;
mod groups;
mod levers;
mod limits;
mod overflow;
mod panics;
mod property;
mod readiness;
mod rests;
mod retries;
mod shares;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::tasks::{AFTER_PANIC, CLOSING};
use super::*;
use crate::backend::BatchLimits;
use crate::backoff::RetryEnd;
use crate::fate::Failure;
use crate::message::Accepted;
use crate::settings::OnFull;

/// A backend that waits for a permit for each attempt and remembers what it was given. It keeps up
/// a connection on which some destinations may be absent.
struct Gated {
    gate: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
    seen: Arc<StdMutex<Vec<Vec<String>>>>,
    limits: BatchLimits,
    destinations: usize,
    verdict: fn(&str) -> Result<(), Failure>,
    absent: watch::Receiver<HashSet<String>>,
}

struct Rig {
    pool: Pool,
    gate: Arc<Semaphore>,
    /// Attempts that have begun.
    begun: Arc<AtomicUsize>,
    /// The bodies of each attempt that has ended.
    seen: Arc<StdMutex<Vec<Vec<String>>>>,
    absent: watch::Sender<HashSet<String>>,
}

const TEN: BatchLimits = BatchLimits { events: 10, bytes: 1000, per_group: 1 };

impl Backend for Gated {
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    fn destinations(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.destinations).unwrap()
    }

    fn is_ready(&self, destination: &str) -> bool {
        !self.absent.borrow().contains(destination)
    }

    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let bodies = batch.iter().map(|accepted| text(&accepted.message)).collect::<Vec<_>>();
        self.gate.acquire().await.unwrap().forget();
        let results = bodies.iter().map(|body| (self.verdict)(body)).collect();
        self.seen.lock().unwrap().push(bodies);
        results
    }

    async fn attend(&self, connection: &StatusCell) {
        let mut absent = self.absent.clone();
        while absent.changed().await.is_ok() {
            connection.change(|_| ());
        }
    }
}

fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

fn message(destination: &str, body: &str, group: Option<&str>) -> Message {
    Message {
        destination: destination.into(),
        body: body.to_owned().into(),
        attributes: Box::default(),
        group: group.map(Into::into),
    }
}

fn settings(workers: usize, max_events: usize, max_bytes: usize) -> PoolSettings {
    PoolSettings {
        workers: NonZeroUsize::new(workers).unwrap(),
        limit: None,
        max_events: NonZeroUsize::new(max_events).unwrap(),
        max_bytes: NonZeroUsize::new(max_bytes).unwrap(),
        on_full: OnFull::DropNew,
        max_age: None,
        circuit_failures: None,
        retry: RetrySettings { end: RetryEnd::Count(1), base: Duration::ZERO, max: Duration::ZERO },
    }
}

fn rig(settings: PoolSettings, limits: BatchLimits) -> Rig {
    rig_with(settings, limits, |_| Ok(()))
}

fn rig_with(
    settings: PoolSettings,
    limits: BatchLimits,
    verdict: fn(&str) -> Result<(), Failure>,
) -> Rig {
    rig_for(1, settings, limits, verdict)
}

/// A rig whose destinations have a share of the workers each.
fn rig_for(
    destinations: usize,
    settings: PoolSettings,
    limits: BatchLimits,
    verdict: fn(&str) -> Result<(), Failure>,
) -> Rig {
    rig_on(None, destinations, settings, limits, verdict)
}

/// A rig with something on disk.
fn rig_on(
    disk: Option<Disk>,
    destinations: usize,
    settings: PoolSettings,
    limits: BatchLimits,
    verdict: fn(&str) -> Result<(), Failure>,
) -> Rig {
    let gate = Arc::new(Semaphore::new(0));
    let (begun, seen) = (Arc::default(), Arc::default());
    let (sender, absent) = watch::channel(HashSet::new());
    let backend = Gated {
        gate: Arc::clone(&gate),
        begun: Arc::clone(&begun),
        seen: Arc::clone(&seen),
        limits,
        destinations,
        verdict,
        absent,
    };
    let pool = Pool::start(backend, &settings, disk, &Handle::current());
    Rig { pool, gate, begun, seen, absent: sender }
}

/// On a paused clock: returns once nothing goes on any more.
async fn idle() {
    sleep(Duration::from_millis(1)).await;
}

async fn pass(time: Duration) {
    tokio::time::advance(time).await;
    idle().await;
}

impl Rig {
    /// Pushes one message and waits until the only worker is busy with it.
    async fn occupy(&self) {
        self.pool.push(message("occupied", "first", None)).unwrap();
        while self.pool.stats().levels.queue_events > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// From now on, these destinations are not ready, and all others are.
    fn away<const N: usize>(&self, destinations: [&str; N]) {
        self.absent.send_replace(destinations.map(str::to_owned).into());
    }

    fn push<const N: usize>(&self, destination: &str, group: Option<&str>, bodies: [&str; N]) {
        for body in bodies {
            self.pool.push(message(destination, body, group)).unwrap();
        }
    }

    fn seen(&self) -> Vec<Vec<String>> {
        self.seen.lock().unwrap().clone()
    }

    /// How many attempts are under way.
    fn under_way(&self) -> usize {
        self.begun.load(Ordering::SeqCst) - self.seen.lock().unwrap().len()
    }

    async fn finish(&self) -> Vec<Vec<String>> {
        self.gate.add_permits(10_000);
        let report = self.pool.stop(Duration::from_secs(60)).await;
        assert_eq!(report.levels.waiting, 0);
        self.seen()
    }
}

#[tokio::test]
async fn full_queue_refuses_a_new_message() {
    let rig = rig(settings(1, 3, 10_000), BatchLimits::SINGLE);
    rig.occupy().await;
    for body in ["1", "2", "3"] {
        rig.pool.push(message("topic", body, None)).unwrap();
    }
    assert_eq!(rig.pool.push(message("topic", "4", None)), Err(Refusal::Full));
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.accepted, stats.counts.refused_full, stats.levels.waiting), (4, 1, 4));
    assert_eq!(rig.finish().await.len(), 4);
}

#[tokio::test]
async fn queue_is_bounded_in_bytes_too() {
    let footprint = message("topic", "1234", None).footprint();
    let rig = rig(settings(1, 1000, 2 * footprint), BatchLimits::SINGLE);
    rig.occupy().await;
    rig.pool.push(message("topic", "1234", None)).unwrap();
    rig.pool.push(message("topic", "1234", None)).unwrap();
    assert_eq!(rig.pool.push(message("topic", "1", None)), Err(Refusal::Full));
    assert_eq!(rig.pool.stats().levels.queue_bytes, 2 * footprint);
    rig.finish().await;
    assert_eq!(rig.pool.stats().levels.queue_bytes, 0);
}

#[tokio::test]
async fn waiting_messages_of_one_destination_travel_together() {
    let rig = rig(settings(1, 100, 100_000), TEN);
    rig.occupy().await;
    for index in 0..12 {
        rig.pool.push(message("a", &format!("a{index}"), None)).unwrap();
        rig.pool.push(message("b", &format!("b{index}"), None)).unwrap();
    }
    let sizes: Vec<_> = rig.finish().await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 10, 10, 2, 2]);
}

#[tokio::test]
async fn a_batch_stays_below_its_weight() {
    let rig = rig(settings(1, 100, 100_000), TEN);
    rig.occupy().await;
    let body = "x".repeat(400);
    for _ in 0..5 {
        rig.pool.push(message("topic", &body, None)).unwrap();
    }
    // Heavier than a batch may be: it goes alone, and what to do with it is up to the backend.
    rig.pool.push(message("topic", &"y".repeat(2000), None)).unwrap();
    let sizes: Vec<_> = rig.finish().await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 2, 2, 1, 1]);
}

#[tokio::test]
async fn one_message_never_waits_for_company() {
    let rig = rig(settings(1, 100, 100_000), TEN);
    rig.occupy().await;
    assert_eq!(rig.pool.stats().levels.queue_events, 0);
    assert_eq!(rig.finish().await, [["first"]]);
}

#[tokio::test]
async fn messages_of_one_group_go_one_after_the_other_and_groups_together() {
    let rig = rig(settings(3, 100, 100_000), TEN);
    for index in 0..4 {
        for group in ["alice", "bob"] {
            rig.pool.push(message("topic", &format!("{group}{index}"), Some(group))).unwrap();
        }
    }
    let batches = rig.finish().await;
    for batch in &batches {
        let groups: HashSet<_> = batch.iter().map(|body| &body[..3]).collect();
        assert_eq!(groups.len(), batch.len(), "two of one group in {batch:?}");
    }
    let order = batches.concat();
    for group in ["alice", "bob"] {
        let of_group: Vec<_> = order.iter().filter(|body| body.starts_with(group)).collect();
        let wanted: Vec<_> = (0..4).map(|index| format!("{group}{index}")).collect();
        assert_eq!(of_group, wanted.iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_stopped_pool_refuses_and_tells_what_it_dropped() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.occupy().await;
    for _ in 0..5 {
        rig.pool.push(message("topic", "body", None)).unwrap();
    }
    let report = rig.pool.stop(Duration::ZERO).await;
    assert_eq!((report.counts.accepted, report.counts.closed, report.levels.waiting), (6, 6, 0));
    assert_eq!((report.levels.queue_events, report.levels.queue_bytes), (0, 0));
    assert_eq!(rig.pool.push(message("topic", "late", None)), Err(Refusal::Closed));
    assert_eq!(rig.pool.stop(Duration::ZERO).await.counts.refused_closed, 1);
}

/// As after the death of an owner: the next one has been given the last report and tells it, while the
/// end that the death began comes to its own end.
#[tokio::test]
async fn an_end_that_tells_nobody_confirms_nothing() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    assert_eq!(rig.pool.stop(Duration::ZERO).await.counts.refused_closed, 0);
    assert_eq!(rig.pool.push(message("topic", "late", None)), Err(Refusal::Closed));
    rig.pool.end(Duration::ZERO).await;
    rig.pool.told();
    assert_eq!(rig.pool.report().counts.refused_closed, 1);
}

/// A body that tells which thread frees it.
struct Freed(crossbeam_channel::Sender<std::thread::ThreadId>);

impl AsRef<[u8]> for Freed {
    fn as_ref(&self) -> &[u8] {
        b"body"
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.send(std::thread::current().id()).unwrap();
    }
}

#[tokio::test]
async fn whoever_stops_a_pool_does_not_free_what_waited() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.occupy().await;
    let (sender, freed) = crossbeam_channel::bounded(100);
    let push = || {
        let body = bytes::Bytes::from_owner(Freed(sender.clone()));
        rig.pool.push(Message { body, ..message("topic", "", None) }).unwrap();
    };
    push();
    // Somebody looks, so that one waits in a lane and one does not.
    assert_eq!(rig.pool.stats().levels.queue_events, 1);
    push();
    assert_eq!(rig.pool.stop(Duration::ZERO).await.counts.closed, 3);
    for _ in 0..2 {
        let by = freed.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_ne!(by, std::thread::current().id());
    }
}

#[tokio::test]
async fn what_a_push_would_refuse_is_not_admitted_and_counted() {
    let footprint = message("topic", "1", None).footprint();
    let rig = rig(settings(1, 2, 2 * footprint), BatchLimits::SINGLE);
    rig.occupy().await;
    assert_eq!(rig.pool.admits(2 * footprint), Ok(()));
    assert_eq!(rig.pool.admits(2 * footprint + 1), Err(Refusal::Full));
    rig.push("topic", None, ["1"]);
    assert_eq!(rig.pool.admits(footprint), Ok(()));
    assert_eq!(rig.pool.admits(footprint + 1), Err(Refusal::Full));
    rig.push("topic", None, ["2"]);
    assert_eq!(rig.pool.admits(0), Err(Refusal::Full));
    rig.pool.close();
    assert_eq!(rig.pool.admits(0), Err(Refusal::Closed));
    let counts = rig.pool.stats().counts;
    assert_eq!((counts.accepted, counts.refused_full, counts.refused_closed), (3, 3, 1));
    rig.finish().await;
}

#[tokio::test]
async fn a_stopping_pool_delivers_what_it_accepted() {
    let rig = rig(settings(2, 100, 100_000), BatchLimits::SINGLE);
    for _ in 0..20 {
        rig.pool.push(message("topic", "body", None)).unwrap();
    }
    rig.gate.add_permits(20);
    let report = rig.pool.stop(Duration::from_secs(60)).await;
    assert_eq!((report.counts.delivered, report.counts.closed), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn the_time_to_drain_counts_from_the_close() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.occupy().await;
    rig.pool.close();
    sleep(Duration::from_secs(3)).await;
    let begin = Instant::now();
    assert_eq!(rig.pool.stop(Duration::from_secs(5)).await.counts.closed, 1);
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn a_message_that_cannot_be_formed_counts_as_rejected() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.pool.reject("text is not UTF-8");
    let report = rig.pool.report();
    assert_eq!((report.counts.accepted, report.counts.rejected, report.levels.waiting), (1, 1, 0));
    assert_eq!(report.recent.causes.rejected.as_deref(), Some("text is not UTF-8"));
}

#[tokio::test]
async fn two_pools_do_not_share_limits() {
    let (full, free) = (
        rig(settings(1, 1, 10_000), BatchLimits::SINGLE),
        rig(settings(1, 1, 10_000), BatchLimits::SINGLE),
    );
    full.occupy().await;
    full.pool.push(message("topic", "1", None)).unwrap();
    assert_eq!(full.pool.push(message("topic", "2", None)), Err(Refusal::Full));
    assert_eq!(free.pool.push(message("topic", "1", None)), Ok(()));
    full.finish().await;
    free.finish().await;
}

#[tokio::test]
async fn the_oldest_message_in_the_queue_is_known() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.occupy().await;
    assert_eq!(rig.pool.stats().levels.oldest, None);
    rig.pool.push(message("topic", "1", None)).unwrap();
    let young = rig.pool.stats().levels.oldest.unwrap();
    rig.pool.push(message("other", "2", None)).unwrap();
    assert!(rig.pool.stats().levels.oldest.unwrap() >= young);
    rig.finish().await;
}
