//! The end of a log that grows: what only the writer knows of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use crate::batch::{Batch, ENOUGH, Target};
use crate::ends;
use crate::holes;
use crate::log;
use crate::record::{HEADER, Header};
use crate::segment::Segment;
use crate::spool::Queued;
use crate::ticket::Place;
use crate::trouble::Trouble;

/// A log with what is to be written to it.
pub(crate) struct Tail {
    log: Arc<log::Shared>,
    entries: VecDeque<Queued>,
    open: Option<Open>,
    /// Something was written and not synced.
    dirty: bool,
    /// No more entries come than there are.
    closing: bool,
    /// Numbers of records that have ended, which the index does not know yet.
    ended: Vec<u64>,
    /// Those that it knows, and that are not written.
    unsaved: Vec<u64>,
    /// There may be more segments in which holes are to be made.
    sparse: bool,
}

/// The segment that grows.
struct Open {
    file: File,
    header: Header,
    records: u32,
    bytes: u64,
}

/// So many ends are looked up at once.
const AT_ONCE: usize = 1024;

/// Of a segment that grows and whose records have all ended, so much may stay on disk.
const GROWING: u64 = 4;

// === impl Tail ===

impl Tail {
    pub(crate) fn new(log: Arc<log::Shared>) -> Self {
        Self {
            log,
            entries: VecDeque::new(),
            open: None,
            dirty: false,
            closing: false,
            ended: Vec::new(),
            unsaved: Vec::new(),
            sparse: false,
        }
    }

    /// The number of its log.
    pub(crate) fn id(&self) -> u64 {
        self.log.id
    }

    pub(crate) fn log(&self) -> &log::Shared {
        &self.log
    }

    pub(crate) fn add(&mut self, queued: Queued) {
        self.entries.push_back(queued);
    }

    pub(crate) fn look_whether_closing(&mut self) {
        self.closing = self.log.is_closed();
    }

