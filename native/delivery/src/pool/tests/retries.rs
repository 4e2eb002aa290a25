//! Messages that are tried until they are too old: those that fail wait in the queue, where others
//! are taken.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Of a letter and a number, the letter says what becomes of it.
fn verdict(body: &str) -> Result<(), Failure> {
    match body.as_bytes()[0] {
        b'e' => Err(Failure::transient("500")),
        b'w' => Err(Failure::busy("429", Some(SECOND))),
        _ => Ok(()),
    }
}

/// A pool with one worker, whose messages may become a minute old.
fn rig(limits: BatchLimits, circuit_failures: Option<u32>) -> Rig {
    let retry = RetrySettings::new(Some(0), Some(MINUTE), 1000, 10_000);
    let settings = PoolSettings { retry, circuit_failures, ..settings(1, 100, 100_000) };
    let rig = rig_with(settings, limits, verdict);
    rig.gate.add_permits(1000);
    rig
}

#[tokio::test(start_paused = true)]
async fn what_nobody_ever_takes_has_no_worker_while_it_waits() {
    let rig = rig(BatchLimits::SINGLE, Some(10));
    rig.push("a", None, ["e1", "e2", "3", "4"]);
    idle().await;
    let stats = rig.pool.stats();
    assert_eq!(rig.seen(), [["e1"], ["e2"], ["3"], ["4"]]);
    assert_eq!((stats.levels.queue_events, stats.levels.in_flight), (2, 0));
    assert_eq!((stats.counts.retried, stats.levels.open_destinations), (2, 0));
    // All others go on meanwhile, and it ends when it is too old.
    for number in 5..30 {
        rig.push("a", None, [&*number.to_string()]);
        sleep(2 * SECOND).await;
        assert_eq!(rig.pool.stats().counts.delivered, number - 2);
    }
    sleep(MINUTE).await;
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.exhausted, stats.levels.waiting), (2, 0));
    assert!(stats.counts.retried > 4, "{:?}", stats.counts);
    assert_eq!(rig.pool.report().recent.causes.exhausted.as_deref(), Some("500"));
}

#[tokio::test(start_paused = true)]
async fn who_asks_to_wait_is_not_asked_by_others_meanwhile() {
    let rig = rig(BatchLimits::SINGLE, Some(10));
    rig.push("a", None, ["w1", "2"]);
    sleep(SECOND / 2).await;
    assert_eq!(rig.seen(), [["w1"]]);
    assert_eq!(rig.pool.stats().levels.queue_events, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_circuit_breaker_a_message_keeps_its_worker() {
    let rig = rig(BatchLimits::SINGLE, None);
    rig.push("a", None, ["e1", "2"]);
    sleep(SECOND).await;
    assert!(rig.seen().iter().all(|seen| *seen == ["e1"]));
    sleep(MINUTE).await;
    assert_eq!(rig.seen().last().unwrap(), &["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_group_waits_with_its_first_message_and_keeps_its_order() {
    let rig = rig(BatchLimits::SINGLE, Some(10));
    rig.push("a", Some("alice"), ["e1", "2"]);
    rig.push("a", Some("bob"), ["3"]);
    idle().await;
    assert_eq!(rig.seen(), [["e1"], ["3"]]);
    assert_eq!(rig.pool.stats().levels.queue_events, 2);
    sleep(2 * MINUTE).await;
    let seen = rig.seen();
    let second = seen.iter().position(|seen| *seen == ["2"]).unwrap();
    assert!(second == seen.len() - 1 && second > 3, "{seen:?}");
    let counts = rig.pool.stats().counts;
    assert_eq!((counts.delivered, counts.exhausted), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_each_waits_by_itself() {
    let rig = rig(TEN, Some(10));
    rig.push("a", None, ["e1", "2", "e3"]);
    idle().await;
    let counts = rig.pool.stats().counts;
    assert_eq!((rig.seen().len(), counts.delivered, counts.retried), (1, 1, 2));
    sleep(2 * MINUTE).await;
    assert!(rig.seen().iter().any(|seen| *seen == ["e1"]));
    assert_eq!(rig.pool.stats().counts.exhausted, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_tries_once_more_and_waits_no_longer() {
    let rig = rig(BatchLimits::SINGLE, Some(10));
    rig.push("a", None, ["e1", "e2"]);
    idle().await;
    let begin = tokio::time::Instant::now();
    let report = rig.pool.stop(MINUTE).await;
    assert_eq!((report.counts.closed, report.levels.queue_events), (2, 0));
    assert_eq!((rig.seen().len(), begin.elapsed()), (4, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn whoever_hurries_a_pool_has_it_tried_at_once() {
    let rig = rig(BatchLimits::SINGLE, Some(10));
    rig.push("a", None, ["e1"]);
    idle().await;
    rig.pool.retry_now();
    idle().await;
    assert!(rig.seen().len() > 1, "{:?}", rig.seen());
}
