//! The thread that writes all logs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::spool::{Ask, Queued, Shared};
use crate::tail::Tail;

/// How long what ends, and what failed, waits, where entries do not wait.
const INTERVAL: Duration = Duration::from_millis(500);

/// How many entries are collected at once.
const AT_ONCE: usize = 4096;

/// Everything that only the writer has.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    entries: Receiver<Queued>,
    tails: Vec<Tail>,
    /// What is about to be written.
    buffer: Vec<u8>,
}

/// By when all that was asked for has to be done.
struct Due {
    interval: Duration,
    at: Option<Instant>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, entries: Receiver<Queued>) -> Self {
        Self { shared, entries, tails: Vec::new(), buffer: Vec::new() }
    }

    /// Writes until the spool is dropped.
    pub(crate) fn run(mut self) {
        let mut due = Due::new(self.shared.settings.sync.unwrap_or(INTERVAL));
        loop {
            let asked = self.shared.asked();
            if asked == Ask::Not {
                thread::park();
                continue;
            }
            let wait = due.wait(Instant::now());
            if asked == Ask::Soon && !wait.is_zero() {
                thread::park_timeout(wait);
                continue;
            }
            self.shared.looking();
            if self.commit_or_recover(wait.is_zero()) {
                due.done();
            }
            if self.shared.is_stopping() && self.tails.is_empty() {
                self.shared.stopped();
                return;
            }
            if self.tails.iter().any(Tail::is_unfinished) {
                self.shared.ask(Ask::Soon);
            }
        }
    }

    /// The same as [`commit`](Self::commit). A panic is as good as a disk that fails: what waits is written
    /// an interval later.
    fn commit_or_recover(&mut self, is_due: bool) -> bool {
        // First these, then the entries: what was appended before a flush or a close is among them. After a
        // panic, whoever waits hears that there was no commit when it is known what became of the entries.
        let flushes = self.shared.take_flushes();
        let commit = AssertUnwindSafe(|| self.commit(is_due, &flushes));
        catch_unwind(commit).unwrap_or_else(|_| {
            self.tails.iter_mut().for_each(Tail::recover);
            if self.shared.is_stopping() {
                // Nobody waits for another attempt.
                self.tails.clear();
            }
            true
        })
    }

    /// Writes all that waits, lets the disk have it if it is time, which it tells, and records what
    /// has ended.
    fn commit(&mut self, is_due: bool, flushes: &[Sender<()>]) -> bool {
        self.meet_logs();
        self.tails.iter_mut().for_each(Tail::look_whether_closing);
        let mut left = self.entries.len();
        loop {
            let collected = self.collect(left);
            for tail in &mut self.tails {
                tail.write(&mut self.buffer);
            }
            left -= collected;
            if left == 0 {
                break;
            }
        }
        let syncs = is_due || !flushes.is_empty() || self.shared.settings.sync.is_none();
        if syncs {
            self.sync();
        }
        for tail in &mut self.tails {
            tail.record_ends();
        }
        self.leave_logs();
        // Whoever waited too long is gone.
        flushes.iter().for_each(|flush| flush.try_send(()).unwrap_or_default());
        syncs
    }

    fn meet_logs(&mut self) {
        for log in self.shared.logs().iter() {
            if !self.tails.iter().any(|tail| tail.id() == log.id) {
                self.tails.push(Tail::new(Arc::clone(log)));
            }
        }
    }

    /// Collects some of so many entries. Not all at once: whoever appends gets room again while the
    /// writer works.
    fn collect(&mut self, left: usize) -> usize {
        let mut collected = 0;
        while collected < left.min(AT_ONCE)
            && let Ok(queued) = self.entries.try_recv()
        {
            if !self.tails.iter().any(|tail| tail.id() == queued.log) {
                // It was opened a moment ago.
                self.meet_logs();
            }
            let tail = self.tails.iter_mut().find(|tail| tail.id() == queued.log);
            tail.expect("a log stays until its last entry was collected").add(queued);
            collected += 1;
        }
        collected
    }

    fn sync(&mut self) {
        // All of them, also after one that fails.
        let synced: Vec<bool> = self.tails.iter_mut().map(Tail::sync).collect();
        if synced.contains(&true) {
            self.shared.synced();
        }
    }

    /// Forgets logs that were closed before all their entries were collected.
    fn leave_logs(&mut self) {
        let shared = &self.shared;
        self.tails.retain_mut(|tail| {
            let stays = !tail.leave();
            if !stays {
                shared.leave(tail.log());
            }
            stays
        });
    }
}

// === impl Due ===

impl Due {
    fn new(interval: Duration) -> Self {
        Self { interval, at: None }
    }

    /// How long it may still wait, which is an interval when nothing was asked for before.
    fn wait(&mut self, now: Instant) -> Duration {
        self.at.get_or_insert(now + self.interval).saturating_duration_since(now)
    }

    /// What is asked for from now on has an interval again.
    fn done(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_early_is_synced_when_it_is_due() {
        let (mut due, begin) = (Due::new(Duration::from_secs(10)), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(due.wait(begin), Duration::from_secs(10));
        // A write in between, without a sync, changes nothing.
        assert_eq!(due.wait(after(9)), Duration::from_secs(1));
        assert_eq!(due.wait(after(11)), Duration::ZERO);
        due.done();
        assert_eq!(due.wait(after(12)), Duration::from_secs(10));
    }
}
