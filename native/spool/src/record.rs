//! What the files are made of: a header, then frames. Numbers are little-endian.
//!
//! ```text
//! header: magic 8 | version 4 | base 8 | marker 8 | CRC-32 of it 4
//! frame:  marker 8 | length of payload 4 | CRC-32 4 | kind 1 | index 4 | milliseconds 8 | payload
//! ```
//!
//! The CRC-32 of a frame is that of all its other bytes. Versions to come keep magic, version and
//! CRC where they are.
//!
//! The marker is chosen at random for each segment. A payload may hold anything that somebody wrote,
//! also what looks like a frame; but nobody who writes one can know the marker, so whoever searches
//! for the next frame in a damaged file does not find theirs.

use std::hash::{BuildHasher, RandomState};

use crc32fast::Hasher;

/// Bytes of a header.
pub(crate) const HEADER: usize = 32;
/// Bytes of a frame before its payload.
pub(crate) const HEAD: usize = 29;

/// How many bytes the payload of a record may have.
pub const MAX_PAYLOAD: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"EPSPOOL\n";
const VERSION: u32 = 1;

/// The begin of a segment, and of what tells which of its records have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of its first record.
    pub(crate) base: u64,
    pub(crate) marker: u64,
}

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    Damaged,
    /// It is in order, but of another version.
    Version(u32),
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record that was in memory, too, when it was written.
    Memory,
    /// A record that was nowhere else.
    Disk,
    /// Ranges of records that have ended.
    Ended,
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Which record of the segment it is; the first one is 0.
    pub(crate) index: u32,
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) at: u64,
    /// Of the payload.
    pub(crate) length: usize,
}

// === impl Header ===

impl Header {
    /// A header with a marker of its own.
    pub(crate) fn new(base: u64) -> Self {
        Self { base, marker: RandomState::new().hash_one(base) }
    }

    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.base.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.marker.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Result<Self, BadHeader> {
        if &bytes[..8] != MAGIC || u32_at(bytes, 28) != crc32fast::hash(&bytes[..28]) {
            return Err(BadHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Self { base: u64_at(bytes, 12), marker: u64_at(bytes, 20) }),
            version => Err(BadHeader::Version(version)),
        }
    }
}

// === impl Head ===

impl Head {
    /// Reads the begin of a frame with this marker; its CRC is yet to be compared.
    pub(crate) fn decode(bytes: &[u8; HEAD], marker: u64) -> Option<Self> {
        let kind = Kind::of(bytes[16])?;
        let length = usize::try_from(u32_at(bytes, 8)).ok()?;
        (u64_at(bytes, 0) == marker && length <= MAX_PAYLOAD).then(|| Self {
            kind,
            index: u32_at(bytes, 17),
            at: u64_at(bytes, 21),
            length,
        })
    }
}

// === impl Kind ===

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Memory, Self::Disk, Self::Ended].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Appends a frame. The payload is what `encode` appends.
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    marker: u64,
    (kind, index, at): (Kind, u32, u64),
    encode: impl FnOnce(&mut Vec<u8>),
) {
    let begin = out.len();
    out.extend_from_slice(&marker.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.push(kind as u8);
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(&at.to_le_bytes());
    encode(out);
    let frame = &mut out[begin..];
    let length = u32::try_from(frame.len() - HEAD).unwrap_or(u32::MAX);
    frame[8..12].copy_from_slice(&length.to_le_bytes());
    let sum = sum(frame);
    frame[12..16].copy_from_slice(&sum.to_le_bytes());
}

/// Whether a whole frame is as it was written.
pub(crate) fn is_intact(frame: &[u8]) -> bool {
    u32_at(frame, 12) == sum(frame)
}

fn sum(frame: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&frame[..12]);
    hasher.update(&frame[16..]);
    hasher.finalize()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_a_wrong_bit_is_damaged_and_another_version_is_named() {
        let header = Header { base: 7, marker: 0x0123_4567_89ab_cdef };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..8 * HEADER {
            let mut wrong = bytes;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&wrong), Err(BadHeader::Damaged), "{bit}");
        }
        let mut next = bytes;
        next[8] = 2;
        let sum = crc32fast::hash(&next[..28]);
        next[28..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::decode(&next), Err(BadHeader::Version(2)));
    }

    #[test]
    fn a_frame_with_a_wrong_bit_is_not_intact() {
        let mut frame = Vec::new();
        write_frame(&mut frame, 5, (Kind::Disk, 3, 99), |out| out.extend_from_slice(b"payload"));
        let head = Head::decode(frame[..HEAD].try_into().unwrap(), 5).unwrap();
        assert_eq!(head, Head { kind: Kind::Disk, index: 3, at: 99, length: 7 });
        assert!(is_intact(&frame) && frame.ends_with(b"payload"));
        assert_eq!(Head::decode(frame[..HEAD].try_into().unwrap(), 6), None);
        for bit in 0..8 * frame.len() {
            let mut wrong = frame.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(&wrong), "{bit}");
        }
    }
}
