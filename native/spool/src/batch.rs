//! Entries as the bytes of one write.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::log::milliseconds;
use crate::record::{HEAD, HEADER, Kind, MAX_PAYLOAD, write_frame};
use crate::spool::Queued;
use crate::ticket::{Entry, Place};

/// Where the bytes go.
pub(crate) struct Target {
    pub(crate) marker: u64,
    /// How many records are there.
    pub(crate) records: u32,
    /// How many bytes are there.
    pub(crate) bytes: u64,
    /// How many bytes there may be, unless it is for a single record.
    pub(crate) limit: u64,
}

/// What became of the first entries.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Of each: whether it is among the bytes. Others have ended, or can never be written.
    pub(crate) taken: Vec<bool>,
    /// How many are.
    pub(crate) records: u32,
    /// How many of these are nowhere else.
    pub(crate) on_disk_only: u32,
    /// When the oldest of these was accepted, in milliseconds since 1970.
    pub(crate) oldest: u64,
    /// The next entry has no room there.
    pub(crate) is_last: bool,
    /// What kept entries from being written.
    pub(crate) troubles: Vec<String>,
}

/// So many bytes are enough for one write.
pub(crate) const ENOUGH: usize = 1 << 20;

// === impl Batch ===

impl Batch {
    /// Puts entries into the buffer, in order, as long as there is room.
    pub(crate) fn encode(
        entries: &VecDeque<Queued>,
        target: &Target,
        buffer: &mut Vec<u8>,
    ) -> Self {
        buffer.clear();
        let mut batch = Self {
            taken: Vec::new(),
            records: 0,
            on_disk_only: 0,
            oldest: u64::MAX,
            is_last: false,
            troubles: Vec::new(),
        };
        for queued in entries {
            let before = buffer.len();
            let at = milliseconds(queued.entry.accepted_at());
            let added = batch.add(queued, target, at, buffer);
            let end = target.bytes + buffer.len() as u64;
            let is_first = target.bytes == HEADER as u64 && before == 0;
            if added && end > target.limit && !is_first {
                buffer.truncate(before);
                batch.is_last = true;
                break;
            }
            batch.count(queued, added, at);
            if buffer.len() >= ENOUGH {
                break;
            }
        }
        batch
    }

    /// Whether the entry is in the buffer now.
    fn add(&mut self, queued: &Queued, target: &Target, at: u64, buffer: &mut Vec<u8>) -> bool {
        let entry = &*queued.entry;
        let kind = match queued.place {
            Place::Memory if entry.ticket().has_ended() => return false,
            Place::Memory => Kind::Memory,
            Place::Disk => Kind::Disk,
        };
        let before = buffer.len();
        let head = (kind, target.records + self.records, at);
        let cause = match encode(entry, target.marker, head, buffer) {
            Ok(()) if buffer.len() - before <= HEAD + MAX_PAYLOAD => return true,
            Ok(()) => format!("it has more than {MAX_PAYLOAD} bytes"),
            Err(cause) => cause,
        };
        buffer.truncate(before);
        self.troubles.push(cause);
        false
    }

    fn count(&mut self, queued: &Queued, added: bool, at: u64) {
        self.taken.push(added);
        if added {
            self.records += 1;
            self.on_disk_only += u32::from(queued.place == Place::Disk);
            self.oldest = self.oldest.min(at);
        }
    }
}

/// The code of the caller: whatever it does, the writer goes on.
fn encode(
    entry: &dyn Entry,
    marker: u64,
    head: (Kind, u32, u64),
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    let write = || write_frame(buffer, marker, head, |out| entry.encode(out));
    catch_unwind(AssertUnwindSafe(write)).map_err(|_| "its encoding panicked".to_owned())
}
