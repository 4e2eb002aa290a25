//! Files that are not as they were written.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::record::{HEAD, HEADER};
use crate::{Trouble, Unreadable};

/// A closed log of so many records of 1000 bytes, some of which have ended.
fn written(dir: &TestDir, count: usize) -> PathBuf {
    written_with(dir, count, is_left)
}

/// One in 20 is left, and there are holes where the others were.
fn with_holes(dir: &TestDir, count: usize) -> PathBuf {
    written_with(dir, count, |n| n % 20 == 10)
}

fn written_with(dir: &TestDir, count: usize, is_left: fn(usize) -> bool) -> PathBuf {
    let (spool, log) = open(dir);
    let lines: Vec<_> = (0..count)
        .map(|n| append(&log, format!("{n:04}{}", "x".repeat(996)), Place::Memory).unwrap())
        .collect();
    assert!(log.flush(PATIENCE));
    let ended = lines.iter().enumerate().filter(|(n, _)| !is_left(*n));
    ended.for_each(|(_, line)| log.end(&line.ticket));
    // Holes are made in one segment at a time.
    for _ in 0..=count / 60 {
        assert!(log.flush(PATIENCE));
    }
    let path = log.dir();
    drop((log, spool));
    path
}

/// Which of the records have not ended.
fn left(count: usize) -> impl Iterator<Item = usize> {
    (0..count).filter(|n| is_left(*n))
}

fn is_left(number: usize) -> bool {
    !number.is_multiple_of(5)
}

fn numbers(log: &Log) -> Vec<usize> {
    read(log).iter().map(|(text, _)| number(text)).collect()
}

/// The number of a record, of which nothing may be different.
fn number(text: &str) -> usize {
    assert!(text.len() == 1000 && text[4..].bytes().all(|byte| byte == b'x'), "{text:?}");
    text[..4].parse().unwrap()
}

fn segments(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Where a record begins in its segment.
fn place(index: usize) -> u64 {
    (HEADER + index * (HEAD + 1000)) as u64
}

#[test]
fn a_damaged_record_costs_itself_and_its_segment_is_set_aside_when_the_others_have_ended() {
    let dir = TestDir::new();
    let path = written(&dir, 100);
    let first = segments(&path, "log").remove(0);
    flip(&first, place(3) + 500);
    flip(&first, place(7) + 8);
    let (spool, log) = open(&dir);
    let damage = Unreadable { bytes: 2 * (HEAD + 1000) as u64, records: 2 };
    assert_eq!((log.stats().unreadable, log.troubles()), (damage, vec![]));
    let found = read(&log);
    let expected: Vec<usize> = left(100).filter(|n| ![3, 7].contains(n)).collect();
    assert_eq!(found.iter().map(|(text, _)| number(text)).collect::<Vec<_>>(), expected);
    assert_eq!((log.stats().unreadable, log.stats().set_aside.files), (damage, 0));
    found.iter().for_each(|(_, ticket)| log.end(ticket));
    assert!(log.flush(PATIENCE));
    let aside = first.with_extension("damaged");
    let bytes = aside.metadata().unwrap().len();
    let trouble = Trouble::Damaged { path: aside.clone(), bytes: damage.bytes, records: 2 };
    assert_eq!(log.troubles(), [trouble]);
    assert_eq!((log.stats().set_aside.files, log.stats().set_aside.bytes), (1, bytes));
    assert!(segments(&path, "log").is_empty());
    drop((log, spool));
    let (_spool, log) = open(&dir);
    assert_eq!((log.stats().set_aside.files, log.stats().set_aside.bytes), (1, bytes));
    assert_eq!((numbers(&log), log.troubles()), (vec![], vec![]));
}

#[test]
fn damage_that_comes_while_the_log_is_open_is_found_by_the_reader() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    for n in 0..100 {
        append(&log, format!("{n:04}{}", "x".repeat(996)), Place::Disk).unwrap();
    }
    assert!(log.flush(PATIENCE));
    let paths = segments(&log.dir(), "log");
    flip(&paths[0], place(2) + 100);
    OpenOptions::new().write(true).open(&paths[0]).unwrap().set_len(place(60) + 10).unwrap();
    let found = read(&log);
    let per_segment = ((64 << 10) - HEADER) / (HEAD + 1000);
    let expected: Vec<usize> =
        (0..100).filter(|n| *n != 2 && !(60..per_segment).contains(n)).collect();
    assert_eq!(found.iter().map(|(text, _)| number(text)).collect::<Vec<_>>(), expected);
    assert_eq!(log.unread(), 0);
    found.iter().for_each(|(_, ticket)| log.end(ticket));
    assert!(log.flush(PATIENCE));
    let troubles = log.troubles();
    let records = (1 + per_segment - 60) as u64;
    assert!(
        matches!(&troubles[..], [Trouble::Damaged { records: found, .. }] if *found == records),
        "{troubles:?}"
    );
}

