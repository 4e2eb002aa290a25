//! What is known of a segment: counters, and a bit per record once one of them has ended.

use crate::record::{HEADER, Header, Kind};

/// A file of records, numbered from its base.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: Header,
    /// Of its file.
    pub(crate) bytes: u64,
    /// Of these, what the disk does not have to keep.
    pub(crate) holes: u64,
    /// Of the file that tells which have ended.
    pub(crate) ended_bytes: u64,
    /// How many records were written, or are missing between those that can be read.
    pub(crate) records: u32,
    /// How many of them are in the file, about: holes were made for the others.
    pub(crate) there: u32,
    /// How many of them have not ended.
    pub(crate) live: u32,
    /// How many of them are to be read back.
    pub(crate) unread: u32,
    /// When the first record was accepted, in milliseconds since 1970.
    pub(crate) oldest: u64,
    /// Nothing is added any more.
    pub(crate) full: bool,
    /// It was there when the log was opened.
    pub(crate) earlier: bool,
    pub(crate) unreadable: Unreadable,
    gone: Bits,
}

/// What could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// Bytes that belong to no intact record.
    pub bytes: u64,
    /// Records that are missing, as far as that can be told.
    pub records: u64,
}

/// A set of indexes, with memory up to the highest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

/// When no more than one in so many of the records has not ended, holes are made: seldom enough that
/// to read the file for it costs little.
const SPARSE: u32 = 4;

/// What takes less is left alone.
const WORTH: u64 = 32 << 10;

// === impl Segment ===

impl Segment {
    /// One without records.
    pub(crate) fn new(header: Header, earlier: bool) -> Self {
        Self {
            header,
            bytes: HEADER as u64,
            holes: 0,
            ended_bytes: 0,
            records: 0,
            there: 0,
            live: 0,
            unread: 0,
            oldest: u64::MAX,
            full: earlier,
            earlier,
            unreadable: Unreadable::default(),
            gone: Bits::default(),
        }
    }

    /// Tells of a record that had ended before any is found.
    pub(crate) fn had_ended(&mut self, index: u32) {
        self.gone.insert(index);
    }

    /// Adds a record that was found, after as many missing ones as its index tells. Whether these
    /// are missing because they had ended.
    pub(crate) fn found(&mut self, index: u32, at: u64) -> bool {
        let missing = self.records..index;
        let lost = missing.clone().filter(|missing| self.gone.insert(*missing)).count();
        self.unreadable.records += lost as u64;
        self.records = index + 1;
        self.there += 1;
        if !self.gone.contains(index) {
            self.live += 1;
            self.unread += 1;
            self.oldest = self.oldest.min(at);
        }
        lost == 0 && !missing.is_empty()
    }

    /// Adds records that were written.
    pub(crate) fn written(&mut self, records: u32, unread: u32, bytes: u64, oldest: u64) {
        self.records += records;
        self.there += records;
        self.live += records;
        self.unread += unread;
        self.bytes += bytes;
        self.oldest = self.oldest.min(oldest);
    }

    /// Ends a record. Whether that is new.
    pub(crate) fn end(&mut self, index: u32) -> bool {
        let new = index < self.records && self.gone.insert(index);
        self.live -= u32::from(new);
        new
    }

    /// Ends a record that cannot be read any more.
    pub(crate) fn lost(&mut self, index: u32) {
        self.unreadable.records += u64::from(self.end(index));
    }

    /// Whether a record that is read is to be given to the caller.
    pub(crate) fn is_wanted(&self, index: u32, kind: Kind) -> bool {
        (self.earlier || kind == Kind::Disk) && !self.gone.contains(index)
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.unreadable != Unreadable::default()
    }

    /// Whether holes would give room back that is worth the while. Nobody reads it any more.
    pub(crate) fn is_sparse(&self) -> bool {
        self.full
            && self.unread == 0
            && self.live <= self.there / SPARSE
            && self.bytes - self.holes >= WORTH
            && !self.is_damaged()
    }

    /// Which records have ended.
    pub(crate) fn ended(&self) -> Bits {
        self.gone.clone()
    }

    /// Tells what the file takes after holes were made. How much less that is.
    pub(crate) fn punched(&mut self, occupied: u64) -> u64 {
        let before = self.holes;
        self.holes = self.bytes.saturating_sub(occupied).max(before);
        self.there = self.live;
        self.holes - before
    }

    /// What both files take of the disk.
    pub(crate) fn all_bytes(&self) -> u64 {
        self.bytes - self.holes + self.ended_bytes
    }
}

// === impl Unreadable ===

impl Unreadable {
    pub(crate) fn add(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.records += more.records;
    }
}

// === impl Bits ===

impl Bits {
    /// Whether it is new.
    fn insert(&mut self, index: u32) -> bool {
        let (word, bit) = Self::place(index);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    pub(crate) fn contains(&self, index: u32) -> bool {
        let (word, bit) = Self::place(index);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(index: u32) -> (usize, u64) {
        (index as usize / 64, 1 << (index % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_once_and_missing_ones_have_ended() {
        let mut segment = Segment::new(Header { base: 1, marker: 0 }, true);
        segment.found(0, 5);
        segment.found(3, 4);
        assert_eq!((segment.records, segment.live, segment.unread), (4, 2, 2));
        assert_eq!((segment.oldest, segment.unreadable.records), (4, 2));
        assert!(!segment.end(1) && !segment.end(4), "missing, and never written");
        assert!(segment.end(3) && !segment.end(3));
        assert!(segment.is_wanted(0, Kind::Memory) && !segment.is_wanted(3, Kind::Disk));
        segment.lost(0);
        assert_eq!((segment.live, segment.unreadable.records), (0, 3));
    }

    #[test]
    fn what_is_in_memory_is_not_read_back_in_the_same_run() {
        let mut segment = Segment::new(Header { base: 1, marker: 0 }, false);
        segment.written(2, 1, 100, 7);
        assert!(segment.is_wanted(1, Kind::Disk) && !segment.is_wanted(0, Kind::Memory));
        assert!(!segment.is_wanted(1, Kind::Ended));
    }
}
