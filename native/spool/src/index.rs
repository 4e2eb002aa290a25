//! The segments of a log, oldest first.

use std::collections::BTreeMap;

use crate::record::{Header, Kind};
use crate::segment::{Bits, Segment, Unreadable};

/// What is known of all segments. Its lock is held for a short look only.
#[derive(Debug, Default)]
pub(crate) struct Index {
    segments: BTreeMap<u64, Segment>,
    /// The least number that was never given to a record.
    next: u64,
    pub(crate) aside: Aside,
    /// Of all segments that were found since the log was opened.
    pub(crate) unreadable: Unreadable,
}

/// Files that were set aside. They are kept until somebody removes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// How many there are.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// The sums of all segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    /// Records that have not ended.
    pub(crate) live: u64,
    /// Records that are to be read back.
    pub(crate) unread: u64,
    pub(crate) bytes: u64,
    /// When the first record was accepted of the oldest segment with any that has not ended.
    pub(crate) oldest: Option<u64>,
    pub(crate) aside: Aside,
    pub(crate) unreadable: Unreadable,
}

/// A segment, as a reader has to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) header: Header,
    pub(crate) bytes: u64,
    pub(crate) records: u32,
    pub(crate) full: bool,
}

// === impl Index ===

impl Index {
    pub(crate) fn insert(&mut self, segment: Segment) {
        self.next = self.next.max(segment.header.base + u64::from(segment.records));
        self.segments.insert(segment.header.base, segment);
    }

    pub(crate) fn remove(&mut self, base: u64) -> Option<Segment> {
        self.next = self.next();
        self.segments.remove(&base)
    }

    pub(crate) fn get_mut(&mut self, base: u64) -> Option<&mut Segment> {
        self.segments.get_mut(&base)
    }

    /// The least number for a record that no file on disk can have. Never 0.
    pub(crate) fn next(&self) -> u64 {
        let last = self.segments.last_key_value();
        last.map_or(0, |(base, last)| base + u64::from(last.records)).max(self.next).max(1)
    }

    /// No record gets a number below this one.
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Ends a record. The base of its segment, if that is new.
    pub(crate) fn end(&mut self, number: u64) -> Option<u64> {
        let (base, segment) = self.segments.range_mut(..=number).next_back()?;
        segment.end(u32::try_from(number - base).ok()?).then_some(*base)
    }

    /// The header of the segment that a record is in.
    pub(crate) fn header_of(&self, number: u64) -> Option<Header> {
        let (base, segment) = self.segments.range(..=number).next_back()?;
        (number - base < u64::from(segment.records)).then_some(segment.header)
    }

    /// The indexes of records in their segments, if these are there. Numbers and indexes are in order.
    pub(crate) fn by_segment(&self, numbers: &[u64]) -> Vec<(Header, Vec<u32>)> {
        let mut segments: Vec<(Header, Vec<u32>)> = Vec::new();
        for number in numbers {
            let Some(header) = self.header_of(*number) else { continue };
            let Ok(index) = u32::try_from(number - header.base) else { continue };
            match segments.last_mut() {
                Some((last, indexes)) if *last == header => indexes.push(index),
                _ => segments.push((header, vec![index])),
            }
        }
        segments
    }

    /// The first segment that has something to be read back, from this base on.
    pub(crate) fn view(&self, from: u64) -> Option<View> {
        let (_, segment) = self.segments.range(from..).find(|(_, segment)| segment.unread > 0)?;
        Some(View {
            header: segment.header,
            bytes: segment.bytes,
            records: segment.records,
            full: segment.full,
        })
    }

    /// Whether the caller gets a record that was read; if so, it has been read.
    pub(crate) fn give(&mut self, base: u64, index: u32, kind: Kind) -> bool {
        let Some(segment) = self.segments.get_mut(&base) else { return false };
        let wanted = segment.is_wanted(index, kind);
        segment.unread = segment.unread.saturating_sub(u32::from(wanted));
        wanted
    }

    /// Tells of records that cannot be read, and of bytes between others. What was found when the
    /// log was opened is not counted again.
    pub(crate) fn lost(&mut self, base: u64, indexes: std::ops::Range<u32>, bytes: u64) {
        let Some(segment) = self.segments.get_mut(&base) else { return };
        let before = segment.unreadable;
        indexes.for_each(|index| segment.lost(index));
        if !segment.earlier || segment.unreadable != before {
            segment.unreadable.bytes += bytes;
            self.unreadable.bytes += bytes;
        }
        self.unreadable.records += segment.unreadable.records - before.records;
    }

    /// Tells that a reader has come to the end of what the segment has now.
    pub(crate) fn passed(&mut self, view: &View) {
        if let Some(segment) = self.segments.get_mut(&view.header.base)
            && segment.records == view.records
        {
            segment.unread = 0;
        }
    }

    /// The segments of which nothing is left to end, oldest first. One that still grows is not
    /// among them until it has that many bytes.
    pub(crate) fn finished(&self, growing: u64) -> Vec<u64> {
        let finished = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.live == 0 && (segment.full || segment.bytes >= growing));
        finished.map(|(base, _)| *base).collect()
    }

    /// The first segment in which holes should be made, and which of its records have ended.
    pub(crate) fn sparse(&self) -> Option<(Header, u64, Bits)> {
        let segment = self.segments.values().find(|segment| segment.is_sparse())?;
        Some((segment.header, segment.bytes, segment.ended()))
    }

    pub(crate) fn levels(&self) -> Levels {
        let live = self.segments.values().map(|segment| u64::from(segment.live)).sum();
        let oldest = self.segments.values().find(|segment| segment.live > 0);
        Levels {
            live,
            unread: self.unread(),
            bytes: self.bytes(),
            oldest: oldest.map(|segment| segment.oldest),
            aside: self.aside,
            unreadable: self.unreadable,
        }
    }

    /// How many records are to be read back.
    pub(crate) fn unread(&self) -> u64 {
        self.segments.values().map(|segment| u64::from(segment.unread)).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(Segment::all_bytes).sum()
    }
}
