//! Which records of a segment have ended, in a file beside it.
//!
//! It need not reach the disk before there are holes where these records were: without it, they are
//! read back once more. What cannot be read of it is passed over, so a damaged one costs no record.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::reader::{Item, Reader};
use crate::record::{HEADER, Header, Kind, MAX_PAYLOAD, u32_at, write_frame};

/// Indexes of records: the first, and how many.
pub(crate) type Range = (u32, u32);

/// Bytes of a range in a payload.
const RANGE: usize = 8;

/// Adds indexes, which are in order. How many bytes the file has more.
pub(crate) fn append(path: &Path, header: Header, indexes: &[u32]) -> io::Result<u64> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    let before = file.metadata()?.len();
    let was_begun = before < HEADER as u64;
    if was_begun {
        // Also where a header was begun: behind that, nothing could be found.
        file.set_len(0)?;
        bytes.extend_from_slice(&header.encode());
    }
    for ranges in ranges(indexes).chunks(MAX_PAYLOAD / RANGE) {
        write_frame(&mut bytes, header.marker, (Kind::Ended, 0, 0), |out| {
            for (first, count) in ranges {
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
        });
    }
    file.write_all(&bytes)?;
    Ok(bytes.len() as u64 - if was_begun { before } else { 0 })
}

/// Lets the disk have them.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_data()
}

/// What its header says, if it can be read.
pub(crate) fn header(path: &Path) -> Option<Header> {
    let mut bytes = [0; HEADER];
    File::open(path).ok()?.read_exact(&mut bytes).ok()?;
    Header::decode(&bytes).ok()
}

/// All ranges that can be read, of the segment with this marker.
pub(crate) fn read(path: &Path, marker: u64, mut each: impl FnMut(Range)) {
    let Ok(file) = File::open(path) else { return };
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let mut reader = Reader::new(file, marker, HEADER as u64);
    reader.set_limit(bytes);
    while let Ok(Some(item)) = reader.next() {
        let Item::Frame(head, payload) = item else { continue };
        if head.kind == Kind::Ended {
            let (ranges, _rest) = payload.as_chunks::<RANGE>();
            ranges.iter().for_each(|range| each((u32_at(range, 0), u32_at(range, 4))));
        }
    }
}

fn ranges(indexes: &[u32]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some((first, count)) if first.checked_add(*count) == Some(*index) => *count += 1,
            _ => ranges.push((*index, 1)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestDir;

    fn ended(path: &Path, marker: u64) -> Vec<Range> {
        let mut ended = Vec::new();
        read(path, marker, |range| ended.push(range));
        ended
    }

    #[test]
    fn indexes_become_ranges_and_are_found_again() {
        let dir = TestDir::new();
        let path = dir.path().join("ended");
        let header = Header::new(1);
        let first = append(&path, header, &[0, 1, 2, 7, 9, 10]).unwrap();
        let second = append(&path, header, &[3]).unwrap();
        assert_eq!(path.metadata().unwrap().len(), first + second);
        assert_eq!(super::header(&path), Some(header));
        assert_eq!(ended(&path, header.marker), [(0, 3), (7, 1), (9, 2), (3, 1)]);
        assert_eq!(ended(&path, header.marker + 1), [], "of another segment");
    }

    #[test]
    fn a_header_that_was_begun_costs_no_end() {
        let dir = TestDir::new();
        let path = dir.path().join("ended");
        let header = Header::new(1);
        let begun = u64::try_from(HEADER - 1).unwrap();
        std::fs::write(&path, &header.encode()[..HEADER - 1]).unwrap();
        let more = append(&path, header, &[3]).unwrap();
        assert_eq!(path.metadata().unwrap().len(), begun + more);
        assert_eq!(ended(&path, header.marker), [(3, 1)]);
    }

    #[test]
    fn what_is_damaged_ends_nothing() {
        let dir = TestDir::new();
        let path = dir.path().join("ended");
        let header = Header::new(1);
        append(&path, header, &[0, 1]).unwrap();
        append(&path, header, &[2]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let ended = ended(&path, header.marker);
            let all = [(0, 2), (2, 1)];
            let expected = if at < HEADER { 2 } else { 1 };
            assert_eq!(ended.len(), expected, "{at}");
            assert!(ended.iter().all(|range| all.contains(range)), "{at}: {ended:?}");
        }
    }
}
