//! Reads frames from a file, whatever is in it: what cannot be read is passed over.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use crate::holes::next_data;
use crate::record::{HEAD, Head, is_intact};

/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// Goes through the frames of a file, from an offset to a limit.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    marker: u64,
    /// Where the first frame is.
    begin: u64,
    limit: u64,
    /// Where in the file the buffer begins.
    offset: u64,
    /// What has been read and not been used is `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A frame that is intact.
    Frame(Head, &'a [u8]),
    /// So many bytes that are none.
    Bad(u64),
}

enum Look {
    /// An intact frame.
    Frame(Head),
    /// No frame begins here.
    Bad,
    /// Nothing is left.
    End,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(file: File, marker: u64, begin: u64) -> Self {
        let (limit, offset, buffer) = (begin, begin, Vec::new());
        Self { file, marker, begin, limit, offset, buffer, start: 0, end: 0 }
    }

    /// Where the next item begins.
    pub(crate) fn position(&self) -> u64 {
        self.offset + self.start as u64
    }

    /// Reads up to there from now on.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Goes on from there, without a buffer.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.offset = offset;
        (self.start, self.end) = (0, 0);
        self.buffer = Vec::new();
    }

    /// The next item, or `None` at the limit or at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item<'_>>> {
        let from = self.position();
        let head = loop {
            match self.look()? {
                Look::Frame(head) => break Some(head),
                Look::Bad => self.skip_to_marker()?,
                Look::End => break None,
            }
        };
        let bad = self.position() - from;
        if bad > 0 {
            return Ok(Some(Item::Bad(bad)));
        }
        Ok(head.map(|head| {
            let payload = self.start + HEAD..self.start + HEAD + head.length;
            self.start = payload.end;
            Item::Frame(head, &self.buffer[payload])
        }))
    }

    /// Looks at what begins here, and passes over a rest that is too short for a frame.
    fn look(&mut self) -> io::Result<Look> {
        if !self.fill(HEAD)? {
            self.start = self.end;
            return Ok(Look::End);
        }
        let head: &[u8; HEAD] =
            self.buffer[self.start..][..HEAD].try_into().expect("that many were read");
        let head = Head::decode(head, self.marker).filter(|head| self.can_be_here(head));
        let Some(head) = head else { return Ok(Look::Bad) };
        let whole = HEAD + head.length;
        if whole as u64 > self.limit.saturating_sub(self.position()) || !self.fill(whole)? {
            return Ok(Look::Bad);
        }
        let intact = is_intact(&self.buffer[self.start..][..whole]);
        Ok(if intact { Look::Frame(head) } else { Look::Bad })
    }

    /// Whether so many records as its index says have room before it. What comes after it plays no
    /// part: it may be cut.
    fn can_be_here(&self, head: &Head) -> bool {
        u64::from(head.index) <= (self.position() - self.begin) / HEAD as u64
    }

    /// Passes over at least one byte, until the marker or the end.
    fn skip_to_marker(&mut self) -> io::Result<()> {
        let marker = self.marker.to_le_bytes();
        self.start += 1;
        while self.fill(marker.len())? {
            let unused = &self.buffer[self.start..self.end];
            match unused.windows(marker.len()).position(|bytes| bytes == marker) {
                Some(at) => {
                    self.start += at;
                    return Ok(());
                }
                None => self.start = self.end - (marker.len() - 1),
            }
            self.skip_hole();
        }
        self.start = self.end;
        Ok(())
    }

    /// Passes over a hole that begins here, or before.
    fn skip_hole(&mut self) {
        let next = next_data(&self.file, self.position()).unwrap_or(self.limit).min(self.limit);
        if next > self.offset + self.end as u64 {
            self.skip_to(next);
        }
    }

    /// Whether that many bytes are left; then they are in the buffer. If not, all that are left are.
    fn fill(&mut self, need: usize) -> io::Result<bool> {
        while self.end - self.start < need {
            self.make_room(need);
            let at = self.offset + self.end as u64;
            let left = usize::try_from(self.limit.saturating_sub(at)).unwrap_or(usize::MAX);
            let room = self.end..self.buffer.len().min(self.end.saturating_add(left));
            match self.file.read_at(&mut self.buffer[room], at) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn make_room(&mut self, need: usize) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.offset += self.start as u64;
        (self.start, self.end) = (0, self.end - self.start);
        let size = need.max(CHUNK).max(self.end);
        // Also smaller again, after one that was large.
        self.buffer.resize(size, 0);
        self.buffer.shrink_to(size);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::record::{Kind, write_frame};
    use crate::testing::TestDir;

    /// What a reader finds in these bytes: the payloads, and `-` for what is no frame.
    fn found(bytes: &[u8], limit: usize) -> (Vec<String>, u64) {
        let dir = TestDir::new();
        let path = dir.path().join("file");
        File::create_new(&path).unwrap().write_all(bytes).unwrap();
        let mut reader = Reader::new(File::open(path).unwrap(), 5, 0);
        reader.set_limit(limit as u64);
        let (mut found, mut bad) = (Vec::new(), 0);
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Frame(_, payload) => found.push(String::from_utf8_lossy(payload).into()),
                Item::Bad(bytes) => {
                    bad += bytes;
                    found.push("-".into());
                }
            }
        }
        (found, bad)
    }

    fn frames() -> Vec<Vec<u8>> {
        let frame = |index: u32| {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, 5, (Kind::Disk, index, 0), |out| {
                out.extend_from_slice(index.to_string().as_bytes());
            });
            bytes
        };
        (0..3).map(frame).collect()
    }

    #[test]
    fn what_is_damaged_is_passed_over() {
        let frames = frames();
        for at in 0..frames[1].len() {
            let mut bytes = frames.concat();
            bytes[frames[0].len() + at] ^= 0x20;
            assert_eq!(
                found(&bytes, bytes.len()),
                (vec!["0".into(), "-".into(), "2".into()], frames[1].len() as u64),
                "{at}"
            );
        }
    }

    #[test]
    fn garbage_between_frames_is_one_item_and_may_look_like_a_begin() {
        let frames = frames();
        let garbage = [&frames[0][..20], &[0; 1000], &frames[2][..7]].concat();
        let bytes = [frames[0].clone(), garbage.clone(), frames[1].clone()].concat();
        let (items, bad) = found(&bytes, bytes.len());
        assert_eq!((items.join(" "), bad), ("0 - 1".into(), garbage.len() as u64));
    }

    #[test]
    fn a_file_may_end_anywhere_and_before_its_limit() {
        let bytes = frames().concat();
        let whole = bytes.len() / 3;
        for length in 0..bytes.len() {
            let (items, bad) = found(&bytes[..length], bytes.len());
            let mut expected: Vec<String> = (0..length / whole).map(|n| n.to_string()).collect();
            if length % whole > 0 {
                expected.push("-".into());
            }
            assert_eq!((items, bad), (expected, (length % whole) as u64), "{length}");
            assert_eq!(found(&bytes, length), found(&bytes[..length], length), "{length}");
        }
    }

    #[test]
    fn an_index_that_has_no_room_before_it_is_none() {
        let mut bytes = frames().concat();
        let end = bytes.len();
        for (index, expected) in [(3, "0 1 2 3"), (4, "0 1 2 -")] {
            write_frame(&mut bytes, 5, (Kind::Disk, index, 0), |out| {
                out.extend_from_slice(index.to_string().as_bytes());
            });
            assert_eq!(found(&bytes, bytes.len()).0.join(" "), expected);
            bytes.truncate(end);
        }
    }

    #[test]
    fn records_may_be_larger_than_what_is_read_at_once() {
        let mut bytes = Vec::new();
        for size in [3 * CHUNK, 0, CHUNK - HEAD, 10] {
            write_frame(&mut bytes, 5, (Kind::Disk, 0, 0), |out| {
                out.extend(std::iter::repeat_n(b'x', size));
            });
        }
        let (items, bad) = found(&bytes, bytes.len());
        let sizes: Vec<usize> = items.iter().map(String::len).collect();
        assert_eq!((sizes, bad), (vec![3 * CHUNK, 0, CHUNK - HEAD, 10], 0));
    }
}
