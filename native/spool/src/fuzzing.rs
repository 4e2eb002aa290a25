//! What the program in `native/fuzz` calls: a log of any files, held against a plain reader of what
//! [`record`](crate::record) says of their form. It exists with `--cfg fuzzing` only.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::files::{LogDir, NUMBERS};
use crate::record::{HEAD, HEADER, Header, Kind, MAX_PAYLOAD, write_frame};
use crate::{Entry, Log, Place, Spool, SpoolOptions, SyncOption, Ticket};

/// What a segment begins with that is in order, unless the input has another one.
const MARKER: u64 = 0x7265_6b72_616d_2121;
const PATIENCE: Duration = Duration::from_secs(10);
const APPENDED: &[u8] = b"appended";

/// The bytes of the files of each segment.
#[derive(Debug, Default)]
struct Files {
    records: Option<Vec<u8>>,
    ended: Option<Vec<u8>>,
}

/// What an input has not been used for yet.
struct Input<'a>(&'a [u8]);

struct Text(Ticket);

/// Writes the files that the input describes into a directory below this one, opens them as a log,
/// and reads it twice: what is given has to be what is intact there and has not ended, in order.
///
/// # Panics
///
/// It is not.
pub fn log(below: &Path, data: &[u8]) {
    let options = SpoolOptions {
        dir: below.to_string_lossy().into_owned(),
        max_bytes: 1 << 30,
        sync: SyncOption::Ms(60_000),
        max_age_ms: None,
    };
    let settings = options.check().expect("these options can be used");
    let dir = below.join("log");
    fs::create_dir_all(&dir).expect("a directory can be made");
    let files = Input(data).files();
    write(&LogDir::new(dir), &files);
    let mut expected = intact(&files);
    expected.push(APPENDED.to_vec());

    let open = || Spool::open(settings.clone(), || {}).expect("nobody else uses it");
    let spool = open();
    let log = spool.log(b"log", || {}).expect("any files are borne");
    log.append(Arc::new(Text(Ticket::default())), Place::Disk).expect("there is room");
    assert!(log.flush(PATIENCE), "{:?}", log.stats());
    // Every second one has ended then.
    assert_eq!(read(&log, 2), expected);
    assert!(log.close(PATIENCE));
    drop((log, spool));

    let left: Vec<_> = expected.into_iter().skip(1).step_by(2).collect();
    let spool = open();
    let log = spool.log(b"log", || {}).expect("any files are borne");
    assert_eq!(read(&log, 1), left);
    assert!(log.close(PATIENCE));
    let (stats, bytes) = (log.stats(), spool.bytes());
    assert_eq!((stats.records, stats.bytes, bytes), (0, 0, 0), "{stats:?}");
    drop((log, spool));
    fs::remove_dir_all(below).expect("it can be removed");
}

/// All payloads; of every so many records, the first one ends.
fn read(log: &Log, every: usize) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    loop {
        let done = log.read(7, 1 << 20, |stored| {
            if payloads.len() % every == 0 {
                log.end(&stored.ticket);
            }
            payloads.push(stored.payload.to_vec());
        });
        if done.records == 0 && !done.more {
            return payloads;
        }
    }
}

fn write(dir: &LogDir, files: &BTreeMap<u64, Files>) {
    for (base, Files { records, ended }) in files {
        for (path, bytes) in [(dir.records(*base), records), (dir.ended(*base), ended)] {
            if let Some(bytes) = bytes {
                fs::write(path, bytes).expect("there is memory for a file");
            }
        }
    }
}

// The plain reader

/// What has to be read back of all segments.
fn intact(files: &BTreeMap<u64, Files>) -> Vec<Vec<u8>> {
    let segments: Vec<_> = files
        .range(NUMBERS)
        .filter_map(|(base, it)| Some((*base, it.records.as_ref()?, it)))
        .collect();
    let mut all = Vec::new();
    // The first number that no segment before has.
    let mut free = 0;
    for (at, (base, bytes, Files { ended, .. })) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        if is_last && (bytes.len() < HEADER || bytes.iter().all(|byte| *byte == 0)) {
            continue;
        }
        let Some(marker) = marker(*base, bytes, ended.as_deref()) else { continue };
        let mut found = BTreeMap::new();
        for (kind, index, payload) in frames(bytes, marker) {
            let next = found.last_key_value().map_or(0, |(last, _)| last + 1);
            if kind != Kind::Ended && index >= next {
                found.insert(index, payload.to_vec());
            }
        }
        let records = found.last_key_value().map_or(0, |(last, _)| last + 1);
        for (_, _, ranges) in frames(ended.as_deref().unwrap_or_default(), marker)
            .into_iter()
            .filter(|(kind, ..)| *kind == Kind::Ended)
        {
            for range in ranges.chunks_exact(8) {
                let (first, count) = (number(&range[..4]), number(&range[4..]));
                found.retain(|index, _| !(first..first + count).contains(index));
            }
        }
        if !found.is_empty() && *base >= free {
            free = base + records;
            all.extend(found.into_values());
        }
    }
    all
}

