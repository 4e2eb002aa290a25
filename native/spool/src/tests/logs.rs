//! What is appended, ended and read back.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::{SpoolError, State, Trouble};

#[test]
fn what_has_not_ended_is_read_back_by_the_next_run_in_order() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let lines: Vec<_> =
        (0..10).map(|n| append(&log, n.to_string(), Place::Memory).unwrap()).collect();
    assert!(log.flush(PATIENCE));
    assert_eq!((log.stats().records, log.unread()), (10, 0));
    assert!(texts(&log).is_empty(), "they are in memory");
    lines.iter().skip(1).step_by(2).for_each(|line| log.end(&line.ticket));
    drop(spool);
    let (_spool, log) = open(&dir);
    assert_eq!((log.stats().records, log.unread()), (5, 5));
    assert_eq!(texts(&log), ["0", "2", "4", "6", "8"]);
    assert_eq!((log.unread(), log.troubles()), (0, vec![]));
    assert!(texts(&log).is_empty(), "once in a run");
}

#[test]
fn what_ends_before_it_is_written_never_touches_the_disk() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    for n in 0..100 {
        let line = append(&log, n.to_string(), Place::Memory).unwrap();
        log.end(&line.ticket);
    }
    assert!(log.flush(PATIENCE));
    assert!(files(&log).is_empty());
    let kept = append(&log, "kept", Place::Memory).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!((log.stats().records, files(&log).len()), (1, 1));
    log.end(&kept.ticket);
    assert!(log.close(PATIENCE));
    assert_eq!((log.stats().records, files(&log).len()), (0, 0));
}

#[test]
fn what_is_only_on_disk_is_read_back_while_the_log_grows() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    let mut expected = Vec::new();
    let mut given = Vec::new();
    for round in 0..20 {
        for n in 0..10 {
            append(&log, format!("m{round}.{n}"), Place::Memory).unwrap();
            append(&log, format!("d{round}.{n}"), Place::Disk).unwrap();
            expected.push(format!("d{round}.{n}"));
        }
        assert_eq!(log.unread(), (expected.len() - given.len()) as u64);
        assert!(log.flush(PATIENCE));
        let read = log.read(7, usize::MAX, |stored| given.push(text(&stored)));
        assert_eq!((read.records, read.more), (7, true));
    }
    given.extend(texts(&log));
    assert_eq!((given, log.unread()), (expected, 0));
}

#[test]
fn a_chunk_is_bounded_in_records_and_in_bytes() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    for _ in 0..10 {
        append(&log, "x".repeat(100), Place::Disk).unwrap();
    }
    assert!(log.flush(PATIENCE));
    let counts = |records, bytes| {
        let read = log.read(records, bytes, |_| {});
        (read.records, read.more)
    };
    assert_eq!(counts(3, usize::MAX), (3, true));
    assert_eq!(counts(100, 150), (2, true), "rounded up to a record");
    assert_eq!(counts(100, 1), (1, true));
    assert_eq!(counts(100, usize::MAX), (4, false));
    assert_eq!(counts(100, usize::MAX), (0, false));
}

#[test]
fn a_segment_is_deleted_when_its_records_have_ended() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let lines: Vec<_> = (0..500)
        .map(|n| append(&log, format!("{n}{}", "x".repeat(1000)), Place::Memory).unwrap())
        .collect();
    assert!(log.flush(PATIENCE));
    let before = files(&log).len();
    assert!(before > 5, "{before}");
    let bytes = log.stats().bytes;
    assert!(bytes > 500_000 && bytes == spool.bytes(), "{bytes}");
    lines.iter().skip(1).for_each(|line| log.end(&line.ticket));
    assert!(log.flush(PATIENCE));
    let first = format!("{:016x}", 1);
    assert_eq!(files(&log), [format!("{first}.ended"), format!("{first}.log")]);
    assert!(spool.bytes() < bytes / 5 && log.stats().bytes == spool.bytes());
    log.end(&lines[0].ticket);
    assert!(log.flush(PATIENCE));
    assert!(files(&log).is_empty());
    assert_eq!((log.stats().records, spool.bytes()), (0, 0));
}

