//! Many messages, slow receivers, and a stop in the middle of it.

use std::collections::HashSet;
use std::time::Duration;

use event_pusher_delivery::Refusal;
use event_pusher_receiver::{Fault, HttpConfig, HttpServer};
use tokio::time::timeout;

use crate::rig::{Setup, message, pool, push, seen, server, until};
use crate::support::{PATIENCE, settled};

#[tokio::test]
async fn no_more_requests_are_in_flight_than_there_are_workers() {
    let server = server();
    let pool = pool(&server, Setup { workers: 50, ..Setup::default() });
    server.hold();
    push(&pool, 400);
    seen(&server, |stats| stats.waiting == 50).await;
    assert_eq!(pool.stats().levels.queue_events, 350);
    server.release();
    assert_eq!(settled(&pool).await.counts.delivered, 400);
    let stats = server.stats();
    assert_eq!((stats.max_in_flight, stats.messages), (50, 400));
    let bodies: HashSet<_> = server.messages().into_iter().map(|it| it.body).collect();
    assert_eq!(bodies.len(), 400);
}

#[tokio::test]
async fn pools_that_share_a_limit_never_exceed_it_together() {
    let server = server();
    let setup = Setup { workers: 50, limit: Some("pools_that_share_a_limit"), ..Setup::default() };
    let pools = [pool(&server, setup.clone()), pool(&server, setup)];
    server.hold();
    for pool in &pools {
        push(pool, 200);
    }
    for pool in &pools {
        // Every worker has a message; half of them have to wait for the others.
        until(pool, |report| report.levels.queue_events == 150).await;
    }
    seen(&server, |stats| stats.waiting == 50).await;
    let one_more = server.until(|stats| stats.waiting > 50);
    assert!(timeout(Duration::from_millis(100), one_more).await.is_err());
    server.release();
    for pool in &pools {
        assert_eq!(settled(pool).await.counts.delivered, 200);
    }
    assert_eq!(server.stats().max_in_flight, 50);
}

#[tokio::test]
async fn a_receiver_that_hangs_slows_no_other_pool() {
    let (hanging, fine) = (server(), server());
    let stuck = pool(&hanging, Setup { workers: 5, ..Setup::default() });
    let free = pool(&fine, Setup { workers: 5, ..Setup::default() });
    hanging.hold();
    push(&stuck, 100);
    seen(&hanging, |stats| stats.waiting == 5).await;
    push(&free, 200);
    assert_eq!(settled(&free).await.counts.delivered, 200);
    let report = stuck.stats();
    assert_eq!((report.counts.delivered, report.levels.waiting), (0, 100));
    hanging.release();
    assert_eq!(settled(&stuck).await.counts.delivered, 100);
}

#[tokio::test]
async fn a_pool_that_stops_under_load_delivers_what_it_accepted() {
    let delay = Duration::from_millis(5);
    let server = HttpServer::start(HttpConfig { delay, ..HttpConfig::default() });
    let pool = pool(&server, Setup { workers: 5, ..Setup::default() });
    push(&pool, 100);
    seen(&server, |stats| stats.in_flight == 5).await;
    let late = async {
        until(&pool, |report| report.counts.delivered > 5).await;
        pool.push(message("late"))
    };
    let (report, late) = tokio::join!(pool.stop(PATIENCE), late);
    assert_eq!(late, Err(Refusal::Closed));
    assert_eq!(
        (report.counts.accepted, report.counts.delivered, report.counts.closed),
        (100, 100, 0)
    );
    assert_eq!((report.levels.waiting, report.counts.refused_closed), (0, 1));
}

#[tokio::test]
async fn a_pool_reports_as_closed_what_it_could_not_deliver_before_its_deadline() {
    let server = server();
    server.script(vec![Fault::Pass; 10]);
    server.always(Fault::Hang);
    let pool = pool(&server, Setup { workers: 2, ..Setup::default() });
    push(&pool, 30);
    seen(&server, |stats| stats.requests == 12).await;
    until(&pool, |report| report.counts.delivered == 10).await;
    let report = pool.stop(Duration::from_millis(50)).await;
    assert_eq!(
        (report.counts.accepted, report.counts.delivered, report.counts.closed),
        (30, 10, 20)
    );
    assert_eq!(
        (report.levels.waiting, report.levels.queue_events, report.levels.queue_bytes),
        (0, 0, 0)
    );
    seen(&server, |stats| stats.in_flight == 0).await;
    assert_eq!(server.stats().requests, 12, "nothing is sent after the end");
}
