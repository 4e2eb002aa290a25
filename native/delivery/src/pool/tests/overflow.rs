//! New messages that make room for themselves.

use super::*;

/// A rig with one worker, which is busy.
async fn busy(max_events: usize, max_bytes: usize) -> Rig {
    let settings = settings(1, max_events, max_bytes);
    let rig = rig(PoolSettings { on_full: OnFull::DropOld, ..settings }, BatchLimits::SINGLE);
    rig.occupy().await;
    rig
}

fn full(rig: &Rig) -> (u64, u64, usize) {
    let Stats { counts, levels, .. } = rig.pool.stats();
    (counts.full, counts.refused_full, levels.queue_events)
}

#[tokio::test(start_paused = true)]
async fn a_new_message_takes_the_place_of_what_has_waited_longest() {
    let rig = busy(3, 100_000).await;
    rig.push("a", Some("alice"), ["a1"]);
    rig.push("b", None, ["b1"]);
    // Somebody looks, so that some wait in lanes and some do not.
    assert_eq!(rig.pool.stats().levels.queue_events, 2);
    rig.push("a", Some("alice"), ["a2"]);
    assert_eq!(full(&rig), (0, 0, 3));
    rig.push("a", Some("alice"), ["a3", "a4"]);
    assert_eq!(full(&rig), (2, 0, 3));
    let report = rig.pool.report();
    assert_eq!(
        (report.counts.accepted, report.levels.waiting),
        (6, 4),
        "the busy one is not dropped"
    );
    assert_eq!(rig.finish().await.concat(), ["first", "a2", "a3", "a4"]);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_takes_the_place_of_several() {
    let footprint = message("a", "1", None).footprint();
    let rig = busy(100, 5 * footprint).await;
    rig.push("a", None, ["1", "2", "3", "4", "5"]);
    let large = "x".repeat(footprint);
    rig.push("a", None, [large.as_str()]);
    assert_eq!(full(&rig), (2, 0, 4));
    assert_eq!(rig.finish().await.concat(), ["first", "3", "4", "5", &large]);
    assert_eq!(rig.pool.stats().levels.queue_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_can_never_fit_drops_no_other() {
    let rig = busy(100, 2000).await;
    rig.push("a", None, ["1"]);
    assert_eq!(rig.pool.push(message("a", &"x".repeat(2000), None)), Err(Refusal::Full));
    assert_eq!((rig.pool.admits(2001), rig.pool.admits(2000)), (Err(Refusal::Full), Ok(())));
    assert_eq!(full(&rig), (0, 2, 1));
    rig.finish().await;
}

#[tokio::test(start_paused = true)]
async fn while_a_worker_looks_the_new_one_is_refused() {
    let rig = busy(1, 100_000).await;
    rig.push("a", None, ["1"]);
    let looking = rig.pool.shared.queue.hold();
    assert_eq!(rig.pool.push(message("a", "2", None)), Err(Refusal::Full));
    drop(looking);
    assert_eq!(rig.pool.push(message("a", "3", None)), Ok(()));
    assert_eq!(full(&rig), (1, 1, 1));
    rig.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_rests_loses_its_oldest_first() {
    let settings = PoolSettings { on_full: OnFull::DropOld, ..settings(1, 2, 100_000) };
    let rig = rig_with(settings, BatchLimits::SINGLE, |body| match body {
        "n1" => Err(Failure::Nack { detail: "full".into(), wait: Some(Duration::from_secs(60)) }),
        _ => Ok(()),
    });
    rig.gate.add_permits(100);
    rig.push("a", Some("alice"), ["n1", "2"]);
    idle().await;
    rig.push("a", Some("alice"), ["3"]);
    assert_eq!(full(&rig), (1, 0, 2));
    pass(Duration::from_secs(61)).await;
    assert_eq!(rig.seen().concat(), ["n1", "2", "3"]);
}

/// A scheduler must not wait for a worker that has lost its processor meanwhile.
#[tokio::test]
async fn whoever_asks_or_pulls_a_lever_does_not_wait_for_who_looks_into_the_queue() {
    let rig = rig(settings(1, 10, 100_000), BatchLimits::SINGLE);
    rig.occupy().await;
    rig.push("topic", None, ["1"]);
    let oldest = rig.pool.stats().levels.oldest.unwrap();
    let looking = rig.pool.shared.queue.hold();
    let (sender, done) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let pool = &rig.pool;
            pool.pause();
            pool.resume();
            pool.retry_now();
            let (stats, report) = (pool.stats(), pool.report());
            pool.close();
            sender.send((stats.levels.oldest, report.levels.oldest)).unwrap();
        });
        let asked = done.recv_timeout(Duration::from_secs(30));
        drop(looking);
        let (stats, report) = asked.expect("nobody waits");
        assert!(stats.is_some_and(|age| age >= oldest) && report >= stats);
    });
    assert_eq!(rig.pool.push(message("topic", "2", None)), Err(Refusal::Closed));
    assert_eq!(rig.finish().await.len(), 2);
}
