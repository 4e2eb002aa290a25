//! Disks that are full or fail.

use std::process::Command;

use super::*;
use crate::{State, Trouble};

/// Tells a test that it runs where it wanted to: on a disk of its own.
const DISK: &str = "EVENT_PUSHER_SPOOL_TEST_DISK";

/// Runs the test once more in a process that has a disk of two MiB, where this system permits it. In
/// that process, the path of the disk.
fn small_disk(test: &str) -> Option<std::path::PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let dir = TestDir::new();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(std::env::current_exe().unwrap()).args([dir.path()]).arg(test);
        command
    };
    let mount = "mount -t tmpfs -o size=2m none \"$1\"";
    if !unshare(mount).status().is_ok_and(|status| status.success()) {
        eprintln!("{test}: not run, because this system permits no mount");
        return None;
    }
    let script = format!("{mount} && exec \"$0\" --exact \"$2\" --nocapture");
    let output = unshare(&script).env(DISK, dir.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{output:?}");
    None
}

#[test]
fn a_full_disk_loses_nothing_that_was_taken_and_takes_again_when_there_is_room() {
    let test = "tests::disk::\
        a_full_disk_loses_nothing_that_was_taken_and_takes_again_when_there_is_room";
    let Some(disk) = small_disk(test) else { return };
    fs::write(disk.join("ballast"), vec![0; 1 << 20]).unwrap();
    let large = SpoolOptions { max_bytes: 1 << 30, ..options(&disk) };
    let spool = open_with(large.clone());
    let log = spool.log(b"log", || {}).unwrap();
    let taken = fill(&log);
    assert_eq!(append(&log, "refused", Place::Disk).unwrap_err(), Refused::Failing);
    assert_eq!(append(&log, "skipped", Place::Memory).unwrap_err(), Refused::Failing);
    let State::Failing(cause) = log.stats().state else { panic!("{:?}", log.stats()) };
    assert!(cause.contains("No space left on device"), "{cause}");
    assert!(matches!(&log.troubles()[..], [Trouble::Write { .. }]));
    assert!(log.troubles().is_empty(), "once");
    assert!(!log.flush(PATIENCE));
    assert!(matches!(&log.troubles()[..], [Trouble::Write { .. }]), "at the next attempt");
    // What a node that dies now leaves behind, and what it has in memory only.
    let died = TestDir::new();
    copy_dir(&disk.join("spool"), &died.path().join("spool"));
    let late = log.stats().late;
    assert!(late > 0);
    assert_eq!(check_filled(options(died.path())) + usize::try_from(late).unwrap(), taken);
    fs::remove_file(disk.join("ballast")).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!((log.stats().state, log.troubles()), (State::Ok, vec![]));
    assert_eq!(log.stats().late, late, "it was late");
    append(&log, format!("{taken} last"), Place::Disk).unwrap();
    drop((log, spool));
    assert_eq!(check_filled(large), taken + 1);
}

/// Writes until the disk is full. How many entries were taken.
fn fill(log: &Log) -> usize {
    let mut taken = 0;
    loop {
        // Several in one write: it is cut in the middle.
        for _ in 0..7 {
            append(log, format!("{taken} {}", "x".repeat(9999)), Place::Disk).unwrap();
            taken += 1;
        }
        if !log.flush(PATIENCE) {
            return taken;
        }
    }
}

/// How many entries the next run finds. They are in order, and nothing is damaged or half written.
fn check_filled(options: SpoolOptions) -> usize {
    let spool = open_with(options);
    let log = spool.log(b"log", || {}).unwrap();
    let found = texts(&log);
    for (number, text) in found.iter().enumerate() {
        assert!(text.starts_with(&format!("{number} ")), "{number}");
    }
    assert_eq!((log.troubles(), log.stats().torn_bytes), (vec![], 0));
    assert_eq!(log.stats().unreadable.bytes, 0);
    found.len()
}

