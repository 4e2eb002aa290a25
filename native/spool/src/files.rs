//! The files of a log: their names, and what is done with them as a whole.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::holes::occupied;

/// What a file of a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Records: a segment.
    Records,
    /// Which records of the segment have ended.
    Ended,
    /// What was set aside.
    Aside,
}

/// No record can end that has the number 0, and no log comes near the highest: a file of another number
/// is somebody else's.
pub(crate) const NUMBERS: RangeInclusive<u64> = 1..=u64::MAX / 2;

/// The directory of a log.
#[derive(Clone, Debug)]
pub(crate) struct LogDir(PathBuf);

/// A file that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) holds: Holds,
    /// The number of the first record.
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    /// What it takes of the disk, where it has holes.
    pub(crate) occupied: u64,
}

// === impl LogDir ===

impl LogDir {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn records(&self, base: u64) -> PathBuf {
        self.0.join(format!("{base:016x}.log"))
    }

    pub(crate) fn ended(&self, base: u64) -> PathBuf {
        self.0.join(format!("{base:016x}.ended"))
    }

    /// All files of the log, in the order of their numbers. Files of others are passed over.
    pub(crate) fn list(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let Some((holds, base)) = entry.file_name().to_str().and_then(parse) else { continue };
            // One that is gone meanwhile has no bytes.
            let metadata = entry.metadata().ok();
            let bytes = metadata.as_ref().map_or(0, Metadata::len);
            let occupied = metadata.as_ref().map_or(0, occupied);
            found.push(Found { holds, base, bytes, occupied });
        }
        found.sort_by_key(|found| found.base);
        Ok(found)
    }

    /// What the files take of the disk, without what was set aside.
    pub(crate) fn occupied(&self) -> io::Result<u64> {
        let files = self.list()?.into_iter().filter(|found| found.holds != Holds::Aside);
        Ok(files.map(|found| found.occupied).sum())
    }

    /// Makes a segment. The directory is made again, should somebody have removed it.
    pub(crate) fn create(&self, base: u64) -> io::Result<File> {
        create_dir(&self.0)?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.records(base))
    }

    /// Deletes a segment with what belongs to it.
    pub(crate) fn remove(&self, base: u64) -> io::Result<()> {
        // In this order: what has ended must not be forgotten before the records.
        remove(&self.records(base))?;
        remove(&self.ended(base))
    }

    /// Renames a segment so that nobody reads or deletes it, and deletes what belongs to it.
    pub(crate) fn set_aside(&self, base: u64) -> io::Result<PathBuf> {
        let mut to = self.0.join(format!("{base:016x}.damaged"));
        for number in 2.. {
            if !to.try_exists()? {
                break;
            }
            to = self.0.join(format!("{base:016x}-{number}.damaged"));
        }
        fs::rename(self.records(base), &to)?;
        remove(&self.ended(base))?;
        Ok(to)
    }

    /// Lets the disk know which files there are.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_dir(&self.0)
    }
}

/// Makes a directory that only its owner may use, and what is missing above it.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Deletes a file that may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn parse(name: &str) -> Option<(Holds, u64)> {
    let (stem, extension) = name.split_once('.')?;
    let (stem, holds) = match extension {
        "log" => (stem, Holds::Records),
        "ended" => (stem, Holds::Ended),
        "damaged" => (stem.split_once('-').map_or(stem, |(stem, _number)| stem), Holds::Aside),
        _ => return None,
    };
    let base = u64::from_str_radix(stem, 16).ok()?;
    // Only as they are written here: others belong to others.
    (NUMBERS.contains(&base) && stem == format!("{base:016x}")).then_some((holds, base))
}