#[test]
fn what_ends_between_segments_that_are_deleted_is_recorded() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    let lines: Vec<_> = (0..500)
        .map(|n| append(&log, format!("{n}{}", "x".repeat(1000)), Place::Memory).unwrap())
        .collect();
    assert!(log.flush(PATIENCE));
    // All of the first segment, which has about 60, a few of the second, and all others.
    let kept = |n: usize| (80..110).contains(&n);
    let ended = lines.iter().enumerate().filter(|(n, _)| !kept(*n));
    ended.for_each(|(_, line)| log.end(&line.ticket));
    assert!(log.flush(PATIENCE));
    assert_eq!(files(&log).len(), 2, "{:?}", files(&log));
    // What a run that dies now leaves behind.
    let died = TestDir::new();
    copy_dir(&dir.path().join("spool"), &died.path().join("spool"));
    let (_spool, log) = open(&died);
    let found = texts(&log).into_iter().map(|text| text.trim_end_matches('x').parse().unwrap());
    assert_eq!(found.collect::<Vec<usize>>(), (80..110).collect::<Vec<_>>());
}

#[test]
fn numbers_are_not_given_twice() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let old = append(&log, "old", Place::Memory).unwrap();
    drop((log, spool));
    let (spool, log) = open(&dir);
    let ticket = read(&log).pop().unwrap().1;
    let new = append(&log, "new", Place::Memory).unwrap();
    assert!(log.flush(PATIENCE));
    // Of the run before; a ticket of this one has another number.
    log.end(&old.ticket);
    assert!(log.flush(PATIENCE));
    assert_eq!(log.stats().records, 1, "its record has ended, that of the new line has not");
    log.end(&ticket);
    assert!(log.flush(PATIENCE));
    assert_eq!(log.stats().records, 1);
    log.end(&new.ticket);
    drop((log, spool));
    let (_spool, log) = open(&dir);
    assert!(texts(&log).is_empty());
}

#[test]
fn a_log_can_be_opened_again_after_it_was_closed() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    append(&log, "a", Place::Memory).unwrap();
    let error = spool.log(b"log", || {}).unwrap_err();
    assert!(matches!(error, SpoolError::LogInUse { .. }), "{error}");
    assert!(log.close(PATIENCE));
    assert_eq!(append(&log, "b", Place::Disk).unwrap_err(), Refused::Closed);
    let again = spool.log(b"log", || {}).unwrap();
    assert_eq!(texts(&again), ["a"]);
    drop(log);
    append(&again, "c", Place::Disk).unwrap();
    // Also without a close, and what was not written by then is.
    drop(again);
    let last = spool.log(b"log", || {}).unwrap();
    assert_eq!(texts(&last), ["a", "c"]);
}

#[test]
fn logs_do_not_mix() {
    let dir = TestDir::new();
    let (spool, one) = open(&dir);
    let other = spool.log(b"\xff/..", || {}).unwrap();
    for n in 0..100 {
        append(&one, format!("one {n}"), Place::Disk).unwrap();
        append(&other, format!("other {n}"), Place::Disk).unwrap();
    }
    assert!(one.flush(PATIENCE));
    let (ones, others) = (texts(&one), texts(&other));
    assert!(ones.len() == 100 && ones.iter().all(|text| text.starts_with("one")));
    assert!(others.len() == 100 && others.iter().all(|text| text.starts_with("other")));
    assert_eq!(spool.bytes(), one.stats().bytes + other.stats().bytes);
}

#[test]
fn whoever_waits_is_told_of_what_was_written() {
    let dir = TestDir::new();
    let told = Arc::new(AtomicUsize::new(0));
    let spool = open_with(options(dir.path()));
    let log = {
        let told = Arc::clone(&told);
        spool.log(b"log", move || _ = told.fetch_add(1, SeqCst)).unwrap()
    };
    append(&log, "in memory", Place::Memory).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!(told.load(SeqCst), 0);
    append(&log, "on disk", Place::Disk).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!(told.load(SeqCst), 1);
}

#[test]
fn without_an_interval_nobody_has_to_flush() {
    let dir = TestDir::new();
    let spool = open_with(SpoolOptions { sync: SyncOption::Always, ..options(dir.path()) });
    let (written, told) = std::sync::mpsc::sync_channel(100);
    let log = spool.log(b"log", move || written.send(()).unwrap()).unwrap();
    for n in 0..10 {
        append(&log, n.to_string(), Place::Disk).unwrap();
        told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(texts(&log), [n.to_string()]);
    }
    assert!(log.flush(PATIENCE));
    assert!(log.stats().last_sync.is_some());
}

#[test]
fn after_an_interval_nobody_has_to_flush() {
    let dir = TestDir::new();
    let spool = open_with(SpoolOptions { sync: SyncOption::Ms(10), ..options(dir.path()) });
    let (written, told) = std::sync::mpsc::sync_channel(100);
    let log = spool.log(b"log", move || written.send(()).unwrap()).unwrap();
    append(&log, "a", Place::Disk).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(texts(&log), ["a"]);
}

