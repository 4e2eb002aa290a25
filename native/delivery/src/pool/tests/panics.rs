//! Panics outside of attempts: what they cost is counted, and the pool goes on.

use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::durability::{Dir, until, written};
use super::*;
use crate::disk::tests::PANIC;

/// A backend whose next look whether a destination is ready panics, if that is wanted: at once, or after
/// an attempt at "bad", which fails.
#[derive(Clone, Default)]
struct Faulty {
    panics: Arc<AtomicBool>,
    seen: Arc<StdMutex<Vec<String>>>,
}

impl Backend for Faulty {
    fn is_ready(&self, _destination: &str) -> bool {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "as the test wants");
        true
    }

    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let bodies: Vec<_> = batch.iter().map(|accepted| text(&accepted.message)).collect();
        let is_bad = bodies == ["bad"];
        self.seen.lock().unwrap().extend(bodies);
        self.panics.fetch_or(is_bad, Ordering::SeqCst);
        vec![if is_bad { Err(Failure::transient("503")) } else { Ok(()) }; batch.len()]
    }
}

/// With one worker, and a circuit that opens with the first failure.
fn start() -> (Pool, Faulty) {
    let faulty = Faulty::default();
    let settings = PoolSettings { circuit_failures: Some(1), ..settings(1, 100, 100_000) };
    (Pool::start(faulty.clone(), &settings, None, &Handle::current()), faulty)
}

fn push(pool: &Pool, group: Option<&str>, bodies: &[&str]) {
    for body in bodies {
        pool.push(message("topic", body, group)).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_begins_again() {
    let (pool, faulty) = start();
    faulty.panics.store(true, Ordering::SeqCst);
    push(&pool, Some("alice"), &["1", "2"]);
    idle().await;
    assert_eq!((pool.stats().counts.panics, pool.stats().levels.waiting), (1, 2));
    pass(AFTER_PANIC).await;
    assert_eq!(*faulty.seen.lock().unwrap(), ["1", "2"]);
    let report = pool.stop(Duration::ZERO).await;
    assert_eq!((report.counts.delivered, report.counts.panics), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_between_attempts_costs_what_is_in_hand_and_holds_up_nothing() {
    let (pool, faulty) = start();
    push(&pool, Some("alice"), &["1", "bad", "2"]);
    push(&pool, Some("bob"), &["3"]);
    // The circuit is open, and a probe goes after a moment.
    pass(Duration::from_secs(1)).await;
    let report = pool.stop(Duration::from_secs(60)).await;
    assert_eq!((report.counts.delivered, report.counts.rejected, report.counts.panics), (3, 1, 1));
    assert_eq!(report.recent.causes.rejected.as_deref(), Some("panic inside event_pusher"));
    let mut seen = faulty.seen.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, ["1", "2", "3", "bad"]);
}

/// A body that panics when it is freed.
struct Sticky;

impl AsRef<[u8]> for Sticky {
    fn as_ref(&self) -> &[u8] {
        b"sticky"
    }
}

impl Drop for Sticky {
    fn drop(&mut self) {
        panic!("as the test wants");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_ends_also_after_a_panic() {
    let age = Duration::from_secs(10);
    let rig =
        rig(PoolSettings { max_age: Some(age), ..settings(1, 100, 100_000) }, BatchLimits::SINGLE);
    rig.occupy().await;
    let sticky = Message { body: Bytes::from_owner(Sticky), ..message("topic", "", None) };
    rig.pool.push(sticky).unwrap();
    rig.push("topic", None, ["2", "3"]);
    pass(age).await;
    assert_eq!((rig.pool.stats().counts.expired, rig.pool.stats().counts.panics), (1, 1));
    pass(AFTER_PANIC).await;
    assert_eq!((rig.pool.stats().counts.expired, rig.pool.stats().counts.panics), (3, 1));
    rig.finish().await;
}

#[tokio::test]
async fn a_panic_of_the_reader_costs_one_message_until_the_next_start() {
    let dir = Dir::new();
    let rig = dir.rig(5);
    let bad = str::from_utf8(PANIC).unwrap();
    let bodies = ["1", "2", "3", "4", "5", "6", "7", bad, "8", "9"];
    rig.push("topic", Some("alice"), bodies);
    written(&rig, bodies.len() as u64).await;
    rig.gate.add_permits(1000);
    let stats = until(&rig, |stats| stats.levels.waiting == 0).await;
    assert_eq!((stats.counts.delivered, stats.counts.unreadable, stats.counts.panics), (9, 1, 1));
    assert_eq!(stats.levels.spool.as_ref().unwrap().ahead, 0, "so memory is used again");
    assert_eq!(rig.seen().concat(), ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    written(&rig, 1).await;
    rig.pool.stop(Duration::ZERO).await;
    let again = dir.rig(5);
    let stats = until(&again, |stats| stats.levels.waiting == 0).await;
    assert_eq!((stats.counts.restored, stats.counts.unreadable), (1, 1), "it was kept");
    again.push("topic", Some("alice"), ["10"]);
    again.gate.add_permits(1000);
    until(&again, |stats| stats.counts.delivered == 1).await;
}