    /// Whether there is something to do even if nobody asks.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.dirty
            || !self.entries.is_empty()
            || !self.ended.is_empty()
            || !self.unsaved.is_empty()
            || self.sparse
            || self.log.is_failing()
    }

    /// Writes what waits. What cannot be written goes on waiting.
    pub(crate) fn write(&mut self, buffer: &mut Vec<u8>) {
        self.forget_ended();
        while !self.entries.is_empty() {
            if let Err(trouble) = self.write_batch(buffer) {
                self.tell_late();
                self.log.fails(trouble);
                return;
            }
        }
        self.log.works();
    }

    fn forget_ended(&mut self) {
        let spool = &self.log.spool;
        self.entries.retain(|queued| {
            let stays = queued.place == Place::Disk || !queued.entry.ticket().has_ended();
            if !stays {
                spool.release(1, queued.bytes);
            }
            stays
        });
    }

    /// Counts what waits for another attempt, each once.
    fn tell_late(&mut self) {
        let new = self.entries.iter_mut().filter(|queued| !queued.late);
        self.log.late(new.map(|queued| queued.late = true).count() as u64);
    }

    /// Writes as many entries as one write and one segment take.
    fn write_batch(&mut self, buffer: &mut Vec<u8>) -> Result<(), Trouble> {
        let open = self.open()?;
        let (header, first) = (open.header, open.header.base + u64::from(open.records));
        let target = Target {
            marker: header.marker,
            records: open.records,
            bytes: open.bytes,
            limit: self.log.spool.settings.segment_bytes,
        };
        let batch = Batch::encode(&self.entries, &target, buffer);
        self.write_bytes(buffer, &batch)?;
        if let Some(segment) = self.log.index().get_mut(header.base) {
            let bytes = buffer.len() as u64;
            segment.written(batch.records, batch.on_disk_only, bytes, batch.oldest);
        }
        self.log.spool.grow(buffer.len() as u64);
        batch.troubles.into_iter().for_each(|cause| self.log.tell_entry(cause));
        self.settle(&batch.taken, first);
        if batch.is_last {
            let synced = self.sync_file();
            self.seal();
            synced.map_err(|error| Trouble::write(self.log.dir.records(header.base), &error))?;
        }
        Ok(())
    }

    /// The segment that grows. There is one from now on.
    fn open(&mut self) -> Result<&mut Open, Trouble> {
        let log = &self.log;
        if self.open.is_none() {
            let base = log.index().next();
            let open = create(log, base);
            let open = open.map_err(|error| Trouble::write(log.dir.records(base), &error))?;
            self.open = Some(open);
        }
        Ok(self.open.as_mut().expect("it was opened above"))
    }

    /// Writes behind what is there, or nothing.
    fn write_bytes(&mut self, bytes: &[u8], batch: &Batch) -> Result<(), Trouble> {
        let open = self.open()?;
        let Err(error) = open.file.write_all_at(bytes, open.bytes) else {
            if bytes.len() >= ENOUGH / 2 {
                begin_to_store(&open.file, open.bytes, bytes.len());
            }
            open.bytes += bytes.len() as u64;
            open.records += batch.records;
            self.dirty |= !bytes.is_empty();
            return Ok(());
        };
        let (base, records) = (open.header.base, open.records);
        if open.file.set_len(open.bytes).is_err() {
            // Part of it may be there; no other record may have these numbers.
            self.log.index().skip_to(base + u64::from(records + batch.records));
            self.seal();
        }
        Err(Trouble::write(self.log.dir.records(base), &error))
    }

    /// Lets go of the entries at the front: whether each was written.
    fn settle(&mut self, taken: &[bool], first: u64) {
        let (mut number, mut bytes, mut from_disk) = (first, 0, 0);
        for (queued, written) in self.entries.drain(..taken.len()).zip(taken) {
            bytes += queued.bytes;
            from_disk += u64::from(queued.place == Place::Disk);
            if *written {
                if queued.place == Place::Memory && !queued.entry.ticket().written(number) {
                    // It ended while it was written.
                    self.log.end(number);
                }
                number += 1;
            }
        }
        self.log.spool.release(taken.len(), bytes);
        self.log.no_longer_unwritten(from_disk);
    }

    /// Lets the disk have what was written. Whether there was something, and it has it.
    pub(crate) fn sync(&mut self) -> bool {
        if !self.dirty {
            return false;
        }
        let base = self.open.as_ref().map_or(0, |open| open.header.base);
        match self.sync_file() {
            Ok(()) => true,
            Err(error) => {
                // What the system makes of these pages now is not known: others are used.
                self.seal();
                self.log.fails(Trouble::write(self.log.dir.records(base), &error));
                false
            }
        }
    }

    fn sync_file(&mut self) -> io::Result<()> {
        self.dirty = false;
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    /// Ends the segment that grows.
    fn seal(&mut self) {
        self.dirty = false;
        if let Some(open) = self.open.take()
            && let Some(segment) = self.log.index().get_mut(open.header.base)
        {
            segment.full = true;
        }
    }

    /// Begins again after a panic: whatever it has interrupted is not known. Nothing that waits is lost.
    pub(crate) fn recover(&mut self) {
        if let Some(open) = &self.open {
            // So many records may be there that nobody knows of; no other record may have their numbers.
            let records = u64::from(open.records) + self.entries.len() as u64;
            self.log.index().skip_to(open.header.base + records);
            // What it cannot store now was not promised either.
            let _ = open.file.sync_data();
        }
        self.seal();
        self.tell_late();
        self.log.fails(Trouble::Panic { dir: self.log.dir.path().to_owned() });
    }

    /// Records what has ended, and lets go of segments that have nothing else.
    pub(crate) fn record_ends(&mut self) {
        self.ended.append(&mut self.log.take_ends());
        self.ended.sort_unstable();
        self.end_all();
        let growing =
            if self.closing { 0 } else { self.log.spool.settings.segment_bytes / GROWING };
        let finished = self.log.index().finished(growing);
        finished.into_iter().for_each(|base| self.finish(base));
        self.save();
        self.punch();
    }

    /// Some at a time: whoever asks for statistics waits for the index.
    fn end_all(&mut self) {
        while !self.ended.is_empty() {
            let some = self.ended.len().saturating_sub(AT_ONCE)..;
            let mut index = self.log.index();
            let new =
                self.ended[some.clone()].iter().filter(|number| index.end(**number).is_some());
            self.unsaved.extend(new);
            self.ended.truncate(some.start);
        }
        self.unsaved.sort_unstable();
    }

    /// Makes holes where records have ended, in one segment: the others wait, lest this takes long.
    fn punch(&mut self) {
        let spool = &self.log.spool;
        // What is not saved would be missing without a reason.
        let may = self.unsaved.is_empty() && spool.makes_holes();
        let sparse = may.then(|| self.log.index().sparse()).flatten();
        self.sparse = sparse.is_some();
        let Some((header, bytes, ended)) = sparse else { return };
        let dir = &self.log.dir;
        let path = dir.records(header.base);
        let synced = ends::sync(&dir.ended(header.base)).and_then(|()| dir.sync());
        let has_ended = |index| ended.contains(index);
        let punched = synced.and_then(|()| holes::punch(&path, header, bytes, has_ended));
        let occupied = match punched {
            Ok(occupied) => occupied,
            Err(error) if error.kind() == ErrorKind::Unsupported => return spool.no_holes(),
            Err(error) => {
                self.log.tell(Trouble::write(path, &error));
                bytes
            }
        };
        let less = self.log.index().get_mut(header.base).map(|segment| segment.punched(occupied));
        spool.shrink(less.unwrap_or_default());
    }

    /// Writes what has ended beside the segments. What cannot be written waits: the records have
    /// ended all the same.
    fn save(&mut self) {
        let mut failed = Vec::new();
        for (header, indexes) in self.by_segment() {
            let path = self.log.dir.ended(header.base);
            match ends::append(&path, header, &indexes) {
                Ok(bytes) => {
                    if let Some(segment) = self.log.index().get_mut(header.base) {
                        segment.ended_bytes += bytes;
                    }
                    self.log.spool.grow(bytes);
                }
                Err(error) => {
                    let numbers = indexes.iter().map(|index| header.base + u64::from(*index));
                    failed.extend(numbers);
                    self.log.tell(Trouble::write(path, &error));
                }
            }
        }
        self.unsaved = failed;
    }

    /// The indexes of what has ended in its segments, those of one segment together.
    fn by_segment(&self) -> Vec<(Header, Vec<u32>)> {
        let mut segments: Vec<(Header, Vec<u32>)> = Vec::new();
        for numbers in self.unsaved.chunks(AT_ONCE) {
            for (header, mut indexes) in self.log.index().by_segment(numbers) {
                match segments.last_mut() {
                    Some((last, all)) if *last == header => all.append(&mut indexes),
                    _ => segments.push((header, indexes)),
                }
            }
        }
        segments
    }

    /// Deletes a segment whose records have all ended, or sets it aside.
    fn finish(&mut self, base: u64) {
        if self.open.as_ref().is_some_and(|open| open.header.base == base) {
            self.seal();
        }
        let Some(segment) = self.log.index().remove(base) else { return };
        self.log.spool.shrink(segment.all_bytes());
        let dir = &self.log.dir;
        if !segment.is_damaged() {
            if let Err(error) = dir.remove(base) {
                self.log.tell(Trouble::remove(dir.records(base), &error));
            }
            return;
        }
        match dir.set_aside(base) {
            Ok(path) => {
                let aside = &mut self.log.index().aside;
                aside.files += 1;
                aside.bytes += segment.bytes;
                self.log.tell(Trouble::damaged(path, segment.unreadable));
            }
            Err(error) => self.log.tell(Trouble::remove(dir.records(base), &error)),
        }
    }

    /// Whether the log was closed and all was done for it. What could not be written is given up.
    pub(crate) fn leave(&mut self) -> bool {
        if self.closing {
            let (mut bytes, mut from_disk) = (0, 0);
            for queued in &self.entries {
                bytes += queued.bytes;
                from_disk += u64::from(queued.place == Place::Disk);
            }
            self.log.left(self.entries.is_empty() && !self.dirty && !self.log.is_failing());
            self.log.spool.release(self.entries.len(), bytes);
            self.entries.clear();
            self.log.no_longer_unwritten(from_disk);
        }
        self.closing
    }
}

/// Has the disk begin with what was written, without waiting for it: so it has less to do at the sync,
/// and the writer can encode meanwhile.
fn begin_to_store(file: &File, at: u64, bytes: usize) {
    // What is dirty stays in the cache, and the system begins to write it. Where it does not, the
    // sync takes longer.
    let _ = fadvise(file, at, NonZeroU64::new(bytes as u64), Advice::DontNeed);
}

/// Makes the segment that follows.
fn create(log: &log::Shared, base: u64) -> io::Result<Open> {
    let file = log.dir.create(base)?;
    let header = Header::new(base);
    let begun = file.write_all_at(&header.encode(), 0).and_then(|()| log.dir.sync());
    if let Err(error) = begun {
        // It is empty; where even this fails, the next opening deletes it.
        log.dir.remove(base).unwrap_or_default();
        return Err(error);
    }
    log.index().insert(Segment::new(header, false));
    log.spool.grow(HEADER as u64);
    Ok(Open { file, header, records: 0, bytes: HEADER as u64 })
}
