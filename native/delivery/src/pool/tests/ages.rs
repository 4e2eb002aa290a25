//! Messages that grow too old.

use super::*;

const AGE: Duration = Duration::from_secs(60);

/// More than it takes until somebody looks.
const SOON: Duration = Duration::from_millis(50);

fn aging(workers: usize) -> PoolSettings {
    PoolSettings { max_age: Some(AGE), ..settings(workers, 10_000, 10_000_000) }
}

fn verdict(body: &str) -> Result<(), Failure> {
    match body.as_bytes()[0] {
        b'n' => Err(Failure::Nack { detail: "not now".into(), wait: Some(2 * AGE) }),
        b'f' => Err(Failure::transient("later")),
        _ => Ok(()),
    }
}

fn expired(rig: &Rig) -> (u64, u64, usize) {
    let Stats { counts, levels, .. } = rig.pool.stats();
    (counts.expired, levels.waiting, levels.queue_events)
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_too_long_expires_while_all_workers_are_busy() {
    let rig = rig(aging(1), BatchLimits::SINGLE);
    rig.occupy().await;
    rig.push("a", None, ["1", "2"]);
    rig.push("b", Some("alice"), ["3"]);
    pass(AGE / 2).await;
    rig.push("b", Some("alice"), ["4"]);
    assert_eq!(expired(&rig), (0, 5, 4));
    pass(AGE / 2 + SOON).await;
    assert_eq!(expired(&rig), (3, 2, 1));
    let report = rig.pool.report();
    assert_eq!(
        report.recent.causes.expired.as_deref(),
        Some("waited longer than queue.max_age_ms")
    );
    // An attempt under way is not cut off, and what follows in a group goes.
    assert_eq!(rig.finish().await, [["first"], ["4"]]);
    assert_eq!(rig.pool.stats().levels.queue_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_destination_expires_and_the_end_of_a_closed_pool_comes_with_it() {
    let rig = rig(aging(3), BatchLimits::SINGLE);
    rig.away(["a"]);
    rig.push("a", None, ["1", "2"]);
    rig.push("a", Some("alice"), ["3"]);
    let begin = tokio::time::Instant::now();
    let report = rig.pool.stop(2 * AGE).await;
    assert_eq!((report.counts.expired, report.counts.closed, report.levels.waiting), (3, 0, 0));
    assert!((AGE..AGE + SOON).contains(&begin.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_rests_expires_and_is_forgotten() {
    let rig = rig_with(aging(1), BatchLimits::SINGLE, verdict);
    rig.gate.add_permits(100);
    rig.push("a", Some("alice"), ["n1", "2"]);
    idle().await;
    assert_eq!(expired(&rig), (0, 2, 2));
    pass(AGE + SOON).await;
    assert_eq!(expired(&rig), (2, 0, 0));
    rig.push("a", Some("alice"), ["3"]);
    idle().await;
    assert_eq!(rig.seen(), [["n1"], ["3"]]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_expires_in_time_even_if_all_others_are_younger() {
    let rig = rig_with(aging(1), BatchLimits::SINGLE, verdict);
    rig.push("a", None, ["f1"]);
    idle().await;
    pass(AGE / 2).await;
    rig.away(["a"]);
    rig.push("a", None, ["2"]);
    rig.gate.add_permits(1);
    idle().await;
    assert_eq!(expired(&rig), (0, 2, 2));
    pass(AGE / 2 + SOON).await;
    assert_eq!(expired(&rig), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn many_that_are_too_old_at_once_all_expire() {
    let rig = rig(aging(1), BatchLimits::SINGLE);
    rig.occupy().await;
    for number in 0..3000 {
        rig.push("a", Some(&number.to_string()), ["of many"]);
    }
    pass(AGE + SOON).await;
    assert_eq!(expired(&rig), (3000, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_bound_nothing_expires() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.away(["a"]);
    rig.push("a", None, ["1"]);
    pass(AGE * 1000).await;
    assert_eq!(expired(&rig), (0, 1, 1));
}
