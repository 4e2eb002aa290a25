//! Destinations that are not ready: what is for them waits in the queue, and in nobody's way.

use super::*;

#[tokio::test(start_paused = true)]
async fn messages_to_a_destination_that_is_not_ready_stay_in_the_queue_and_others_go_on() {
    let rig = rig(settings(2, 100, 100_000), TEN);
    rig.gate.add_permits(100);
    rig.away(["a"]);
    rig.push("a", None, ["a1", "a2"]);
    rig.push("b", None, ["b1"]);
    rig.push("a", Some("alice"), ["a3"]);
    rig.push("c", None, ["c1"]);
    idle().await;
    let stats = rig.pool.stats();
    assert_eq!(
        (stats.counts.delivered, stats.levels.waiting, stats.levels.queue_events),
        (2, 3, 3)
    );
    assert!(stats.levels.queue_bytes > 0 && stats.levels.oldest.is_some());
    assert_eq!(rig.seen(), [["b1"], ["c1"]]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_destination_is_within_the_bounds() {
    let rig = rig(settings(1, 2, 100_000), BatchLimits::SINGLE);
    rig.away(["a"]);
    rig.push("a", None, ["1", "2"]);
    idle().await;
    assert_eq!(rig.pool.push(message("b", "3", None)), Err(Refusal::Full));
}

#[tokio::test(start_paused = true)]
async fn messages_leave_when_the_link_tells_that_their_destination_is_ready() {
    let rig = rig(settings(2, 100, 100_000), TEN);
    rig.gate.add_permits(100);
    rig.away(["a", "b"]);
    rig.push("a", None, ["a1", "a2"]);
    rig.push("b", Some("alice"), ["b1"]);
    idle().await;
    rig.away(["b"]);
    idle().await;
    assert_eq!(rig.seen(), [["a1", "a2"]]);
    rig.away([]);
    idle().await;
    assert_eq!(rig.seen().concat(), ["a1", "a2", "b1"]);
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.delivered, stats.levels.waiting, stats.levels.oldest), (3, 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_was_passed_over_keeps_its_turn() {
    let rig = rig(settings(1, 100, 100_000), BatchLimits::SINGLE);
    rig.away(["a"]);
    rig.push("occupied", None, ["first"]);
    idle().await;
    rig.push("a", None, ["a1", "a2"]);
    rig.push("b", None, ["b1", "b2", "b3"]);
    rig.gate.add_permits(1);
    idle().await;
    // The worker has passed over a1 and is busy with b1.
    rig.away([]);
    assert_eq!(rig.finish().await.concat(), ["first", "b1", "a1", "b2", "a2", "b3"]);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_no_longer_ready_keeps_the_rest_of_a_group_in_order() {
    let rig = rig(settings(3, 100, 100_000), BatchLimits::SINGLE);
    rig.push("a", Some("alice"), ["1", "2", "3"]);
    idle().await;
    rig.away(["a"]);
    rig.gate.add_permits(1);
    idle().await;
    assert_eq!((rig.seen().concat().join(""), rig.under_way()), ("1".into(), 0));
    rig.away([]);
    assert_eq!(rig.finish().await.concat(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_while_its_destination_ceases_to_be_ready_goes_back_and_frees_the_worker() {
    let fails_once = |body: &str| if body == "a2" { later_once() } else { Ok(()) };
    let three = BatchLimits { events: 3, bytes: 1000, per_group: 3 };
    let rig = rig_with(settings(1, 3, 100_000), three, fails_once);
    rig.push("a", Some("alice"), ["a1", "a2", "a3"]);
    idle().await;
    rig.push("a", Some("alice"), ["a4"]);
    rig.push("b", None, ["b1"]);
    // The attempt at a1 to a3 ends when a is away: a2 goes back, in front of a4.
    rig.away(["a"]);
    rig.gate.add_permits(100);
    idle().await;
    let stats = rig.pool.stats();
    assert_eq!(
        (
            stats.counts.delivered,
            stats.counts.retried,
            stats.levels.waiting,
            stats.levels.queue_events
        ),
        (3, 1, 2, 2)
    );
    assert_eq!(rig.seen(), [vec!["a1", "a2", "a3"], vec!["b1"]]);
    rig.away([]);
    assert_eq!(rig.finish().await.last().unwrap(), &["a2", "a4"]);
}

/// A failure for whoever asks first.
fn later_once() -> Result<(), Failure> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    match ASKED.fetch_add(1, Ordering::SeqCst) {
        0 => Err(Failure::transient("later")),
        _ => Ok(()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_waits_for_a_destination_to_be_ready() {
    let rig = rig(settings(3, 100, 100_000), BatchLimits::SINGLE);
    rig.gate.add_permits(100);
    rig.away(["a"]);
    rig.push("a", None, ["1", "2"]);
    rig.push("a", Some("alice"), ["3", "4", "5"]);
    let begin = tokio::time::Instant::now();
    let ready = async {
        sleep(Duration::from_secs(7)).await;
        rig.away([]);
    };
    // 0 s stop, 7 s ready, 60 s deadline: no worker waits for more than there is.
    let (report, ()) = tokio::join!(rig.pool.stop(Duration::from_secs(60)), ready);
    assert_eq!((report.counts.delivered, report.counts.closed, report.levels.waiting), (5, 0, 0));
    assert_eq!(begin.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_destination_at_the_deadline_is_closed() {
    let rig = rig(settings(3, 100, 100_000), BatchLimits::SINGLE);
    rig.gate.add_permits(100);
    rig.away(["a"]);
    rig.push("a", None, ["1", "2"]);
    rig.push("b", None, ["3"]);
    let begin = tokio::time::Instant::now();
    let report = rig.pool.stop(Duration::from_secs(7)).await;
    assert_eq!((report.counts.delivered, report.counts.closed, report.levels.waiting), (1, 2, 0));
    assert_eq!(
        (report.levels.queue_events, report.levels.queue_bytes, report.levels.oldest),
        (0, 0, None)
    );
    assert_eq!(begin.elapsed(), Duration::from_secs(7));
}
