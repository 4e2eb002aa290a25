//! What an operator has to hear of.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::segment::Unreadable;

/// Something that went wrong with the files of a log. Each is told once; a write that goes on
/// failing once for each time that somebody asks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// Nothing can be written until it works again, which is tried at each interval.
    #[error("cannot write {path}: {cause}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// A segment, or the rest of it, cannot be read. The log goes on with the next one. One that
    /// cannot even be opened is tried again later.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// A segment that is not needed any more could not be deleted or renamed.
    #[error("cannot delete or rename {path}: {cause}")]
    Remove {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// What could be read of a segment has ended; the rest was set aside.
    #[error("{path}: {bytes} bytes of at least {records} records could not be read; set aside")]
    Damaged {
        /// Where the segment is now.
        path: PathBuf,
        /// Bytes that belong to no intact record.
        bytes: u64,
        /// Records that are missing, as far as that can be told.
        records: u64,
    },
    /// A segment was set aside, because another version wrote it.
    #[error("{path}: is of version {version} of the format, which is not known here; set aside")]
    Version {
        /// Where the segment is now.
        path: PathBuf,
        /// The version that it has.
        version: u32,
    },
    /// A segment was set aside, because it has the content of another one.
    #[error("{path}: has the content of segment {base:016x}; set aside")]
    Misnamed {
        /// Where the segment is now.
        path: PathBuf,
        /// The number that its header has.
        base: u64,
    },
    /// The writer has panicked. What waits is written at the next interval; what was written before may be
    /// there twice.
    #[error("{dir}: the writer panicked, and begins again")]
    Panic {
        /// The directory of the log.
        dir: PathBuf,
    },
    /// An entry could not become a record.
    #[error("{dir}: an entry was not written: {cause}")]
    Entry {
        /// The directory of the log.
        dir: PathBuf,
        /// What is the matter with it.
        cause: String,
    },
}

/// What has not been told yet, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// The latest failure of a write, or panic.
    write: Option<Trouble>,
    others: VecDeque<Trouble>,
}

/// Of more than these, the oldest are forgotten.
const MOST: usize = 64;

// === impl Trouble ===

impl Trouble {
    pub(crate) fn write(path: PathBuf, error: &io::Error) -> Self {
        Self::Write { path, cause: error.to_string() }
    }

    pub(crate) fn read(path: PathBuf, error: &io::Error) -> Self {
        Self::Read { path, cause: error.to_string() }
    }

    pub(crate) fn damaged(path: PathBuf, Unreadable { bytes, records }: Unreadable) -> Self {
        Self::Damaged { path, bytes, records }
    }

    pub(crate) fn remove(path: PathBuf, error: &io::Error) -> Self {
        Self::Remove { path, cause: error.to_string() }
    }
}

// === impl Troubles ===

impl Troubles {
    pub(crate) fn add(&mut self, trouble: Trouble) {
        if let Trouble::Write { .. } | Trouble::Panic { .. } = trouble {
            self.write = Some(trouble);
            return;
        }
        if self.others.len() == MOST {
            self.others.pop_front();
        }
        self.others.push_back(trouble);
    }

    pub(crate) fn take(&mut self) -> Vec<Trouble> {
        self.others.drain(..).chain(self.write.take()).collect()
    }
}
