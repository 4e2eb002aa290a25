//! Logs that nobody has.

use super::*;
use crate::{Orphan, orphans};

fn names(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// A directory with a log of three records, one of which has ended, and an empty one.
fn left_behind() -> TestDir {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let empty = spool.log(b"empty", || {}).unwrap();
    let lines: Vec<_> =
        (0..3).map(|n| append(&log, n.to_string(), Place::Memory).unwrap()).collect();
    assert!(log.flush(PATIENCE));
    log.end(&lines[1].ticket);
    assert!(log.flush(PATIENCE));
    drop((log, empty, spool));
    dir
}

#[test]
fn what_nobody_has_is_counted_and_not_touched() {
    let dir = left_behind();
    let path = dir.path().join("spool");
    fs::create_dir(path.join("lost+found")).unwrap();
    // A record that was begun when the node died.
    let segment = path.join("log").join(format!("{:016x}.log", 1));
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_slice(&bytes.clone()[32..50]);
    fs::write(&segment, &bytes).unwrap();
    let found = orphans(&path, &names(&["another"])).unwrap();
    let [Orphan { dir: found, records: 2, bytes: taken }] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((found, *taken > bytes.len() as u64), (&path.join("log"), true));
    assert_eq!(fs::read(&segment).unwrap(), bytes);
    assert_eq!(orphans(&path, &names(&["another", "log"])).unwrap(), []);
    assert_eq!(orphans(&path.join("none"), &[]).unwrap(), []);
}

#[test]
fn a_directory_tells_what_it_takes_and_whether_somebody_has_it() {
    let dir = left_behind();
    let path = dir.path().join("spool");
    let room = crate::room(&path).unwrap();
    assert!(room.free > 0 && room.used > 0 && !room.is_locked, "{room:?}");
    let spool = open_with(options(dir.path()));
    assert_eq!(crate::room(&path).unwrap().used, spool.bytes());
    assert!(crate::room(&path).unwrap().is_locked);
    drop(spool);
    assert!(!crate::room(&path).unwrap().is_locked);
    assert!(crate::room(&path.join("none")).is_err());
}

#[test]
fn they_count_in_the_levels_of_all_logs_until_somebody_has_them() {
    let dir = left_behind();
    let spool = open_with(options(dir.path()));
    let other = spool.log(b"other", || {}).unwrap();
    let found = spool.find_orphans(&names(&["other"])).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(other.stats().orphaned, (2, found[0].bytes));
    assert_eq!(spool.bytes(), found[0].bytes, "they count for the bound");
    let log = spool.log(b"log", || {}).unwrap();
    assert_eq!((other.stats().orphaned, log.stats().orphaned), ((0, 0), (0, 0)));
    assert_eq!(spool.find_orphans(&names(&["other"])).unwrap(), [], "somebody has it");
    assert_eq!(texts(&log), ["0", "2"]);
}
