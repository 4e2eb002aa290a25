//! Pools that have a spool, on a real disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::disk::{DiskSettings, SpoolOptions};
use crate::observer::Counts;
use event_pusher_spool::SyncOption;

/// A directory that is removed in the end.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("durability-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// What would be there after a crash at this moment.
    fn after_crash(&self) -> Self {
        let copy = Self::new();
        copy_all(&self.0, &copy.0);
        copy
    }

    fn disk(&self, options: impl FnOnce(&mut SpoolOptions)) -> Disk {
        let mut plain = SpoolOptions {
            dir: self.0.join("spool").to_str().unwrap().into(),
            max_bytes: 64 << 20,
            sync: SyncOption::Ms(1),
            max_age_ms: None,
        };
        options(&mut plain);
        let settings = DiskSettings { spool: plain.check().unwrap(), log: "sns localhost".into() };
        Disk::open(&settings, || {}).unwrap()
    }

    pub(super) fn rig(&self, max_events: usize) -> Rig {
        rig_of(self.disk(|_| {}), max_events)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // The writer of a pool that was not stopped may still make a file.
        while let Err(error) = fs::remove_dir_all(&self.0) {
            assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty);
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn rig_of(disk: Disk, max_events: usize) -> Rig {
    let settings = settings(1, max_events, 10_000_000);
    rig_on(Some(disk), 1, settings, BatchLimits::SINGLE, |_| Ok(()))
}

/// Waits until the pool is as wanted; what was accepted adds up at every look.
pub(super) async fn until(rig: &Rig, wanted: impl Fn(&Stats) -> bool) -> Stats {
    let looking = async {
        loop {
            let stats = rig.pool.stats();
            let Counts { accepted, delivered, kept, .. } = stats.counts;
            let known = delivered + stats.counts.dropped() + kept + stats.levels.waiting;
            assert_eq!(accepted, known, "{stats:?}");
            if wanted(&stats) {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), looking).await.expect("the pool is never as wanted")
}

pub(super) async fn written(rig: &Rig, events: u64) {
    until(rig, |stats| stats.levels.spool.as_ref().unwrap().events == events).await;
}

async fn delivered(rig: &Rig, events: u64) -> Vec<String> {
    rig.gate.add_permits(1_000_000);
    until(rig, |stats| stats.counts.delivered == events && stats.levels.waiting == 0).await;
    written(rig, 0).await;
    rig.seen().concat()
}

fn push(rig: &Rig, bodies: impl Iterator<Item = usize>) -> Vec<String> {
    let bodies: Vec<_> = bodies.map(|body| body.to_string()).collect();
    for body in &bodies {
        rig.pool.push(message("topic", body, Some("alice"))).unwrap();
    }
    bodies
}

#[tokio::test]
async fn what_a_crash_leaves_on_disk_is_delivered_after_it_in_its_order() {
    let dir = Dir::new();
    let rig = dir.rig(1000);
    let bodies = push(&rig, 0..100);
    written(&rig, 100).await;
    let left = dir.after_crash();
    let after = left.rig(10);
    let stats = after.pool.stats();
    assert_eq!(
        (stats.counts.accepted, stats.counts.restored, stats.levels.waiting),
        (100, 100, 100)
    );
    assert_eq!(delivered(&after, 100).await, bodies);
}

#[tokio::test]
async fn what_has_ended_before_a_crash_does_not_come_again() {
    let dir = Dir::new();
    let rig = dir.rig(1000);
    let bodies = push(&rig, 0..10);
    written(&rig, 10).await;
    rig.gate.add_permits(4);
    written(&rig, 6).await;
    let after = dir.after_crash();
    let after = after.rig(1000);
    assert_eq!(delivered(&after, 6).await, bodies[4..]);
}

#[tokio::test]
async fn what_ends_in_time_never_touches_the_disk() {
    let dir = Dir::new();
    let rig = rig_of(dir.disk(|options| options.sync = SyncOption::Ms(60_000)), 1000);
    rig.gate.add_permits(1_000_000);
    push(&rig, 0..100);
    until(&rig, |stats| stats.counts.delivered == 100).await;
    rig.pool.stop(Duration::from_secs(60)).await;
    assert_eq!(rig.pool.stats().levels.spool.unwrap().bytes, 0);
}

#[tokio::test]
async fn a_stop_leaves_on_disk_what_it_cannot_deliver() {
    let dir = Dir::new();
    let rig = dir.rig(5);
    let bodies = push(&rig, 0..100);
    let stopped = rig.pool.stop(Duration::ZERO).await;
    assert_eq!((stopped.counts.kept, stopped.counts.closed), (100, 0));
    assert_eq!(stopped.levels.waiting, 0);
    assert_eq!(rig.pool.push(message("topic", "late", None)), Err(Refusal::Closed));
    let again = dir.rig(5);
    assert_eq!(delivered(&again, 100).await, bodies);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_memory_has_no_room_for_waits_on_disk_and_keeps_its_order() {
    let dir = Dir::new();
    let rig = dir.rig(10);
    let mut bodies = push(&rig, 0..2000);
    let stats = rig.pool.stats();
    assert_eq!((stats.counts.refused_full, stats.levels.waiting), (0, 2000));
    assert!(stats.levels.queue_events <= 10, "{stats:?}");
    // Also while some of it comes back.
    rig.gate.add_permits(500);
    bodies.extend(push(&rig, 2000..4000));
    until(&rig, |stats| stats.counts.delivered == 500).await;
    bodies.extend(push(&rig, 4000..4100));
    rig.gate.add_permits(3600);
    until(&rig, |stats| stats.counts.delivered == 4100).await;
    // All is in memory again.
    bodies.extend(push(&rig, 4100..4105));
    assert_eq!(rig.pool.stats().levels.spool.unwrap().ahead, 0);
    assert_eq!(delivered(&rig, 4105).await, bodies);
}

#[tokio::test]
async fn a_full_spool_refuses_what_memory_has_no_room_for() {
    let dir = Dir::new();
    let rig = rig_of(dir.disk(|options| options.max_bytes = 1 << 20), 2);
    let body = "x".repeat(100_000);
    let accepted =
        (0..30).filter(|_| rig.pool.push(message("topic", &body, None)).is_ok()).count() as u64;
    assert!((2..14).contains(&accepted), "{accepted} of 100 kB each");
    let stats = until(&rig, |stats| stats.levels.spool.as_ref().unwrap().trouble.is_some()).await;
    assert_eq!(stats.counts.refused_full, 30 - accepted);
    assert_eq!(stats.levels.spool.unwrap().trouble.as_deref(), Some("spool.max_bytes is reached"));
    assert_eq!(delivered(&rig, accepted).await.len() as u64, accepted);
    assert_eq!(until(&rig, |_| true).await.levels.spool.unwrap().trouble, None);
}

#[tokio::test]
async fn what_a_disk_cannot_take_is_counted_as_unsaved_and_delivered_when_it_can() {
    let dir = Dir::new();
    let rig = dir.rig(10);
    let log = log_dir(&dir);
    fs::remove_dir(&log).unwrap();
    fs::write(&log, "in the way").unwrap();
    // Into memory, and then to the disk alone, as long as nobody knows.
    let mut bodies: Vec<_> = (0..20).map(|body| body.to_string()).collect();
    bodies.retain(|body| rig.pool.push(message("topic", body, Some("alice"))).is_ok());
    let taken = bodies.len() as u64;
    assert!(taken >= 10, "{taken}");
    until(&rig, |stats| stats.levels.spool.as_ref().unwrap().trouble.is_some()).await;
    assert_eq!(rig.pool.push(message("topic", "refused", Some("alice"))), Err(Refusal::Full));
    until(&rig, |stats| stats.counts.unsaved == taken).await;
    fs::remove_file(&log).unwrap();
    until(&rig, |stats| stats.levels.spool.as_ref().unwrap().trouble.is_none()).await;
    bodies.extend(push(&rig, 20..30));
    assert_eq!(delivered(&rig, taken + 10).await, bodies);
    assert_eq!(rig.pool.stats().counts.unsaved, taken);
}

#[tokio::test]
async fn what_is_damaged_is_counted_and_all_else_delivered() {
    let dir = Dir::new();
    let rig = dir.rig(1000);
    push(&rig, 0..100);
    written(&rig, 100).await;
    rig.pool.stop(Duration::ZERO).await;
    damage(&dir);
    let again = dir.rig(1000);
    again.gate.add_permits(1000);
    let stats = until(&again, |stats| stats.levels.waiting == 0).await;
    assert_eq!(
        (stats.counts.restored, stats.counts.delivered, stats.counts.unreadable),
        (100, 99, 1)
    );
    let told = until_told(&again).await;
    assert!(told.contains("could not be read; set aside"), "{told}");
}

#[tokio::test]
async fn what_is_damaged_while_it_waits_costs_itself() {
    let dir = Dir::new();
    let rig = dir.rig(5);
    push(&rig, 0..200);
    written(&rig, 200).await;
    damage(&dir);
    rig.gate.add_permits(1000);
    let stats = until(&rig, |stats| stats.levels.waiting == 0).await;
    assert_eq!((stats.counts.delivered, stats.counts.unreadable), (199, 1));
    assert_eq!(stats.levels.spool.unwrap().ahead, 0);
}

/// Flips a bit in the middle of the largest file of the only log.
fn damage(dir: &Dir) {
    let largest =
        paths(&log_dir(dir)).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
}

/// Of the only log.
fn log_dir(dir: &Dir) -> PathBuf {
    paths(&dir.0.join("spool")).find(|path| path.is_dir()).unwrap()
}

fn paths(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path())
}

async fn until_told(rig: &Rig) -> String {
    loop {
        if let Some(told) = rig.pool.report().recent.troubles.pop() {
            return told;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_waited_on_disk_for_too_long_has_expired() {
    let dir = Dir::new();
    let rig = dir.rig(1000);
    push(&rig, 0..10);
    written(&rig, 10).await;
    rig.pool.stop(Duration::ZERO).await;
    sleep(Duration::from_millis(20)).await;
    let again = rig_of(dir.disk(|options| options.max_age_ms = Some(10)), 1000);
    let stats = until(&again, |stats| stats.levels.waiting == 0).await;
    assert_eq!((stats.counts.expired, stats.counts.delivered), (10, 0));
    let cause = again.pool.report().recent.causes.expired.unwrap();
    assert_eq!(cause, "waited on disk longer than spool.max_age_ms");
}

#[tokio::test]
async fn pools_of_one_directory_share_a_spool_and_its_options() {
    let dir = Dir::new();
    let first = dir.disk(|_| {});
    let settings = |log: &str, max_bytes| DiskSettings {
        spool: SpoolOptions {
            dir: dir.0.join("spool").to_str().unwrap().into(),
            max_bytes,
            sync: SyncOption::Ms(1),
            max_age_ms: None,
        }
        .check()
        .unwrap(),
        log: log.into(),
    };
    let second = Disk::open(&settings("another", 64 << 20), || {}).unwrap();
    let same = Disk::open(&settings("another", 64 << 20), || {}).unwrap_err().to_string();
    assert!(same.contains("in use by another pool"), "{same}");
    let other = Disk::open(&settings("third", 1 << 20), || {}).unwrap_err().to_string();
    assert!(other.contains("spool: must be the same for all pools"), "{other}");
    assert!(first.close() && second.close());
    // Nobody has the directory any more.
    assert!(Disk::open(&settings("third", 1 << 20), || {}).unwrap().close());
}

#[tokio::test]
async fn what_is_only_on_disk_is_dropped_as_well_if_that_is_wanted() {
    let dir = Dir::new();
    let rig = dir.rig(10);
    rig.pool.pause();
    push(&rig, 0..100);
    until(&rig, |stats| stats.levels.spool.as_ref().unwrap().events == 100).await;
    assert!(rig.pool.purge(Duration::ZERO) >= 10, "what is in memory");
    until(&rig, |stats| stats.counts.purged == 100 && stats.levels.waiting == 0).await;
    written(&rig, 0).await;
    let young = push(&rig, 100..105);
    rig.pool.resume();
    assert_eq!(delivered(&rig, 5).await, young);
}