#[test]
fn ends_that_find_no_room_are_recorded_later() {
    let test = "tests::disk::ends_that_find_no_room_are_recorded_later";
    let Some(disk) = small_disk(test) else { return };
    let (spool, log) = {
        let spool = open_with(options(&disk));
        let log = spool.log(b"log", || {}).unwrap();
        (spool, log)
    };
    let lines: Vec<_> =
        (0..10).map(|n| append(&log, n.to_string(), Place::Memory).unwrap()).collect();
    assert!(log.flush(PATIENCE));
    let ballast = disk.join("ballast");
    let full = fs::write(&ballast, vec![0; 4 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    lines[..9].iter().for_each(|line| log.end(&line.ticket));
    log.flush(PATIENCE);
    assert_eq!(log.stats().records, 1);
    assert!(matches!(&log.troubles()[..], [Trouble::Write { .. }]));
    fs::remove_file(ballast).unwrap();
    log.flush(PATIENCE);
    assert!(log.troubles().is_empty());
    copy_dir(&disk.join("spool"), &disk.join("copy"));
    drop((log, spool));
    fs::remove_dir_all(disk.join("spool")).unwrap();
    fs::rename(disk.join("copy"), disk.join("spool")).unwrap();
    let spool = open_with(options(&disk));
    assert_eq!(texts(&spool.log(b"log", || {}).unwrap()), ["9"]);
}

#[test]
fn a_directory_that_cannot_be_used_is_used_when_it_can() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let other = spool.log(b"other", || {}).unwrap();
    fs::remove_dir(log.dir()).unwrap();
    fs::write(log.dir(), "in the way").unwrap();
    append(&log, "a", Place::Disk).unwrap();
    append(&log, "b", Place::Memory).unwrap();
    append(&other, "c", Place::Disk).unwrap();
    assert!(!log.flush(PATIENCE));
    assert!(matches!(log.stats().state, State::Failing(_)));
    assert_eq!((log.unread(), other.stats().state), (1, State::Ok));
    assert_eq!(texts(&other), ["c"]);
    fs::remove_file(log.dir()).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!((log.stats().state, log.stats().records), (State::Ok, 2));
    assert_eq!(texts(&log), ["a"]);
}

#[test]
fn what_cannot_be_written_is_given_up_at_the_end() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    fs::remove_dir(log.dir()).unwrap();
    fs::write(log.dir(), "in the way").unwrap();
    append(&log, "a", Place::Disk).unwrap();
    assert!(!log.close(PATIENCE));
    assert_eq!(log.unread(), 0);
    fs::remove_file(log.dir()).unwrap();
    assert!(texts(&spool.log(b"log", || {}).unwrap()).is_empty());
}

#[test]
fn there_is_a_bound_of_bytes_for_all_logs_together() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let other = spool.log(b"other", || {}).unwrap();
    let mut taken = 0;
    while append(&log, "x".repeat(10_000), Place::Disk).is_ok() {
        taken += 1;
    }
    assert!(taken > 90, "{taken}");
    assert_eq!(append(&log, "x".repeat(10_000), Place::Disk).unwrap_err(), Refused::Full);
    assert_eq!(append(&other, "x".repeat(10_000), Place::Memory).unwrap_err(), Refused::Full);
    assert_eq!((log.stats().state, other.stats().state), (State::Full, State::Full));
    assert!(log.flush(PATIENCE), "what was taken has room");
    assert!(spool.bytes() <= (1 << 20) + 2048, "{}", spool.bytes());
    let used = (log.stats().used_percent, other.stats().used_percent);
    assert!((90..=100).contains(&used.0) && used.0 == used.1, "{used:?}");
    let found = read(&log);
    assert_eq!(found.len(), taken);
    found.iter().for_each(|(_, ticket)| log.end(ticket));
    assert!(log.flush(PATIENCE));
    assert_eq!((log.stats().state, other.stats().state), (State::Ok, State::Ok));
    append(&other, "x".repeat(10_000), Place::Memory).unwrap();
    assert!(log.troubles().is_empty() && other.troubles().is_empty());
}

#[test]
fn what_waits_for_the_writer_is_bounded() {
    let dir = TestDir::new();
    let (hold, held) = std::sync::mpsc::sync_channel::<()>(0);
    let settings = SpoolOptions { max_bytes: 1 << 30, ..options(dir.path()) }.check().unwrap();
    // A writer that has not started yet.
    let spool = Spool::open(settings, move || held.recv().unwrap()).unwrap();
    let log = spool.log(b"log", || {}).unwrap();
    for _ in 0..32 {
        append(&log, "x".repeat(1 << 19), Place::Disk).unwrap();
    }
    let mut taken = 32;
    let refused = loop {
        match append(&log, "x".repeat(1 << 10), Place::Disk) {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, Refused::Busy);
    hold.send(()).unwrap();
    assert!(log.flush(PATIENCE));
    append(&log, "x", Place::Disk).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!(texts(&log).len(), taken + 1);
}