#[test]
fn what_is_too_old_has_expired() {
    let dir = TestDir::new();
    let old = SpoolOptions { max_age_ms: Some(3_600_000), ..options(dir.path()) };
    let spool = open_with(old.clone());
    let log = spool.log(b"log", || {}).unwrap();
    let at = SystemTime::now() - Duration::from_secs(3 * 3600);
    let late = Line { ticket: Ticket::default(), text: "late".into(), at };
    log.append(Arc::new(late), Place::Disk).unwrap();
    append(&log, "new", Place::Disk).unwrap();
    assert!(log.flush(PATIENCE));
    let oldest = log.stats().oldest.unwrap();
    assert!(oldest >= Duration::from_secs(3 * 3600) && oldest < Duration::from_secs(4 * 3600));
    let mut given = Vec::new();
    let read = log.read(10, 1000, |stored| given.push((text(&stored), stored.accepted_at)));
    assert_eq!((read.records, read.expired, given.len()), (1, 1, 1));
    assert!(given[0].0 == "new" && given[0].1 > at);
    assert!(log.flush(PATIENCE));
    assert_eq!(log.stats().records, 1);
}

#[test]
fn an_entry_that_cannot_be_encoded_costs_nothing_else() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    for text in ["a", "panic", "b"] {
        append(&log, text, Place::Disk).unwrap();
    }
    assert!(log.flush(PATIENCE));
    assert_eq!((texts(&log), log.unread()), (vec!["a".into(), "b".into()], 0));
    let troubles = log.troubles();
    assert!(matches!(&troubles[..], [Trouble::Entry { cause, .. }] if cause.contains("panicked")));
    let large = append(&log, "x".repeat(crate::MAX_PAYLOAD + 1), Place::Disk);
    assert_eq!(large.unwrap_err(), Refused::TooLarge);
}

#[test]
fn a_record_may_be_larger_than_a_segment() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    let sizes = [10, 200_000, 10, 100_000, 300_000, 10];
    for size in sizes {
        append(&log, "x".repeat(size), Place::Disk).unwrap();
    }
    assert!(log.flush(PATIENCE));
    assert_eq!(texts(&log).iter().map(String::len).collect::<Vec<_>>(), sizes);
    assert_eq!(files(&log).len(), 6);
}

#[test]
fn a_directory_has_one_node_at_a_time() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let second = || Spool::open(options(dir.path()).check().unwrap(), || {});
    let error = second().unwrap_err().to_string();
    let path = dir.path().join("spool");
    assert_eq!(error, format!("spool.dir: {} is used by another node", path.display()));
    drop(spool);
    assert_eq!(append(&log, "a", Place::Disk).unwrap_err(), Refused::Closed);
    assert!(!log.flush(PATIENCE) && !log.close(PATIENCE), "nobody writes any more");
    second().unwrap();
}

#[test]
fn only_the_owner_may_look() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    let lines: Vec<_> = (0..2).map(|_| append(&log, "a", Place::Memory).unwrap()).collect();
    assert!(log.flush(PATIENCE));
    log.end(&lines[0].ticket);
    assert!(log.flush(PATIENCE));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("spool")), 0o700);
    assert_eq!(mode(&log.dir()), 0o700);
    assert_eq!(mode(&dir.path().join("spool/.lock")), 0o600);
    assert_eq!(files(&log).len(), 2);
    for file in files(&log) {
        assert_eq!(mode(&log.dir().join(&file)), 0o600, "{file}");
    }
}

#[test]
fn what_cannot_be_opened_is_one_clear_error() {
    let dir = TestDir::new();
    fs::write(dir.path().join("spool"), "a file").unwrap();
    let error = Spool::open(options(dir.path()).check().unwrap(), || {}).unwrap_err().to_string();
    let path = dir.path().join("spool");
    let begin = format!("spool.dir: cannot use {}: ", path.display());
    assert!(error.starts_with(&begin), "{error}");
}

#[test]
fn a_log_that_works_says_so() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    let stats = log.stats();
    assert_eq!((stats.state, stats.oldest, stats.last_sync), (State::Ok, None, None));
    append(&log, "a", Place::Memory).unwrap();
    let before = SystemTime::now();
    assert!(log.flush(PATIENCE));
    let stats = log.stats();
    assert!(stats.last_sync.unwrap() >= before && stats.oldest.is_some());
}