/// What frames of this segment begin with, if any of them can be used.
fn marker(base: u64, records: &[u8], ended: Option<&[u8]>) -> Option<u64> {
    let header = |bytes: &[u8]| bytes.first_chunk().map(Header::decode);
    match header(records) {
        Some(Ok(header)) => (header.base == base).then_some(header.marker),
        Some(Err(crate::record::BadHeader::Version(_))) => None,
        Some(Err(crate::record::BadHeader::Damaged)) | None => match ended.and_then(header) {
            Some(Ok(header)) if header.base == base => Some(header.marker),
            _ => Some(records.get(HEADER..HEADER + 8).map_or(0, number)),
        },
    }
}

/// All that are intact, from the header on, with kind, index and payload.
fn frames(bytes: &[u8], marker: u64) -> Vec<(Kind, u64, &[u8])> {
    let (mut frames, mut at) = (Vec::new(), HEADER);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEAD) {
        let length = usize::try_from(number(&rest[8..12])).expect("it has 32 bits");
        let kind = [Kind::Memory, Kind::Disk, Kind::Ended].get(usize::from(rest[16]));
        let room = (at - HEADER) / HEAD;
        let is_intact = number(&rest[..8]) == marker
            && number(&rest[17..21]) <= room as u64
            && length <= MAX_PAYLOAD
            && rest.len() >= HEAD + length
            && sum(&[&rest[..12], &rest[16..HEAD + length]].concat()) == number(&rest[12..16]);
        match kind {
            Some(kind) if is_intact => {
                frames.push((*kind, number(&rest[17..21]), &rest[HEAD..HEAD + length]));
                at += HEAD + length;
            }
            _ => at += 1,
        }
    }
    frames
}

/// Of up to eight bytes, the least first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The CRC-32, bit by bit.
fn sum(bytes: &[u8]) -> u64 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    let add = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum));
    u64::from(!bytes.iter().fold(!0, add))
}

// === impl Input ===

impl Input<'_> {
    /// Up to five segments. Each has a byte for its number, then those of its two files.
    fn files(mut self) -> BTreeMap<u64, Files> {
        let mut files = BTreeMap::new();
        while files.len() < 5 && !self.0.is_empty() {
            let base = match self.byte() {
                // Of somebody else's, and one that leaves no less room above it than there ever was.
                254 => u64::MAX,
                255 => number(self.take(8)) >> 2,
                byte => u64::from(byte),
            };
            let (records, ended) = (self.file(base), self.file(base));
            files.insert(base, Files { records, ended });
        }
        files
    }

    /// A begin, then parts.
    fn file(&mut self, base: u64) -> Option<Vec<u8>> {
        let mut bytes = match self.byte() % 5 {
            0 => Header { base, marker: MARKER }.encode().to_vec(),
            1 => {
                let marker = number(self.take(8));
                Header { base: base ^ u64::from(self.byte()), marker }.encode().to_vec()
            }
            2 => another_version(base),
            3 => self.take(HEADER).to_vec(),
            _ => return None,
        };
        while self.part(&mut bytes) {}
        Some(bytes)
    }

    /// Whether there was one.
    fn part(&mut self, bytes: &mut Vec<u8>) -> bool {
        let before = bytes.len();
        let byte = if self.0.is_empty() { 0 } else { self.byte() };
        match byte % 8 {
            0 => return false,
            1 => bytes.extend_from_slice(self.some()),
            2 => bytes.resize(before + usize::from(self.byte()), 0),
            3 => bytes.truncate(before.saturating_sub(usize::from(self.byte()))),
            4 => {
                let at = usize::from(self.byte()) % before.max(1);
                bytes.iter_mut().rev().nth(at).into_iter().for_each(|byte| *byte ^= 1);
            }
            5 => {
                let (index, at) = (number(self.take(4)), number(self.take(8)));
                self.frame(index, at, bytes);
            }
            _ => {
                let index = u64::from(self.byte());
                self.frame(index, 0, bytes);
            }
        }
        true
    }

    /// One that is intact.
    fn frame(&mut self, index: u64, at: u64, bytes: &mut Vec<u8>) {
        let kind = [Kind::Memory, Kind::Disk, Kind::Ended][usize::from(self.byte() % 3)];
        let index = u32::try_from(index).expect("it has 32 bits");
        let payload = self.some();
        write_frame(bytes, MARKER, (kind, index, at), |out| out.extend_from_slice(payload));
    }

    /// As many bytes as the first one says.
    fn some(&mut self) -> &[u8] {
        let count = usize::from(self.byte());
        self.take(count)
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// That many, or as many as there are.
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn another_version(base: u64) -> Vec<u8> {
    let mut bytes = Header { base, marker: MARKER }.encode().to_vec();
    bytes[8] += 1;
    let sum = sum(&bytes[..28]).to_le_bytes();
    bytes[28..].copy_from_slice(&sum[..4]);
    bytes
}

// === impl Text ===

impl Entry for Text {
    fn ticket(&self) -> &Ticket {
        &self.0
    }

    fn accepted_at(&self) -> SystemTime {
        SystemTime::now()
    }

    fn size(&self) -> usize {
        APPENDED.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(APPENDED);
    }
}
