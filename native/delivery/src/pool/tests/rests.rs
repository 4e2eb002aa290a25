//! Messages that the receiver does not take now: they wait in the queue, and in nobody's way.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

const TWO_OF_A_GROUP: BatchLimits = BatchLimits { events: 10, bytes: 1000, per_group: 2 };

/// Of a letter and a number, the letter says what becomes of it.
fn verdict(body: &str) -> Result<(), Failure> {
    match body.as_bytes()[0] {
        b'n' => Err(Failure::Nack { detail: "not now".into(), wait: Some(MINUTE) }),
        b'g' => Err(Failure::Nack { detail: "not now".into(), wait: None }),
        b'b' => Err(Failure::transient("behind")),
        _ => Ok(()),
    }
}

fn rig_of(workers: usize) -> Rig {
    let rig = rig_with(settings(workers, 100, 100_000), TWO_OF_A_GROUP, verdict);
    rig.gate.add_permits(100);
    rig
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_waits_in_the_queue_and_everything_else_goes_on() {
    let rig = rig_of(1);
    rig.push("a", Some("alice"), ["n1"]);
    rig.push("a", Some("bob"), ["n2"]);
    idle().await;
    rig.push("a", Some("alice"), ["1"]);
    rig.push("a", Some("carol"), ["2"]);
    rig.push("b", Some("alice"), ["3"]);
    idle().await;
    let stats = rig.pool.stats();
    assert_eq!(
        (stats.counts.delivered, stats.levels.queue_events, stats.levels.waiting),
        (2, 3, 3)
    );
    assert_eq!((stats.counts.nacks, stats.counts.retried, stats.counts.nacked), (2, 2, 0));
    assert_eq!(rig.seen(), [vec!["n1", "n2"], vec!["2"], vec!["3"]]);
}

#[tokio::test(start_paused = true)]
async fn a_group_goes_on_in_its_order_when_it_has_rested_whoever_is_idle() {
    let rig = rig_of(2);
    rig.push("a", Some("alice"), ["n1", "b2"]);
    idle().await;
    rig.push("a", Some("alice"), ["3"]);
    // The worker that has put them back is busy with another one when they have rested.
    pass(MINUTE / 2).await;
    rig.gate.forget_permits(100);
    rig.push("b", None, ["occupied"]);
    pass(MINUTE / 2 - Duration::from_secs(5)).await;
    assert_eq!(rig.under_way(), 1);
    pass(Duration::from_secs(10)).await;
    assert_eq!(rig.under_way(), 2);
    rig.gate.add_permits(2);
    idle().await;
    assert_eq!(rig.seen(), [vec!["n1", "b2"], vec!["occupied"], vec!["n1", "b2"]]);
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.nacks, stats.counts.retried, stats.levels.queue_events), (2, 4, 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_counted_under_its_own_cause() {
    let rig = rig_of(1);
    rig.push("a", Some("alice"), ["g1", "2"]);
    idle().await;
    let report = rig.pool.report();
    assert_eq!(
        (report.counts.nacked, report.counts.nacks, report.counts.delivered, report.levels.waiting),
        (1, 1, 1, 0)
    );
    assert_eq!(report.recent.causes.nacked.as_deref(), Some("not now"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_tries_once_more_what_rests_and_waits_no_longer() {
    let rig = rig_of(2);
    rig.push("a", Some("alice"), ["n1", "2"]);
    rig.push("a", Some("bob"), ["n3"]);
    idle().await;
    let begin = tokio::time::Instant::now();
    let report = rig.pool.stop(MINUTE).await;
    assert_eq!((report.counts.closed, report.counts.delivered, report.levels.waiting), (2, 1, 0));
    assert_eq!(
        (report.counts.nacks, report.levels.queue_events, begin.elapsed()),
        (4, 0, Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_tries_once_more_whatever_rests_and_however_much_that_is() {
    // More than one look lets go, at a destination that is not ready, and behind them one that is.
    const MANY: usize = 5000;
    let limits = BatchLimits { events: 100, bytes: 1 << 20, per_group: 1 };
    let rig = rig_with(settings(1, MANY + 1, 1 << 24), limits, verdict);
    rig.gate.add_permits(MANY);
    for number in 0..MANY {
        rig.push("a", Some(&number.to_string()), ["n"]);
    }
    idle().await;
    rig.push("b", Some("last"), ["n"]);
    idle().await;
    assert_eq!(rig.pool.stats().counts.nacks, MANY as u64 + 1);
    rig.away(["a"]);
    rig.pool.close();
    idle().await;
    assert_eq!(rig.pool.stats().counts.nacks, MANY as u64 + 2, "the one that is ready");
    rig.away([]);
    let report = rig.pool.stop(MINUTE).await;
    assert_eq!((report.counts.nacks, report.counts.closed), (2 * (MANY as u64 + 1), 5001));
}
