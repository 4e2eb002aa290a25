use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Mutex as StdMutex;

use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

use super::*;
use crate::outcome::Failure;
use crate::target::BatchLimits;

/// A target that waits for a permit for each attempt and remembers what it was given.
struct Gated {
    gate: Arc<Semaphore>,
    seen: Arc<StdMutex<Vec<Vec<String>>>>,
    limits: BatchLimits,
    verdict: fn(&str) -> Result<(), Failure>,
}

struct Rig {
    pool: Pool,
    gate: Arc<Semaphore>,
    seen: Arc<StdMutex<Vec<Vec<String>>>>,
}

const TEN: BatchLimits = BatchLimits { events: 10, bytes: 1000 };

impl Target for Gated {
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let bodies = batch.iter().map(|accepted| text(&accepted.message)).collect::<Vec<_>>();
        self.gate.acquire().await.unwrap().forget();
        let results = bodies.iter().map(|body| (self.verdict)(body)).collect();
        self.seen.lock().unwrap().push(bodies);
        results
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
        max_events: NonZeroUsize::new(max_events).unwrap(),
        max_bytes: NonZeroUsize::new(max_bytes).unwrap(),
        retry: RetrySettings { count: 1, base: Duration::ZERO },
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
    let gate = Arc::new(Semaphore::new(0));
    let seen = Arc::default();
    let target = Gated { gate: Arc::clone(&gate), seen: Arc::clone(&seen), limits, verdict };
    Rig { pool: Pool::start(target, &settings, &Handle::current()), gate, seen }
}

impl Rig {
    /// Pushes one message and waits until the only worker is busy with it.
    async fn occupy(&self) {
        self.pool.push(message("occupied", "first", None)).unwrap();
        while self.pool.stats().queue_events > 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn finish(&self) -> Vec<Vec<String>> {
        self.gate.add_permits(10_000);
        let report = self.pool.stop(Duration::from_secs(60)).await;
        assert_eq!(report.waiting, 0);
        self.seen.lock().unwrap().clone()
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
    assert_eq!((stats.accepted, stats.refused_full, stats.waiting), (4, 1, 4));
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
    assert_eq!(rig.pool.stats().queue_bytes, 2 * footprint);
    rig.finish().await;
    assert_eq!(rig.pool.stats().queue_bytes, 0);
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
    // Heavier than a batch may be: it goes alone, and what to do with it is up to the target.
    rig.pool.push(message("topic", &"y".repeat(2000), None)).unwrap();
    let sizes: Vec<_> = rig.finish().await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 2, 2, 1, 1]);
}

#[tokio::test]
async fn one_message_never_waits_for_company() {
    let rig = rig(settings(1, 100, 100_000), TEN);
    rig.occupy().await;
    assert_eq!(rig.pool.stats().queue_events, 0);
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
    assert_eq!((report.accepted, report.closed, report.waiting), (6, 6, 0));
    assert_eq!((report.queue_events, report.queue_bytes), (0, 0));
    assert_eq!(rig.pool.push(message("topic", "late", None)), Err(Refusal::Closed));
    assert_eq!(rig.pool.stop(Duration::ZERO).await.refused_closed, 1);
}

#[tokio::test]
async fn a_stopping_pool_delivers_what_it_accepted() {
    let rig = rig(settings(2, 100, 100_000), BatchLimits::SINGLE);
    for _ in 0..20 {
        rig.pool.push(message("topic", "body", None)).unwrap();
    }
    rig.gate.add_permits(20);
    let report = rig.pool.stop(Duration::from_secs(60)).await;
    assert_eq!((report.delivered, report.closed), (20, 0));
}

#[tokio::test]
async fn a_message_that_cannot_be_formed_counts_as_rejected() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.pool.reject("text is not UTF-8");
    let report = rig.pool.report();
    assert_eq!((report.accepted, report.rejected, report.waiting), (1, 1, 0));
    assert_eq!(report.last_rejected.as_deref(), Some("text is not UTF-8"));
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
    assert_eq!(rig.pool.stats().oldest, None);
    rig.pool.push(message("topic", "1", None)).unwrap();
    let young = rig.pool.stats().oldest.unwrap();
    rig.pool.push(message("other", "2", None)).unwrap();
    assert!(rig.pool.stats().oldest.unwrap() >= young);
    rig.finish().await;
}

/// What one message of the property asks of the target: its letter.
fn verdict(body: &str) -> Result<(), Failure> {
    match body.as_bytes()[0] {
        b'd' => Ok(()),
        b'r' => Err(Failure::permanent("no")),
        b'e' => Err(Failure::transient("later")),
        _ => panic!("as the message wants"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// accepted = delivered + dropped + waiting, whatever fails, however full the queue is and
    /// whenever the pool is stopped; and each fate is counted as often as it was provoked.
    #[test]
    fn every_accepted_message_ends_exactly_once(
        pushes in prop::collection::vec(("[drep]", 0..3_u8, prop::option::of(0..3_u8)), 0..200),
        workers in 1..5_usize,
        max_events in 1..100_usize,
        permits in 0..300_usize,
        batching: bool,
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(async {
            let limits = if batching { TEN } else { BatchLimits::SINGLE };
            let rig = rig_with(settings(workers, max_events, 1 << 20), limits, verdict);
            rig.gate.add_permits(permits);
            let mut accepted = HashMap::<u8, u64>::new();
            let mut refused = 0;
            for (letter, destination, group) in &pushes {
                let group = group.map(|group| group.to_string());
                let pushed = message(&destination.to_string(), letter, group.as_deref());
                match rig.pool.push(pushed) {
                    Ok(()) => *accepted.entry(letter.as_bytes()[0]).or_default() += 1,
                    Err(refusal) => {
                        prop_assert_eq!(refusal, Refusal::Full);
                        refused += 1;
                    }
                }
                let live = rig.pool.stats();
                prop_assert_eq!(live.accepted, live.delivered + live.dropped() + live.waiting);
                prop_assert!(live.queue_events <= max_events);
            }
            let of = |letter: u8| accepted.get(&letter).copied().unwrap_or_default();
            let enough = permits >= 3 * pushes.len();
            let deadline = if enough { Duration::from_secs(60) } else { Duration::ZERO };
            let report = rig.pool.stop(deadline).await;
            prop_assert_eq!(report.accepted, accepted.values().sum::<u64>());
            prop_assert_eq!(report.refused_full, refused);
            prop_assert_eq!(report.waiting, 0);
            prop_assert_eq!(report.accepted, report.delivered + report.dropped());
            prop_assert_eq!((report.queue_events, report.queue_bytes), (0, 0));
            if enough {
                prop_assert_eq!(report.delivered, of(b'd'));
                prop_assert_eq!(report.rejected, of(b'r') + of(b'p'));
                prop_assert_eq!(report.exhausted, of(b'e'));
                prop_assert_eq!(report.closed, 0);
            } else {
                prop_assert!(report.delivered <= of(b'd'));
            }
            Ok(())
        })?;
    }
}