#[test]
fn a_segment_that_is_gone_costs_its_records() {
    let dir = TestDir::new();
    let (_spool, log) = open(&dir);
    for n in 0..100 {
        append(&log, format!("{n:04}{}", "x".repeat(996)), Place::Disk).unwrap();
    }
    assert!(log.flush(PATIENCE));
    let paths = segments(&log.dir(), "log");
    fs::remove_file(&paths[0]).unwrap();
    let found = numbers(&log);
    assert_eq!((found.first(), found.last()), (Some(&63), Some(&99)));
    assert_eq!(log.unread(), 0);
    let troubles = log.troubles();
    assert!(matches!(&troubles[..], [Trouble::Read { path, .. }] if *path == paths[0]));
}

#[test]
fn a_torn_end_is_no_damage() {
    let dir = TestDir::new();
    let path = written(&dir, 100);
    let last = segments(&path, "log").pop().unwrap();
    let length = last.metadata().unwrap().len();
    let torn: [(&str, u64); 3] = [("cut", 1029 - 300), ("zeros", 5000), ("garbage", 777)];
    for (how, bytes) in torn {
        let mut file = OpenOptions::new().append(true).open(&last).unwrap();
        match how {
            "cut" => file.set_len(length - 300).unwrap(),
            "zeros" => file.write_all(&[0; 5000]).unwrap(),
            _ => file.write_all(&[0xa5; 777]).unwrap(),
        }
        let (spool, log) = open(&dir);
        assert_eq!(log.stats().torn_bytes, bytes, "{how}");
        let found = numbers(&log);
        assert_eq!(found, left(99).collect::<Vec<_>>(), "{how}");
        assert_eq!((log.troubles(), log.stats().unreadable), (vec![], Unreadable::default()));
        drop((log, spool));
        // It is no longer the last, and nothing is told either.
        let (spool, log) = open(&dir);
        assert_eq!((log.stats().torn_bytes, log.stats().unreadable.bytes), (0, 0), "{how}");
        drop((log, spool));
    }
}

#[test]
fn a_segment_that_was_being_made_is_no_damage() {
    let dir = TestDir::new();
    let path = written(&dir, 10);
    for content in [vec![], vec![1; 10], vec![0; HEADER], vec![0; 4096]] {
        fs::write(path.join(format!("{:016x}.log", 5000)), content).unwrap();
        let (_spool, log) = open(&dir);
        assert_eq!(numbers(&log), left(10).collect::<Vec<_>>());
        assert_eq!((log.troubles(), log.stats().unreadable.bytes), (vec![], 0));
    }
}

#[test]
fn a_damaged_header_costs_no_record() {
    for sidecar in [true, false] {
        let dir = TestDir::new();
        let path = written(&dir, 100);
        let first = segments(&path, "log").remove(0);
        flip(&first, 21);
        let mut expected: Vec<usize> = left(100).collect();
        if !sidecar {
            // What has ended there is not known any more.
            fs::remove_file(first.with_extension("ended")).unwrap();
            expected = (0..100).filter(|n| *n < 63 || n % 5 != 0).collect();
        }
        let (_spool, log) = open(&dir);
        assert_eq!(numbers(&log), expected, "{sidecar}");
        assert_eq!(log.stats().unreadable, Unreadable { bytes: 32, records: 0 });
    }
}

#[test]
fn the_marker_is_also_in_the_file_beside_the_segment() {
    for sidecar in [true, false] {
        let dir = TestDir::new();
        let path = written(&dir, 100);
        let first = segments(&path, "log").remove(0);
        flip(&first, 21);
        flip(&first, place(0));
        if !sidecar {
            fs::remove_file(first.with_extension("ended")).unwrap();
        }
        let (_spool, log) = open(&dir);
        // The first record has ended.
        let expected: Vec<usize> = left(100).filter(|n| sidecar || *n >= 63).collect();
        assert_eq!(numbers(&log), expected, "{sidecar}");
        let aside = log.stats().set_aside.files;
        assert_eq!((aside, log.troubles().len()), if sidecar { (0, 0) } else { (1, 1) });
    }
}

