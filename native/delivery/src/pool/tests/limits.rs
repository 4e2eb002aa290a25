//! A limit that pools share.

use super::*;

/// Two pools that share a limit, each with so many workers.
fn sharing(name: &str, attempts: usize, workers: usize) -> [Rig; 2] {
    let limit = Some(Limit::shared(name, attempts));
    let settings = PoolSettings { limit, ..settings(workers, 100, 100_000) };
    [(); 2].map(|()| rig(settings.clone(), BatchLimits::SINGLE))
}

#[tokio::test(start_paused = true)]
async fn pools_that_share_a_limit_never_exceed_it_together() {
    let pools = sharing("limits of pools", 3, 5);
    for rig in &pools {
        rig.push("topic", None, ["1", "2", "3", "4", "5", "6"]);
    }
    let [one, two] = &pools;
    for ended in 0..=12 {
        idle().await;
        let under_way = one.under_way() + two.under_way();
        assert_eq!(under_way, 3.min(12 - ended), "after {ended} of 12");
        let busy = if one.under_way() > 0 { one } else { two };
        busy.gate.add_permits(1);
    }
    for rig in &pools {
        assert_eq!(rig.finish().await.len(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_waits_for_a_slot_is_next() {
    let [busy, late] = sharing("turns of pools", 1, 1);
    busy.push("topic", None, ["1", "2", "3"]);
    idle().await;
    late.push("topic", None, ["late"]);
    idle().await;
    assert_eq!((busy.under_way(), late.under_way()), (1, 0));
    busy.gate.add_permits(1);
    idle().await;
    assert_eq!((busy.under_way(), late.under_way()), (0, 1), "before the second of the other pool");
    late.finish().await;
    busy.finish().await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_retry_takes_no_slot() {
    let limit = Some(Limit::shared("retries of pools", 1));
    let mut settings = PoolSettings { limit, ..settings(1, 100, 100_000) };
    settings.retry.base = Duration::from_secs(60);
    settings.retry.max = Duration::from_secs(60);
    let failing = rig_with(settings.clone(), BatchLimits::SINGLE, |_| Err(Failure::transient("")));
    let fine = rig(settings, BatchLimits::SINGLE);
    failing.gate.add_permits(1);
    failing.push("topic", None, ["fails"]);
    idle().await;
    assert_eq!(failing.pool.stats().counts.retried, 1);
    fine.push("topic", None, ["delivered meanwhile"]);
    idle().await;
    assert_eq!(fine.under_way(), 1);
    fine.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_cut_off_gives_its_slots_back() {
    let [hanging, waiting] = sharing("slots of a stopped pool", 2, 2);
    hanging.push("topic", None, ["1", "2", "3"]);
    idle().await;
    waiting.push("topic", None, ["1"]);
    idle().await;
    assert_eq!((hanging.under_way(), waiting.under_way()), (2, 0));
    assert_eq!(hanging.pool.stop(Duration::ZERO).await.counts.closed, 3);
    assert_eq!(waiting.finish().await, [["1"]]);
}
