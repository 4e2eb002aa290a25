//! Destinations that share the workers: none of them is in the way of another.

use super::*;

#[tokio::test(start_paused = true)]
async fn attempts_that_do_not_end_leave_other_destinations_their_workers() {
    let rig = rig_for(2, settings(4, 100, 100_000), BatchLimits::SINGLE, |_| Ok(()));
    rig.push("a", None, ["a1", "a2", "a3", "a4", "a5"]);
    idle().await;
    // Nobody opens the gate: two workers have one message of a each, and two have none.
    assert_eq!((rig.under_way(), rig.pool.stats().levels.queue_events), (2, 3));
    rig.push("b", None, ["b1", "b2", "b3"]);
    idle().await;
    assert_eq!((rig.under_way(), rig.pool.stats().levels.queue_events), (4, 4));
    assert_eq!(rig.finish().await.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn all_others_together_leave_a_destination_its_worker() {
    let rig = rig_for(3, settings(4, 100, 100_000), BatchLimits::SINGLE, |_| Ok(()));
    rig.push("a", None, ["a1", "a2"]);
    rig.push("b", None, ["b1", "b2"]);
    idle().await;
    rig.push("c", None, ["c1"]);
    idle().await;
    assert_eq!((rig.under_way(), rig.pool.stats().levels.queue_events), (3, 2));
    assert_eq!(rig.finish().await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_becomes_free_is_taken_by_whoever_is_idle() {
    let rig = rig_for(3, settings(3, 100, 100_000), BatchLimits::SINGLE, |_| Ok(()));
    rig.push("a", None, ["a1", "a2", "a3"]);
    rig.gate.add_permits(3);
    idle().await;
    assert_eq!(rig.seen().concat(), ["a1", "a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn each_destination_has_a_worker_whatever_the_settings_say() {
    let rig = rig_for(3, settings(1, 100, 100_000), BatchLimits::SINGLE, |_| Ok(()));
    for destination in ["a", "b", "c"] {
        rig.push(destination, None, ["1", "2"]);
    }
    idle().await;
    assert_eq!((rig.under_way(), rig.pool.stats().levels.queue_events), (3, 3));
    assert_eq!(rig.finish().await.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_delivers_what_is_beyond_a_share() {
    let rig = rig_for(2, settings(4, 100, 100_000), BatchLimits::SINGLE, |_| Ok(()));
    rig.push("a", None, ["1", "2", "3", "4", "5", "6"]);
    idle().await;
    let begin = tokio::time::Instant::now();
    rig.gate.add_permits(100);
    let report = rig.pool.stop(Duration::from_secs(60)).await;
    assert_eq!((report.counts.delivered, report.counts.closed), (6, 0));
    assert!(begin.elapsed() < Duration::from_secs(60), "no worker waits for the deadline");
}
