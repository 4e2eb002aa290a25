//! Segments that few events keep, and what they take of the disk.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};

use super::*;
use crate::{State, Trouble, Unreadable};

/// Whether this file system can do it. Elsewhere, there is nothing to be seen.
fn can_punch(dir: &TestDir) -> bool {
    let path = dir.path().join("probe");
    fs::write(&path, [1; 8192]).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let can = fallocate(&file, how, 0, 4096).is_ok();
    if !can {
        eprintln!("not run, because this file system makes no holes");
    }
    can
}

/// Records of 1000 bytes, of which one in 20 has not ended, and what they took before the others had.
fn sparse(log: &Log, count: usize) -> (Vec<Arc<Line>>, u64) {
    let lines: Vec<_> = (0..count)
        .map(|n| append(log, format!("{n:04}{}", "x".repeat(996)), Place::Memory).unwrap())
        .collect();
    assert!(log.flush(PATIENCE));
    let before = taken(&log.dir());
    let (left, ended): (Vec<_>, Vec<_>) =
        lines.into_iter().enumerate().partition(|(n, _)| n % 20 == 10);
    ended.iter().for_each(|(_, line)| log.end(&line.ticket));
    settle(log);
    (left.into_iter().map(|(_, line)| line).collect(), before)
}

/// Each commit makes holes in one segment.
fn settle(log: &Log) {
    for _ in 0..20 {
        assert!(log.flush(PATIENCE));
    }
}

/// What the disk has for the segments of a log, in its own words.
fn taken(dir: &Path) -> u64 {
    segments(dir).iter().map(|path| path.metadata().unwrap().blocks() * 512).sum()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == "log")).collect()
}

fn left(count: usize) -> Vec<String> {
    let numbers = (0..count).filter(|n| n % 20 == 10);
    numbers.map(|n| format!("{n:04}{}", "x".repeat(996))).collect()
}

#[test]
fn what_has_ended_takes_no_disk_any_more() {
    let dir = TestDir::new();
    if !can_punch(&dir) {
        return;
    }
    let (spool, log) = open(&dir);
    let (_lines, before) = sparse(&log, 500);
    let path = log.dir();
    // The last segment grows, and is left alone.
    assert!(segments(&path).len() == 8 && before > 500_000, "{before}");
    assert!(taken(&path) < before / 2, "{} of {before}", taken(&path));
    assert!(log.stats().bytes < before / 2 && log.stats().bytes == spool.bytes());
    assert_eq!((log.stats().records, log.troubles()), (25, vec![]));
    drop((log, spool));
    let (spool, log) = open(&dir);
    assert_eq!((log.stats().records, log.stats().unreadable), (25, Unreadable::default()));
    assert!(log.stats().bytes < before / 2 && log.stats().bytes == spool.bytes());
    let found = read(&log);
    assert_eq!(found.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>(), left(500));
    assert_eq!((log.troubles(), log.stats().unreadable), (vec![], Unreadable::default()));
    found.iter().for_each(|(_, ticket)| log.end(ticket));
    assert!(log.flush(PATIENCE));
    assert!(files(&log).is_empty());
    assert_eq!((log.stats().bytes, spool.bytes(), log.stats().set_aside.files), (0, 0, 0));
}

#[test]
fn holes_are_made_again_when_far_more_has_ended_also_by_a_later_run() {
    let dir = TestDir::new();
    if !can_punch(&dir) {
        return;
    }
    let (spool, log) = open(&dir);
    let (_lines, _) = sparse(&log, 500);
    drop((log, spool));
    let (_spool, log) = open(&dir);
    let before = taken(&log.dir());
    let found = read(&log);
    // In each segment the one in the middle, if there are three of them.
    let kept = ["0050", "0110", "0170", "0230", "0290", "0350", "0410", "0470"];
    let ended = found.iter().filter(|(text, _)| !kept.contains(&&text[..4]));
    ended.for_each(|(_, ticket)| log.end(ticket));
    settle(&log);
    assert!(taken(&log.dir()) < before, "{} of {before}", taken(&log.dir()));
    assert_eq!((log.stats().records, log.troubles()), (8, vec![]));
}

#[test]
fn few_events_that_wait_for_long_leave_the_room_to_others() {
    let dir = TestDir::new();
    if !can_punch(&dir) {
        return;
    }
    let (spool, log) = open(&dir);
    let mut lines = Vec::new();
    while let Ok(line) = append(&log, "x".repeat(1000), Place::Memory) {
        lines.push(line);
        if lines.len() % 100 == 0 {
            assert!(log.flush(PATIENCE));
        }
    }
    assert_eq!(log.stats().state, State::Full);
    lines.iter().enumerate().filter(|(n, _)| n % 60 != 30).for_each(|(_, l)| log.end(&l.ticket));
    settle(&log);
    assert!(log.stats().records < 20 && segments(&log.dir()).len() > 10);
    let mut more = 0;
    while append(&log, "x".repeat(1000), Place::Disk).is_ok() {
        more += 1;
    }
    assert!(more > lines.len() / 2, "{more} of {}", lines.len());
    assert!(log.flush(PATIENCE));
    assert!(spool.bytes() <= (1 << 20) + 2048, "{}", spool.bytes());
}

#[test]
fn a_copy_that_has_zeros_in_place_of_holes_is_as_good() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let (_lines, before) = sparse(&log, 500);
    let path = log.dir();
    drop((log, spool));
    for path in segments(&path) {
        let bytes = fs::read(&path).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let (spool, log) = open(&dir);
    assert!(taken(&path) >= before - (64 << 10));
    assert_eq!((texts(&log), log.troubles()), (left(500), vec![]));
    assert_eq!(log.stats().unreadable, Unreadable::default());
    assert_eq!(log.stats().bytes, spool.bytes());
}

#[test]
fn without_the_ends_a_hole_is_taken_for_damage() {
    let dir = TestDir::new();
    if !can_punch(&dir) {
        return;
    }
    let (spool, log) = open(&dir);
    let (_lines, _) = sparse(&log, 500);
    let first = {
        let mut paths = segments(&log.dir());
        paths.sort();
        paths.remove(0)
    };
    drop((log, spool));
    fs::remove_file(first.with_extension("ended")).unwrap();
    let (_spool, log) = open(&dir);
    let found = read(&log);
    assert!(log.stats().unreadable.records > 40, "{:?}", log.stats());
    assert!(left(500).iter().all(|text| found.iter().any(|(found, _)| found == text)));
    found.iter().for_each(|(_, ticket)| log.end(ticket));
    assert!(log.flush(PATIENCE));
    assert!(matches!(&log.troubles()[..], [Trouble::Damaged { .. }]));
}

#[test]
fn what_is_still_to_be_read_is_left_alone() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    let lines: Vec<_> = (0..200)
        .map(|n| {
            let place = if n % 20 == 10 { Place::Disk } else { Place::Memory };
            append(&log, format!("{n:04}{}", "x".repeat(996)), place).unwrap()
        })
        .collect();
    assert!(log.flush(PATIENCE));
    let before = taken(&log.dir());
    let in_memory = lines.iter().enumerate().filter(|(n, _)| n % 20 != 10);
    in_memory.for_each(|(_, line)| log.end(&line.ticket));
    settle(&log);
    assert_eq!(taken(&log.dir()), before);
    assert_eq!((texts(&log), log.troubles()), (left(200), vec![]));
    assert_eq!(log.stats().unreadable, Unreadable::default());
}
