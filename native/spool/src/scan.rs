//! What is in the directory of a log when it is opened: each segment is read once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::ends;
use crate::files::{Found, Holds, LogDir};
use crate::index::Index;
use crate::reader::{Item, Reader};
use crate::record::{BadHeader, HEAD, HEADER, Header, Kind};
use crate::segment::{Segment, Unreadable};
use crate::trouble::Trouble;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) index: Index,
    pub(crate) troubles: Vec<Trouble>,
    /// Bytes that were cut from the end of the last segment: a record that was being written when
    /// the run before ended.
    pub(crate) torn: u64,
}

/// Where one segment is.
struct Place<'a> {
    dir: &'a LogDir,
    found: Found,
    /// There is no segment behind it.
    is_last: bool,
}

/// What is to be done with a segment.
enum Verdict {
    /// It has records that have not ended.
    Keep(Segment),
    /// It has nothing, and never had or all of it has ended.
    Delete,
    /// Something is to be told of it, and nothing to be read from it.
    SetAside(Reason),
}

enum Reason {
    Damaged(Segment),
    Version(u32),
    Misnamed(u64),
    Read(io::Error),
}

/// Reads all segments of a log. Damage is among the troubles.
///
/// # Errors
///
/// The directory itself cannot be read.
pub(crate) fn scan(dir: &LogDir) -> io::Result<Scan> {
    let files = dir.list()?;
    let mut scan = Scan::default();
    let segments: Vec<Found> =
        files.iter().filter(|found| found.holds == Holds::Records).copied().collect();
    for found in &files {
        // Above all that a record in it can have had; nothing is deleted before that is known.
        let records = found.bytes / HEAD as u64;
        scan.index.skip_to(found.base.saturating_add(records).saturating_add(1));
        match found.holds {
            Holds::Aside => {
                scan.index.aside.files += 1;
                scan.index.aside.bytes += found.bytes;
            }
            // Its segment was deleted, or a copy was removed.
            Holds::Ended if !segments.iter().any(|segment| segment.base == found.base) => {
                scan.try_to(dir, *found, LogDir::remove);
            }
            Holds::Records | Holds::Ended => {}
        }
    }
    for (at, found) in segments.iter().enumerate() {
        scan.add(&Place { dir, found: *found, is_last: at + 1 == segments.len() });
    }
    Ok(scan)
}

/// How many records of a log have not ended, as far as they can be read. Changes nothing.
///
/// # Errors
///
/// The directory itself cannot be read.
pub(crate) fn count(dir: &LogDir) -> io::Result<u64> {
    let files = dir.list()?;
    let mut count = 0;
    for found in files.iter().filter(|found| found.holds == Holds::Records) {
        // None is the last one here, whose torn end would be cut.
        let place = Place { dir, found: *found, is_last: false };
        let read = File::open(place.path()).and_then(|file| place.read(file, &mut 0));
        if let Ok(Verdict::Keep(segment)) = read {
            count += u64::from(segment.live);
        }
    }
    Ok(count)
}

// === impl Scan ===

impl Scan {
    fn add(&mut self, place: &Place<'_>) {
        let file = match File::open(place.path()) {
            Ok(file) => file,
            Err(error) => {
                // It stays for the next time: this may pass, as when too many files are open.
                self.troubles.push(Trouble::read(place.path(), &error));
                return;
            }
        };
        let verdict = place
            .read(file, &mut self.torn)
            .unwrap_or_else(|error| Verdict::SetAside(Reason::Read(error)));
        match verdict {
            // A number has one record: it is a copy of another segment, with a damaged header.
            Verdict::Keep(segment) if self.index.header_of(segment.header.base).is_some() => {
                self.set_aside(place, Reason::Damaged(segment));
            }
            Verdict::Keep(segment) => {
                self.index.unreadable.add(segment.unreadable);
                self.index.insert(segment);
            }
            Verdict::Delete => self.try_to(place.dir, place.found, LogDir::remove),
            Verdict::SetAside(reason) => self.set_aside(place, reason),
        }
    }

    fn set_aside(&mut self, place: &Place<'_>, reason: Reason) {
        let path = match place.dir.set_aside(place.found.base) {
            Ok(path) => path,
            Err(error) => {
                self.troubles.push(Trouble::remove(place.path(), &error));
                return;
            }
        };
        // Its end may have been cut since it was found.
        let bytes = path.metadata().map_or(place.found.bytes, |metadata| metadata.len());
        self.index.aside.files += 1;
        self.index.aside.bytes += bytes;
        self.troubles.push(match reason {
            Reason::Damaged(segment) => {
                self.index.unreadable.add(segment.unreadable);
                Trouble::damaged(path, segment.unreadable)
            }
            Reason::Version(version) => Trouble::Version { path, version },
            Reason::Misnamed(base) => Trouble::Misnamed { path, base },
            Reason::Read(error) => Trouble::read(path, &error),
        });
    }

