//! Gives room back to the disk in the middle of a segment, where records have ended.
//!
//! Nothing moves: the file stays as long as it was, and what was there reads as zeros. So neither the
//! order of records changes, nor where they are, and a crash at any moment leaves what it should.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

use crate::reader::{Item, Reader};
use crate::record::{HEAD, HEADER, Header};

/// What the disk gives back at a time, most often. With others, no harm is done.
const BLOCK: u64 = 4096;

/// What a file takes of the disk: without its holes.
pub(crate) fn occupied(metadata: &Metadata) -> u64 {
    // Blocks of a disk have 512 bytes here, whatever they have elsewhere.
    metadata.len().min(metadata.blocks() * 512)
}

/// Where something is in the file that is no hole, from there on. `None` if nothing is; where the
/// system does not know, everything is something.
pub(crate) fn next_data(file: &File, from: u64) -> Option<u64> {
    match seek(file, SeekFrom::Data(from)) {
        Ok(at) => Some(at),
        Err(rustix::io::Errno::NXIO) => None,
        Err(_) => Some(from),
    }
}

/// Makes holes where the records are that have ended, but for the last one, which tells how many there
/// are. What the file takes afterwards.
pub(crate) fn punch(
    path: &Path,
    header: Header,
    bytes: u64,
    has_ended: impl Fn(u32) -> bool,
) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut reader = Reader::new(file.try_clone()?, header.marker, HEADER as u64);
    reader.set_limit(bytes);
    // Where the next item begins, the last record, and what is behind the last one that stays.
    let (mut at, mut last, mut ended) = (HEADER as u64, HEADER as u64, HEADER as u64);
    while let Some(item) = reader.next()? {
        match item {
            Item::Frame(head, payload) => {
                let end = at + (HEAD + payload.len()) as u64;
                if !has_ended(head.index) {
                    punch_between(&file, ended, at)?;
                    ended = end;
                }
                (last, at) = (at, end);
            }
            Item::Bad(bytes) => at += bytes,
        }
    }
    punch_between(&file, ended, last)?;
    Ok(occupied(&file.metadata()?))
}

/// Only whole blocks: the rest of a record that has ended is no record, and costs nothing more.
fn punch_between(file: &File, from: u64, to: u64) -> io::Result<()> {
    let (from, to) = (from.next_multiple_of(BLOCK), to / BLOCK * BLOCK);
    if from < to {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(file, how, from, to - from)?;
    }
    Ok(())
}
