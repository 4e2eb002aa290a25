//! Who records the end of an entry: the one that ends it, or the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};
use std::time::SystemTime;

/// How far an entry has come: waiting, written, or ended. It is ended with
/// [`Log::end`](crate::Log::end), of the log that it belongs to.
///
/// Writer and workers race for it. What has ended before it is written is never written. What ends
/// later is on disk, and its end is recorded, exactly once: by [`Log::end`](crate::Log::end) if the
/// write came first, by the writer if the end came while it wrote.
#[derive(Debug, Default)]
pub struct Ticket(AtomicU64);

/// What a log writes down.
pub trait Entry: Send + Sync {
    /// Its ticket, the same in each call.
    fn ticket(&self) -> &Ticket;

    /// When it was accepted.
    fn accepted_at(&self) -> SystemTime;

    /// About how many bytes [`encode`](Self::encode) gives. Bounds go by it.
    fn size(&self) -> usize;

    /// Appends its bytes, at most [`MAX_PAYLOAD`](crate::MAX_PAYLOAD). Runs on the writer's thread,
    /// perhaps more than once.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Where an entry is, beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory as well: written only if it has not ended until then, and not read back in this
    /// run.
    Memory,
    /// Nowhere else: always written, and read back in this run.
    Disk,
}

const WAITING: u64 = 0;
const ENDED: u64 = u64::MAX;

// === impl Ticket ===

impl Ticket {
    /// The ticket of a record with this number, which is never 0.
    pub(crate) fn of_record(number: u64) -> Self {
        Self(AtomicU64::new(number))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Acquire) == ENDED
    }

    /// Tells that the entry is on disk now, under this number. If it has ended meanwhile, the
    /// answer is no, and the caller records the end.
    pub(crate) fn written(&self, number: u64) -> bool {
        self.0.compare_exchange(WAITING, number, AcqRel, Acquire).is_ok()
    }

    /// Ends the entry. The number of its record, if the caller has to record its end.
    pub(crate) fn end(&self) -> Option<u64> {
        match self.0.swap(ENDED, AcqRel) {
            WAITING | ENDED => None,
            number => Some(number),
        }
    }
}

impl<T: Entry + ?Sized> Entry for Arc<T> {
    fn ticket(&self) -> &Ticket {
        (**self).ticket()
    }

    fn accepted_at(&self) -> SystemTime {
        (**self).accepted_at()
    }

    fn size(&self) -> usize {
        (**self).size()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn exactly_one_side_records_the_end_of_an_entry_that_was_written() {
        let (mut by_writer, mut by_worker) = (0, 0);
        for number in 1..=2000 {
            let (ticket, start) = (Ticket::default(), Barrier::new(2));
            let (written, ended) = thread::scope(|scope| {
                let worker = scope.spawn(|| {
                    start.wait();
                    ticket.end()
                });
                start.wait();
                (ticket.written(number), worker.join().unwrap())
            });
            assert_eq!(written, ended.is_some(), "both or none would record it");
            assert!(ended.is_none_or(|ended| ended == number));
            by_worker += u32::from(written);
            by_writer += u32::from(!written);
        }
        assert_eq!(by_worker + by_writer, 2000);
    }

    #[test]
    fn an_entry_ends_once() {
        let ticket = Ticket::of_record(7);
        assert_eq!(ticket.end(), Some(7));
        assert_eq!(ticket.end(), None);
        assert!(!ticket.written(8));
    }
}
