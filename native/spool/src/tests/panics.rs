//! A writer that panics.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{State, Trouble};

/// An entry that makes the writer panic so many times, when it looks how old it is.
struct Faulty {
    line: Line,
    panics: AtomicUsize,
}

impl Entry for Faulty {
    fn ticket(&self) -> &Ticket {
        &self.line.ticket
    }

    fn accepted_at(&self) -> SystemTime {
        let less = |left: usize| left.checked_sub(1);
        let left = self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        assert!(left.is_err(), "as the test wants");
        self.line.at
    }

    fn size(&self) -> usize {
        self.line.size()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.line.encode(out);
    }
}

fn append_faulty(log: &Log, text: &str, panics: usize) -> Arc<Faulty> {
    let line = Line { ticket: Ticket::default(), text: text.into(), at: SystemTime::now() };
    let faulty = Arc::new(Faulty { line, panics: AtomicUsize::new(panics) });
    log.append(Arc::clone(&faulty) as Arc<dyn Entry>, Place::Disk).unwrap();
    faulty
}

/// What the next run finds.
fn left(dir: &TestDir) -> Vec<String> {
    let (_spool, log) = open(dir);
    assert!(log.troubles().is_empty());
    texts(&log)
}

#[test]
fn what_waits_for_a_writer_that_panics_is_written_by_the_next_attempt() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    let other = spool.log(b"other", || {}).unwrap();
    append(&log, "written", Place::Disk).unwrap();
    assert!(log.flush(PATIENCE));
    append(&log, "before", Place::Disk).unwrap();
    append_faulty(&log, "faulty", 1);
    append(&log, "after", Place::Memory).unwrap();
    append(&other, "other", Place::Disk).unwrap();
    assert!(!log.flush(PATIENCE));
    let State::Failing(cause) = log.stats().state else { panic!("{:?}", log.stats()) };
    assert!(cause.ends_with("the writer panicked, and begins again"), "{cause}");
    assert!(matches!(&log.troubles()[..], [Trouble::Panic { .. }]));
    assert_eq!(append(&log, "refused", Place::Disk).unwrap_err(), Refused::Failing);
    assert_eq!(log.stats().late, 3, "in memory only by now");
    assert!(log.flush(PATIENCE));
    assert_eq!((log.stats().state, log.stats().records), (State::Ok, 4));
    assert_eq!(
        (texts(&log), texts(&other)),
        (vec_of(["written", "before", "faulty"]), vec_of(["other"]))
    );
    append(&log, "last", Place::Disk).unwrap();
    drop((other, log, spool));
    assert_eq!(left(&dir), ["written", "before", "faulty", "after", "last"]);
}

fn vec_of<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}

#[test]
fn what_was_written_when_the_writer_panicked_is_there_once() {
    let dir = TestDir::new();
    let spool = open_with(options(dir.path()));
    let told = AtomicUsize::new(0);
    let written = move || assert!(told.fetch_add(1, Ordering::SeqCst) != 0, "as the test wants");
    let log = spool.log(b"log", written).unwrap();
    let kept = append(&log, "kept", Place::Memory).unwrap();
    append(&log, "a", Place::Disk).unwrap();
    assert!(!log.flush(PATIENCE));
    append(&log, "refused", Place::Disk).unwrap_err();
    log.end(&kept.ticket);
    assert!(log.flush(PATIENCE));
    append(&log, "b", Place::Disk).unwrap();
    assert!(log.flush(PATIENCE));
    assert_eq!((texts(&log), log.stats().records), (vec_of(["a", "b"]), 2));
    drop((log, spool));
    assert_eq!(left(&dir), ["a", "b"]);
}

#[test]
fn a_writer_that_goes_on_panicking_holds_up_no_end() {
    let dir = TestDir::new();
    let (spool, log) = open(&dir);
    append(&log, "written", Place::Disk).unwrap();
    assert!(log.flush(PATIENCE));
    let faulty = append_faulty(&log, "faulty", usize::MAX);
    assert!(!log.close(PATIENCE), "it is not there");
    let again = spool.log(b"log", || {}).unwrap_err();
    assert!(again.to_string().contains("in use"), "{again}");
    drop((log, spool));
    assert_eq!(Arc::strong_count(&faulty), 1, "nobody has it any more");
    assert_eq!(left(&dir), ["written"]);
}
