//! Several messages of one group in one batch, for a backend that answers for their order.

use super::*;

const FIVE_OF_A_GROUP: BatchLimits = BatchLimits { events: 8, bytes: 1000, per_group: 5 };

#[tokio::test(start_paused = true)]
async fn a_batch_takes_of_each_group_as_many_as_the_target_permits() {
    let rig = rig(settings(1, 100, 100_000), FIVE_OF_A_GROUP);
    rig.push("occupied", None, ["first"]);
    idle().await;
    rig.push("topic", Some("alice"), ["a0", "a1", "a2", "a3", "a4", "a5", "a6"]);
    rig.push("topic", Some("bob"), ["b0", "b1", "b2", "b3"]);
    let batches: Vec<_> = rig.finish().await.iter().map(|batch| batch.join(" ")).collect();
    assert_eq!(batches, ["first", "a0 a1 a2 a3 a4 b0 b1 b2", "a5 a6 b3"]);
}

#[tokio::test(start_paused = true)]
async fn while_a_batch_of_a_group_is_on_its_way_no_other_worker_gets_the_group() {
    let rig = rig(settings(3, 100, 100_000), FIVE_OF_A_GROUP);
    rig.push("topic", Some("alice"), ["a0"]);
    idle().await;
    rig.push("topic", Some("alice"), ["a1", "a2"]);
    rig.push("topic", Some("bob"), ["b0"]);
    rig.push("topic", None, ["free"]);
    // The same name at another destination is another group.
    rig.push("elsewhere", Some("alice"), ["e0"]);
    idle().await;
    let stats = rig.pool.stats();
    assert_eq!((rig.under_way(), stats.levels.queue_events), (3, 2), "a1 and a2 wait for a0");
    rig.gate.add_permits(1);
    idle().await;
    assert_eq!((rig.under_way(), rig.pool.stats().levels.queue_events), (3, 0), "they go together");
    let batches: Vec<_> = rig.finish().await.iter().map(|batch| batch.join(" ")).collect();
    assert_eq!(batches, ["a0", "free b0", "e0", "a1 a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_free_again_only_when_every_message_of_its_batch_has_ended() {
    let limits = BatchLimits { per_group: 2, ..FIVE_OF_A_GROUP };
    let verdict = |body: &str| match body {
        "fails" => Err(Failure::transient("later")),
        _ => Ok(()),
    };
    let rig = rig_with(settings(2, 100, 100_000), limits, verdict);
    rig.push("topic", Some("alice"), ["fails", "second", "third"]);
    let batches: Vec<_> = rig.finish().await.iter().map(|batch| batch.join(" ")).collect();
    // The first attempt, the retry of what failed, and only then the rest of the group.
    assert_eq!(batches, ["fails second", "fails", "third"]);
}

#[tokio::test(start_paused = true)]
async fn groups_keep_their_order_whatever_the_workers_do() {
    let rig = rig(settings(4, 1000, 1 << 20), FIVE_OF_A_GROUP);
    for index in 0..40 {
        for group in ["alice", "bob", "carol"] {
            let body = format!("{group} {index:02}");
            rig.pool.push(message("topic", &body, Some(group))).unwrap();
        }
        // Batches of all sizes.
        rig.gate.add_permits(index % 3);
        idle().await;
    }
    let order = rig.finish().await.concat();
    assert_eq!(order.len(), 120);
    for group in ["alice", "bob", "carol"] {
        let of_group: Vec<_> = order.iter().filter(|body| body.starts_with(group)).collect();
        assert!(of_group.is_sorted(), "{of_group:?}");
    }
}