    fn try_to(&mut self, dir: &LogDir, found: Found, act: fn(&LogDir, u64) -> io::Result<()>) {
        if let Err(error) = act(dir, found.base) {
            self.troubles.push(Trouble::remove(dir.records(found.base), &error));
        }
    }
}

// === impl Place ===

impl Place<'_> {
    fn path(&self) -> PathBuf {
        self.dir.records(self.found.base)
    }

    fn read(&self, file: File, torn: &mut u64) -> io::Result<Verdict> {
        let length = self.found.bytes.min((HEADER + 8) as u64);
        let mut start = vec![0; usize::try_from(length).expect("it is at most 40")];
        file.read_exact_at(&mut start, 0)?;
        let begin = start.first_chunk::<HEADER>();
        if self.is_last && (begin.is_none() || is_all_zero(&file)?) {
            // It was being made when the run before ended.
            *torn += self.found.bytes;
            return Ok(Verdict::Delete);
        }
        let decoded = begin.map_or(Err(BadHeader::Damaged), Header::decode);
        let (header, is_damaged) = match decoded {
            Ok(header) if header.base != self.found.base => {
                return Ok(Verdict::SetAside(Reason::Misnamed(header.base)));
            }
            Ok(header) => (header, false),
            Err(BadHeader::Version(version)) => {
                return Ok(Verdict::SetAside(Reason::Version(version)));
            }
            Err(BadHeader::Damaged) => (self.salvaged(&start), true),
        };
        let mut segment = Segment::new(header, true);
        if is_damaged {
            segment.unreadable.bytes += HEADER.min(start.len()) as u64;
        }
        self.read_ends(&mut segment);
        self.read_records(file, &mut segment, torn);
        Ok(verdict(segment))
    }

    /// A header in place of one that is damaged: the same marker is in the other file, and where
    /// the first record begins.
    fn salvaged(&self, start: &[u8]) -> Header {
        let base = self.found.base;
        let other = ends::header(&self.dir.ended(base)).filter(|header| header.base == base);
        let marker = start.get(HEADER..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        other.unwrap_or(Header { base, marker: u64::from_le_bytes(marker) })
    }

    /// No index can be higher than the bytes allow, so none makes the bits grow beyond that.
    fn bound(&self) -> u32 {
        u32::try_from(self.found.bytes / HEAD as u64).unwrap_or(u32::MAX)
    }

    /// Before the records: where these are missing that had ended, there are holes.
    fn read_ends(&self, segment: &mut Segment) {
        let path = self.dir.ended(self.found.base);
        ends::read(&path, segment.header.marker, |(first, count)| {
            let end = first.saturating_add(count).min(self.bound());
            (first..end).for_each(|index| segment.had_ended(index));
        });
        segment.ended_bytes = path.metadata().map_or(0, |metadata| metadata.len());
    }

    fn read_records(&self, file: File, segment: &mut Segment, torn: &mut u64) {
        // Without a header, what cannot be read may be more than a record that was begun.
        let may_be_torn = self.is_last && !segment.is_damaged();
        let mut reader = Reader::new(file, segment.header.marker, HEADER as u64);
        reader.set_limit(self.found.bytes);
        let mut end = HEADER as u64;
        let (mut bad, mut failed) = (0, false);
        loop {
            match reader.next() {
                Ok(Some(Item::Frame(head, _)))
                    if head.kind != Kind::Ended && head.index >= segment.records =>
                {
                    let is_hole = segment.found(head.index, head.at);
                    let bad = std::mem::take(&mut bad);
                    segment.unreadable.bytes += if is_hole { 0 } else { bad };
                    end = reader.position();
                }
                Ok(Some(Item::Frame(head, _))) => bad += (HEAD + head.length) as u64,
                Ok(Some(Item::Bad(bytes))) => bad += bytes,
                Ok(None) => break,
                Err(_) => {
                    // A reader will tell, when it comes here.
                    bad = self.found.bytes.saturating_sub(end);
                    failed = true;
                    break;
                }
            }
        }
        segment.bytes = self.found.bytes;
        segment.holes = self.found.bytes - self.found.occupied;
        if bad > 0 && may_be_torn && !failed {
            *torn += bad;
            segment.bytes = self.cut(end);
            segment.holes = segment.holes.min(segment.bytes);
        } else if bad > 0 {
            segment.unreadable.add(Unreadable { bytes: bad, records: 1 });
        }
    }

    /// Cuts what is behind the last record, so that it is not taken for damage the next time.
    fn cut(&self, end: u64) -> u64 {
        let file = OpenOptions::new().write(true).open(self.path());
        // Where it cannot be cut, no more than that happens.
        file.and_then(|file| file.set_len(end)).map_or(self.found.bytes, |()| end)
    }
}

fn verdict(segment: Segment) -> Verdict {
    match (segment.live, segment.is_damaged()) {
        (0, true) => Verdict::SetAside(Reason::Damaged(segment)),
        (0, false) => Verdict::Delete,
        _ => Verdict::Keep(segment),
    }
}

fn is_all_zero(file: &File) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(true),
            read if buffer[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            read => at += read as u64,
        }
    }
}
