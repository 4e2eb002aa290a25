//! Reads a log back, from its oldest segment to where it grows.

use std::fs::File;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::index::View;
use crate::log::{self, age};
use crate::reader::{Item, Reader};
use crate::record::{HEAD, HEADER, Head, Kind};
use crate::ticket::Ticket;
use crate::trouble::Trouble;

/// A record that was read back.
#[derive(Debug)]
pub struct Stored<'a> {
    /// Ends it, with [`Log::end`](crate::Log::end).
    pub ticket: Ticket,
    /// When it was accepted, to the millisecond.
    pub accepted_at: SystemTime,
    /// The bytes that [`Entry::encode`](crate::Entry::encode) gave.
    pub payload: &'a [u8],
}

/// What a call of [`Log::read`](crate::Log::read) came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Records that were given.
    pub records: usize,
    /// Records that were too old. They have ended.
    pub expired: u64,
    /// Another call may give more now.
    pub more: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// The segment, by its base, or the next one.
    at: u64,
    reader: Option<Reader>,
    /// The index that the next record should have.
    next: u32,
}

/// A call of [`Cursor::read`], with what it may still give and read.
struct Call<'a> {
    log: &'a log::Shared,
    now: SystemTime,
    records: usize,
    bytes: usize,
    scanned: u64,
    done: Read,
}

/// One call reads no more than this, lest it takes long where little is wanted.
const SCANNED: u64 = 8 << 20;

// === impl Cursor ===

impl Cursor {
    pub(crate) fn read(
        &mut self,
        log: &log::Shared,
        (records, bytes): (usize, usize),
        mut each: impl FnMut(Stored<'_>),
    ) -> Read {
        let now = SystemTime::now();
        let mut call = Call { log, now, records, bytes, scanned: SCANNED, done: Read::default() };
        while !call.is_over() {
            let view = log.index().view(self.at);
            let Some(view) = view else {
                self.rest();
                return call.done;
            };
            if !self.open(log, &view) {
                break;
            }
            self.read_segment(&mut call, &view, &mut each);
        }
        call.done.more = log.index().view(self.at).is_some();
        call.done
    }

    /// Keeps nothing in memory for a log that is read rarely.
    fn rest(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.skip_to(reader.position());
        }
    }

    /// Whether the segment is open now, or can never be.
    fn open(&mut self, log: &log::Shared, view: &View) -> bool {
        let base = view.header.base;
        if self.at != base {
            (self.at, self.next, self.reader) = (base, 0, None);
        }
        if self.reader.is_some() {
            return true;
        }
        let path = log.dir.records(base);
        match File::open(&path) {
            Ok(file) => {
                self.reader = Some(Reader::new(file, view.header.marker, HEADER as u64));
                true
            }
            Err(error) => {
                log.tell(Trouble::read(path, &error));
                // All else may pass, as when too many files are open.
                error.kind() == ErrorKind::NotFound
            }
        }
    }

    /// Reads up to the end of a segment, or until the call is over.
    fn read_segment(
        &mut self,
        call: &mut Call<'_>,
        view: &View,
        each: &mut impl FnMut(Stored<'_>),
    ) {
        let base = view.header.base;
        while !call.is_over() {
            let Some(reader) = &mut self.reader else { break };
            reader.set_limit(view.bytes);
            match reader.next() {
                Ok(Some(Item::Frame(head, payload))) if is_next(&head, self.next, view) => {
                    if head.index > self.next {
                        call.log.index().lost(base, self.next..head.index, 0);
                    }
                    self.next = head.index + 1;
                    call.record(base, &head, payload, each);
                }
                Ok(Some(Item::Frame(head, _))) => call.bad(base, (HEAD + head.length) as u64),
                Ok(Some(Item::Bad(bytes))) => call.bad(base, bytes),
                Ok(None) => break,
                Err(error) => {
                    call.log.tell(Trouble::read(call.log.dir.records(base), &error));
                    break;
                }
            }
        }
        if !call.is_over() {
            self.pass(call.log, view);
        }
    }

    /// Goes behind what the segment has now. What is missing is lost.
    fn pass(&mut self, log: &log::Shared, view: &View) {
        let base = view.header.base;
        let mut index = log.index();
        let missing = self.next..view.records;
        if !missing.is_empty() {
            let read = self.reader.as_ref().map_or(0, Reader::position);
            index.lost(base, missing, view.bytes.saturating_sub(read));
            self.next = view.records;
        }
        index.passed(view);
        if view.full {
            (self.at, self.next, self.reader) = (base + 1, 0, None);
        } else if let Some(reader) = &mut self.reader {
            reader.skip_to(view.bytes);
        }
    }
}

// === impl Call ===

impl Call<'_> {
    fn is_over(&self) -> bool {
        self.records == 0 || self.bytes == 0 || self.scanned == 0
    }

    fn record(
        &mut self,
        base: u64,
        head: &Head,
        payload: &[u8],
        each: &mut impl FnMut(Stored<'_>),
    ) {
        self.scan((HEAD + payload.len()) as u64);
        if !self.log.index().give(base, head.index, head.kind) {
            return;
        }
        let number = base + u64::from(head.index);
        if self.log.spool.max_age().is_some_and(|most| age(head.at, self.now) > most) {
            self.done.expired += 1;
            self.log.end(number);
            return;
        }
        self.done.records += 1;
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(payload.len());
        let accepted_at = UNIX_EPOCH.checked_add(Duration::from_millis(head.at));
        let accepted_at = accepted_at.unwrap_or(UNIX_EPOCH);
        each(Stored { ticket: Ticket::of_record(number), accepted_at, payload });
    }

    fn bad(&mut self, base: u64, bytes: u64) {
        self.scan(bytes);
        self.log.index().lost(base, 0..0, bytes);
    }

    fn scan(&mut self, bytes: u64) {
        self.scanned = self.scanned.saturating_sub(bytes);
    }
}

/// Whether it is a record that can come here.
fn is_next(head: &Head, next: u32, view: &View) -> bool {
    head.kind != Kind::Ended && (next..view.records).contains(&head.index)
}
