//! Ends that meet the writer.

use std::thread;

use super::*;

/// Whatever ends while it is being written, by however many workers: nothing stays.
#[test]
fn no_record_of_an_ended_entry_stays_without_its_end() {
    let dir = TestDir::new();
    let spool = open_with(SpoolOptions {
        sync: SyncOption::Always,
        max_bytes: 1 << 28,
        ..options(dir.path())
    });
    let log = spool.log(b"log", || {}).unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let log = &log;
            scope.spawn(move || {
                let mut open = Vec::new();
                for n in 0..5000 {
                    match append(log, format!("{worker}.{n}"), Place::Memory) {
                        Ok(line) => open.push(line),
                        Err(refused) => assert_eq!(refused, Refused::Busy),
                    }
                    // Some at once, some when they may have been written.
                    if n % 3 != 0 {
                        let at = fastrand::usize(..open.len().max(1));
                        open.get(at).inspect(|line| log.end(&line.ticket));
                    }
                }
                open.iter().for_each(|line| log.end(&line.ticket));
            });
        }
    });
    assert!(log.flush(PATIENCE));
    // An end that came while its entry was written is recorded in the same commit.
    assert_eq!(log.stats().records, 0);
    assert!(log.close(PATIENCE));
    assert!(files(&log).is_empty(), "{:?}", files(&log));
}