#[test]
fn what_has_no_header_is_set_aside_whole() {
    let dir = TestDir::new();
    let path = written(&dir, 3);
    let last = segments(&path, "log").remove(0);
    let whole = last.metadata().unwrap().len();
    segments(&path, "ended").iter().for_each(|ended| fs::remove_file(ended).unwrap());
    // Both places of the marker.
    flip(&last, 12);
    flip(&last, HEADER as u64);
    let (_spool, log) = open(&dir);
    let stats = log.stats();
    assert_eq!((texts(&log), stats.torn_bytes), (vec![], 0));
    assert_eq!((stats.set_aside.files, stats.set_aside.bytes), (1, whole));
    let aside = segments(&path, "damaged");
    assert_eq!(aside.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>(), whole);
}

#[test]
fn another_version_is_set_aside_whole() {
    let dir = TestDir::new();
    let path = written(&dir, 100);
    let first = segments(&path, "log").remove(0);
    let mut bytes = fs::read(&first).unwrap();
    bytes[8] = 9;
    let sum = crc32fast::hash(&bytes[..28]);
    bytes[28..32].copy_from_slice(&sum.to_le_bytes());
    fs::write(&first, bytes).unwrap();
    let (_spool, log) = open(&dir);
    let path = first.with_extension("damaged");
    assert_eq!(log.troubles(), [Trouble::Version { path: path.clone(), version: 9 }]);
    assert_eq!(log.stats().set_aside.bytes, path.metadata().unwrap().len());
    assert_eq!(numbers(&log), left(100).filter(|n| *n >= 63).collect::<Vec<_>>());
}

#[test]
fn a_copy_of_a_segment_is_set_aside_and_nothing_is_overwritten() {
    let dir = TestDir::new();
    let path = written(&dir, 100);
    let first = segments(&path, "log").remove(0);
    let copy = path.join(format!("{:016x}.log", 2));
    fs::copy(&first, &copy).unwrap();
    fs::write(copy.with_extension("damaged"), "older").unwrap();
    let (_spool, log) = open(&dir);
    let aside = path.join(format!("{:016x}-2.damaged", 2));
    assert_eq!(log.troubles(), [Trouble::Misnamed { path: aside.clone(), base: 1 }]);
    assert_eq!(fs::read(&aside).unwrap(), fs::read(&first).unwrap());
    assert_eq!(fs::read(copy.with_extension("damaged")).unwrap(), b"older");
    assert_eq!((numbers(&log), log.stats().set_aside.files), (left(100).collect(), 2));
}

#[test]
fn what_a_payload_looks_like_does_not_matter() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    append(&log, "first", Place::Memory).unwrap();
    assert!(log.flush(PATIENCE));
    // Whoever knew the marker could write this; nobody does.
    let path = segments(&log.dir(), "log").remove(0);
    let mut forged = Vec::new();
    let kind = (crate::record::Kind::Disk, 2, 0);
    crate::record::write_frame(&mut forged, 0x2020_2020, kind, |out| out.extend(b"forged"));
    let text = String::from_utf8_lossy(&forged).into_owned();
    append(&log, text, Place::Memory).unwrap();
    append(&log, "last", Place::Memory).unwrap();
    drop((log, spool));
    flip(&path, (HEADER + HEAD + 5 + 8) as u64);
    let (_spool, log) = open(&dir);
    assert_eq!(texts(&log), ["first", "last"]);
}

#[test]
fn files_of_others_stay() {
    let dir = TestDir::new();
    let path = written(&dir, 10);
    for name in ["README", "1.log", "000000000000000A.log", "0000000000000001.log.gz"] {
        fs::write(path.join(name), "of somebody").unwrap();
    }
    fs::create_dir(path.join(format!("{:016x}.log", 7000))).unwrap();
    let (_spool, log) = open(&dir);
    assert_eq!(numbers(&log), left(10).collect::<Vec<_>>());
    assert!(path.join("000000000000000A.log").exists() && path.join("1.log").exists());
    assert!(matches!(&log.troubles()[..], [Trouble::Read { .. }]), "a directory");
}

