//! What operators do to a pool that runs.

use super::*;
use crate::health::State;

const LONG: Duration = Duration::from_secs(60);

/// Failures are repeated after half a minute at least.
fn patient(workers: usize) -> PoolSettings {
    let retry = RetrySettings { end: RetryEnd::Count(5), base: LONG, max: LONG };
    PoolSettings { retry, ..settings(workers, 1000, 1_000_000) }
}

fn push(rig: &Rig, bodies: &[&str]) {
    bodies.iter().for_each(|body| rig.pool.push(message("topic", body, Some(body))).unwrap());
}

async fn idle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_pool_accepts_and_attempts_nothing() {
    let rig = rig(settings(4, 10, 1_000_000), BatchLimits::SINGLE);
    rig.gate.add_permits(100);
    rig.pool.pause();
    rig.pool.pause();
    push(&rig, &["1", "2"]);
    sleep(LONG).await;
    let stats = rig.pool.stats();
    assert_eq!((rig.begun.load(Ordering::SeqCst), stats.levels.queue_events), (0, 2));
    assert_eq!((stats.status.state, stats.status.since), (State::Degraded, LONG));
    assert_eq!(stats.status.cause.as_deref(), Some("paused"));
    rig.pool.resume();
    idle().await;
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.delivered, stats.status.state), (2, State::Connected));
}

#[tokio::test(start_paused = true)]
async fn a_pause_lets_attempts_end_and_takes_back_what_waits_for_one() {
    let rig = rig_with(patient(2), BatchLimits::SINGLE, |body| match body {
        "bad" => Err(Failure::transient("503")),
        _ => Ok(()),
    });
    push(&rig, &["bad", "good"]);
    idle().await;
    rig.gate.add_permits(1);
    idle().await;
    assert_eq!(rig.pool.stats().levels.in_flight, 2, "one waits, and one is under way");
    rig.pool.pause();
    idle().await;
    let levels = rig.pool.stats().levels;
    assert_eq!((levels.in_flight, levels.queue_events), (1, 1));
    rig.gate.add_permits(100);
    sleep(LONG).await;
    assert_eq!((rig.pool.stats().counts.delivered, rig.begun.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_limit_makes_no_attempt_at_a_pool_that_was_paused() {
    let limit = Limit::shared("levers", 1);
    let settings =
        PoolSettings { limit: Some(limit.clone()), circuit_failures: Some(1), ..patient(2) };
    let rig = rig_with(settings, BatchLimits::SINGLE, |body| match body {
        "bad" => Err(Failure::transient("503")),
        _ => Ok(()),
    });
    push(&rig, &["bad", "good"]);
    rig.gate.add_permits(1);
    idle().await;
    assert_eq!(rig.pool.stats().levels.open_destinations, 1);
    // The probe waits for the place that this test has.
    let place = limit.acquire().await;
    rig.pool.retry_now();
    idle().await;
    rig.pool.pause();
    drop(place);
    idle().await;
    assert_eq!(rig.begun.load(Ordering::SeqCst), 1);
    rig.gate.add_permits(100);
    rig.pool.resume();
    idle().await;
    assert!(rig.begun.load(Ordering::SeqCst) > 1, "the next probe goes");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_pause() {
    let rig = rig(settings(1, 10, 1_000_000), BatchLimits::SINGLE);
    rig.gate.add_permits(100);
    rig.pool.pause();
    push(&rig, &["1", "2"]);
    idle().await;
    let report = rig.pool.stop(LONG).await;
    assert_eq!((report.counts.delivered, report.status.state), (2, State::Stopped));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_waits_for_its_time_goes_at_once_if_that_is_wanted() {
    let rig = rig_with(patient(1), BatchLimits::SINGLE, |_| Err(Failure::transient("503")));
    rig.gate.add_permits(100);
    push(&rig, &["bad"]);
    for attempts in 1..5 {
        idle().await;
        assert_eq!(rig.begun.load(Ordering::SeqCst), attempts);
        rig.pool.retry_now();
    }
}

#[tokio::test(start_paused = true)]
async fn groups_that_rest_and_probes_go_at_once_too() {
    let rig = rig_with(patient(1), BatchLimits::SINGLE, |_| {
        Err(Failure::Nack { detail: "full".into(), wait: Some(LONG) })
    });
    rig.gate.add_permits(100);
    push(&rig, &["1", "2", "3"]);
    idle().await;
    assert_eq!(rig.begun.load(Ordering::SeqCst), 3);
    rig.pool.retry_now();
    idle().await;
    assert_eq!(rig.begun.load(Ordering::SeqCst), 6, "each once, and then they rest again");
    let probing = PoolSettings { circuit_failures: Some(1), ..patient(1) };
    let probed = rig_with(probing, BatchLimits::SINGLE, |_| Err(Failure::transient("503")));
    probed.gate.add_permits(100);
    push(&probed, &["1"]);
    idle().await;
    probed.pool.retry_now();
    idle().await;
    assert_eq!(probed.begun.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_dropped_and_what_is_young_stays() {
    let rig = rig(settings(1, 10_000, 10_000_000), BatchLimits::SINGLE);
    rig.pool.pause();
    for number in 0..3000 {
        push(&rig, &[&number.to_string()]);
    }
    sleep(LONG).await;
    push(&rig, &["young"]);
    assert_eq!(rig.pool.purge(2 * LONG), 0, "nothing is that old");
    assert_eq!(rig.pool.purge(LONG), 3000);
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.purged, stats.levels.queue_events), (3000, 1));
    assert_eq!(stats.counts.accepted, stats.counts.purged + stats.levels.waiting);
    rig.gate.add_permits(1);
    rig.pool.resume();
    idle().await;
    assert_eq!(rig.seen().concat(), ["young"]);
    assert_eq!(rig.pool.purge(Duration::ZERO), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_next_attempt_is_dropped_and_what_is_under_way_is_not() {
    let rig = rig_with(patient(2), BatchLimits::SINGLE, |body| match body {
        "bad" => Err(Failure::transient("503")),
        _ => Ok(()),
    });
    push(&rig, &["bad", "good"]);
    rig.gate.add_permits(1);
    idle().await;
    rig.pool.purge(Duration::ZERO);
    idle().await;
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.purged, stats.levels.in_flight), (1, 1));
    rig.gate.add_permits(1);
    idle().await;
    assert_eq!(rig.pool.stats().counts.delivered, 1);
}
