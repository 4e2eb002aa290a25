//! How a log stands.

use std::time::{Duration, SystemTime};

use crate::index::Aside;
use crate::segment::Unreadable;

/// A log at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStats {
    /// Records on disk that have not ended.
    pub records: u64,
    /// Entries that are still to be read back, written or not.
    pub unread: u64,
    /// Entries that were taken and could not be written when they were to be, since the log was
    /// opened. They are in memory only until a later attempt succeeds.
    pub late: u64,
    /// What its files take of the disk, without what was set aside.
    pub bytes: u64,
    /// How much of what the files of all logs may have they have, in percent.
    pub used_percent: u64,
    /// How long ago the oldest record that has not ended was accepted, at most: it is the first of
    /// its segment that counts.
    pub oldest: Option<Duration>,
    /// When the disk last confirmed what was written, to whichever log.
    pub last_sync: Option<SystemTime>,
    /// Files that were set aside, by this run or before.
    pub set_aside: Aside,
    /// What could not be read, since the log was opened.
    pub unreadable: Unreadable,
    /// Bytes of a record that was being written when the run before ended. They are no error.
    pub torn_bytes: u64,
    /// Records of [logs that nobody has](crate::Spool::find_orphans), and what their files take.
    pub orphaned: (u64, u64),
    /// Whether it takes entries.
    pub state: State,
}

/// Whether a log takes entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Ok,
    /// It does not, because the files of all logs have as many bytes as they may have.
    Full,
    /// It does not, because the latest write failed: the cause.
    Failing(String),
}