#[test]
fn a_segment_that_cannot_be_opened_stays_for_the_next_run() {
    let dir = TestDir::new();
    let path = written(&dir, 100);
    let first = segments(&path, "log").remove(0);
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&first, &elsewhere).unwrap();
    // A circle cannot be opened, whoever tries.
    std::os::unix::fs::symlink(&first, &first).unwrap();
    let (spool, log) = open(&dir);
    assert_eq!(numbers(&log), left(100).filter(|n| *n >= 63).collect::<Vec<_>>());
    assert!(matches!(&log.troubles()[..], [Trouble::Read { path, .. }] if *path == first));
    drop((log, spool));
    fs::rename(&elsewhere, &first).unwrap();
    let (_spool, log) = open(&dir);
    assert_eq!(numbers(&log), left(100).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Harm {
    Cut(Index),
    Flip(Index),
    Garbage(Index, Vec<u8>),
    Append(Vec<u8>),
    Delete,
    /// Under this number.
    Copy(u16),
    /// In place of another one.
    Replace(Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..3000);
    prop_oneof![
        any::<Index>().prop_map(Harm::Cut),
        any::<Index>().prop_map(Harm::Flip),
        (any::<Index>(), bytes()).prop_map(|(at, bytes)| Harm::Garbage(at, bytes)),
        bytes().prop_map(Harm::Append),
        Just(Harm::Delete),
        (1..400_u16).prop_map(Harm::Copy),
        any::<Index>().prop_map(Harm::Replace),
    ]
}

fn inflict(dir: &Path, which: Index, harm: &Harm) {
    let mut paths = segments(dir, "log");
    paths.extend(segments(dir, "ended"));
    let Some(path) = paths.get(which.index(paths.len().max(1))) else { return };
    let mut bytes = fs::read(path).unwrap();
    match harm {
        Harm::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Harm::Flip(at) if !bytes.is_empty() => {
            let at = at.index(8 * bytes.len());
            bytes[at / 8] ^= 1 << (at % 8);
        }
        Harm::Garbage(at, garbage) => {
            let at = at.index(bytes.len() + 1);
            let end = bytes.len().min(at + garbage.len());
            bytes.splice(at..end, garbage.iter().copied());
        }
        Harm::Append(garbage) => bytes.extend(garbage),
        Harm::Delete => return fs::remove_file(path).unwrap(),
        Harm::Copy(number) => {
            let name = format!("{number:016x}.log");
            return fs::write(dir.join(name), bytes).unwrap();
        }
        Harm::Replace(other) => return fs::write(other.get(&paths), bytes).unwrap(),
        Harm::Flip(_) => {}
    }
    fs::write(path, bytes).unwrap();
}

/// What can be read of a log in which that much was harmed is right, and nothing of it stays
/// behind when it has ended.
fn check_harmed(dir: &TestDir, path: &Path, untouched: &HashSet<usize>) {
    let (spool, log) = open(dir);
    let found = read(&log);
    let numbers: HashSet<usize> = found.iter().map(|(text, _)| number(text)).collect();
    assert!(numbers.iter().all(|number| *number < 300));
    for number in untouched {
        assert!(numbers.contains(number), "{number}");
    }
    assert_eq!((log.unread(), log.stats().records), (0, found.len() as u64));
    found.iter().for_each(|(_, ticket)| log.end(ticket));
    assert!(log.flush(PATIENCE));
    let stats = log.stats();
    let names = files(&log);
    assert_eq!((stats.records, stats.bytes, spool.bytes()), (0, 0, 0), "{names:?}");
    let aside = segments(path, "damaged");
    let bytes: u64 = aside.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!((stats.set_aside.files, stats.set_aside.bytes), (aside.len() as u64, bytes));
    assert_eq!(names.len(), aside.len(), "{names:?}");
    drop((log, spool));
    let (_spool, log) = open(dir);
    assert_eq!((texts(&log), log.troubles()), (vec![], vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_content_of_files_does_more_harm_than_to_itself(
        harms in prop::collection::vec((any::<Index>(), harm()), 1..6),
        holes: bool,
    ) {
        let dir = TestDir::new();
        let path = if holes { with_holes(&dir, 300) } else { written(&dir, 300) };
        let before: Vec<(PathBuf, Vec<u8>)> = [segments(&path, "log"), segments(&path, "ended")]
            .concat().into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
        harms.iter().for_each(|(which, harm)| inflict(&path, *which, harm));
        let same = |path: &Path| {
            let then = before.iter().find(|(before, _)| before == path).map(|(_, bytes)| bytes);
            fs::read(path).ok().as_ref() == then
        };
        // Of a copy, it cannot be told which of the two is the original.
        let copied = segments(&path, "log").iter().any(|log| !before.iter().any(|(b, _)| b == log));
        let per_segment = ((64 << 10) - HEADER) / (HEAD + 1000);
        let is_left = if holes { |n: &usize| n % 20 == 10 } else { |n: &usize| is_left(*n) };
        let untouched = (0..300).filter(is_left).filter(|number| {
            let log = path.join(format!("{:016x}.log", 1 + number / per_segment * per_segment));
            !copied && same(&log) && same(&log.with_extension("ended"))
        });
        check_harmed(&dir, &path, &untouched.collect());
    }
}
