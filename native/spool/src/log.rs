//! The log of one pool: what its callers and the writer share.

use std::path::PathBuf;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::cursor::{Cursor, Read, Stored};
use crate::files::LogDir;
use crate::index::{Index, Levels};
use crate::record::{HEAD, MAX_PAYLOAD};
use crate::scan::Scan;
use crate::segment::Unreadable;
use crate::spool::{self, Ask, Queued};
use crate::stats::{LogStats, State};
use crate::ticket::{Entry, Place, Ticket};
use crate::trouble::{Trouble, Troubles};

/// A log on disk, which one pool owns. It is opened with [`Spool::log`](crate::Spool::log).
///
/// Whatever was appended by a run before and has not ended is read back first.
pub struct Log {
    shared: Arc<Shared>,
}

/// Why an entry was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The writer has as much to write as it may have.
    #[error("the disk is slower than what is written to it")]
    Busy,
    /// The files have as many bytes as they may have.
    #[error("the spool is full")]
    Full,
    /// The latest write failed.
    #[error("the spool cannot be written")]
    Failing,
    /// It is larger than a record may be.
    #[error("an entry is too large for the spool")]
    TooLarge,
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
}

pub(crate) struct Shared {
    /// Unique within the spool.
    pub(crate) id: u64,
    pub(crate) dir: LogDir,
    pub(crate) spool: Arc<spool::Shared>,
    /// Told after something was written that has to be read back.
    written: Box<dyn Fn() + Send + Sync>,
    /// The write lock is taken only to close.
    closed: RwLock<bool>,
    /// Numbers of records that have ended, for the writer.
    ends: Mutex<Vec<u64>>,
    index: Mutex<Index>,
    /// What the index said when somebody asked last.
    levels: Mutex<Levels>,
    /// Held while a reader reads.
    cursor: Mutex<Cursor>,
    /// What was appended, has to be read back and is not written yet.
    unwritten: AtomicU64,
    /// What could not be written when it was to be.
    late: AtomicU64,
    failing: AtomicBool,
    /// All was written when the log was closed.
    complete: AtomicBool,
    troubles: Mutex<Troubles>,
    cause: Mutex<String>,
    torn: u64,
}

// === impl Log ===

impl Log {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Hands an entry to the writer. Never waits.
    ///
    /// # Errors
    ///
    /// The entry was not taken. One that is also in memory goes on without its record.
    pub fn append(&self, entry: Arc<dyn Entry>, place: Place) -> Result<(), Refused> {
        let Shared { spool, closed, .. } = &*self.shared;
        let closed = closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(Refused::Closed);
        }
        if self.shared.failing.load(Acquire) {
            return Err(Refused::Failing);
        }
        let bytes = HEAD + entry.size();
        if bytes > MAX_PAYLOAD {
            return Err(Refused::TooLarge);
        }
        spool.reserve(bytes)?;
        self.shared.unwritten.fetch_add(u64::from(place == Place::Disk), AcqRel);
        spool.hand_over(Queued { log: self.shared.id, entry, place, bytes, late: false });
        Ok(())
    }

    /// Ends an entry, for whatever reason: it is not read back any more. Never waits for a disk.
    ///
    /// The ticket is that of an entry that was, or may yet be, appended to this log, or of a record
    /// that was read from it. To end it again changes nothing.
    pub fn end(&self, ticket: &Ticket) {
        if let Some(number) = ticket.end() {
            self.shared.end(number);
        }
    }

    /// Reads records back, oldest first, and gives each to `each`, once in a run: those of runs
    /// before, then those of [`Place::Disk`]. Stops when there are so many or, rounded up to the
    /// next record, so many bytes of payload. Waits for the disk.
    pub fn read(&self, max_records: usize, max_bytes: usize, each: impl FnMut(Stored<'_>)) -> Read {
        let mut cursor = self.shared.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        cursor.read(&self.shared, (max_records, max_bytes), each)
    }

    /// How many entries are still to be read back: those of runs before, and those of
    /// [`Place::Disk`] that were appended, written or not. As long as there are any, what is
    /// appended must be of [`Place::Disk`] to keep its order.
    pub fn unread(&self) -> u64 {
        // In this order: what is written meanwhile is counted twice, not left out.
        self.shared.unwritten.load(Acquire) + self.shared.index().unread()
    }

    /// Waits until all that was appended is on disk and synced, or cannot be written now, at most
    /// that long. Whether it is there.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.spool.flush(timeout) && !self.shared.failing.load(Acquire)
    }

    /// Takes nothing any more, and waits until all is on disk, as [`flush`](Self::flush) does.
    /// What cannot be written then is given up. Afterwards the log can be opened again.
    pub fn close(&self, timeout: Duration) -> bool {
        self.shared.close();
        self.shared.spool.flush(timeout) && self.shared.complete.load(Acquire)
    }

    /// How the log stands. Never waits: while somebody else is busy with the records, what is said of
    /// them is what was said before.
    pub fn stats(&self) -> LogStats {
        self.shared.stats()
    }

    /// How many entries [could not be written](LogStats::late) when they were to be.
    pub fn late(&self) -> u64 {
        self.shared.late.load(Acquire)
    }

    /// What could not be read, since the log was opened.
    pub fn unreadable(&self) -> Unreadable {
        self.shared.index().unreadable
    }

    /// What went wrong since this was asked last.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Its directory.
    pub fn dir(&self) -> PathBuf {
        self.shared.dir.path().to_owned()
    }
}

impl Drop for Log {
    /// Closes the log without waiting.
    fn drop(&mut self) {
        self.shared.close();
        self.shared.spool.ask(Ask::Now);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("dir", &self.shared.dir.path()).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(
        id: u64,
        dir: LogDir,
        spool: Arc<spool::Shared>,
        scan: Scan,
        written: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let mut troubles = Troubles::default();
        scan.troubles.into_iter().for_each(|trouble| troubles.add(trouble));
        Self {
            id,
            dir,
            spool,
            written,
            closed: RwLock::new(false),
            ends: Mutex::default(),
            levels: Mutex::new(scan.index.levels()),
            index: Mutex::new(scan.index),
            cursor: Mutex::default(),
            unwritten: AtomicU64::new(0),
            late: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            complete: AtomicBool::new(false),
            troubles: Mutex::new(troubles),
            cause: Mutex::default(),
            torn: scan.torn,
        }
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close(&self) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Tells how the writer left the log.
    pub(crate) fn left(&self, complete: bool) {
        self.complete.store(complete, Release);
    }

    /// Lets the writer record the end of a record.
    pub(crate) fn end(&self, number: u64) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        self.spool.ask(Ask::Soon);
    }

    pub(crate) fn take_ends(&self) -> Vec<u64> {
        std::mem::take(&mut self.ends.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells that entries which have to be read back can be, or never will.
    pub(crate) fn no_longer_unwritten(&self, count: u64) {
        if count > 0 {
            self.unwritten.fetch_sub(count, AcqRel);
            (self.written)();
        }
    }

    pub(crate) fn tell(&self, trouble: Trouble) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).add(trouble);
    }

    pub(crate) fn tell_entry(&self, cause: String) {
        self.tell(Trouble::Entry { dir: self.dir.path().to_owned(), cause });
    }

    /// Tells that so many more entries could not be written when they were to be.
    pub(crate) fn late(&self, count: u64) {
        self.late.fetch_add(count, AcqRel);
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Acquire)
    }

    pub(crate) fn fails(&self, trouble: Trouble) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = trouble.to_string();
        self.failing.store(true, Release);
        self.tell(trouble);
    }

    pub(crate) fn works(&self) {
        self.failing.store(false, Release);
    }

    fn stats(&self) -> LogStats {
        let unwritten = self.unwritten.load(Acquire);
        let state = if self.is_failing() {
            State::Failing(self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone())
        } else if self.spool.is_full() {
            State::Full
        } else {
            State::Ok
        };
        let levels = self.levels();
        LogStats {
            records: levels.live,
            unread: unwritten + levels.unread,
            late: self.late.load(Acquire),
            bytes: levels.bytes,
            used_percent: self.spool.used_percent(),
            oldest: levels.oldest.map(|at| age(at, SystemTime::now())),
            last_sync: self.spool.last_sync(),
            set_aside: levels.aside,
            unreadable: levels.unreadable,
            torn_bytes: self.torn,
            orphaned: self.spool.orphaned(),
            state,
        }
    }

    /// What the index says, or has said if somebody has it.
    fn levels(&self) -> Levels {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        match self.index.try_lock() {
            Ok(index) => *levels = index.levels(),
            Err(TryLockError::Poisoned(poisoned)) => *levels = poisoned.into_inner().levels(),
            Err(TryLockError::WouldBlock) => {}
        }
        *levels
    }
}

/// How long ago it was, if it was.
pub(crate) fn age(at: u64, now: SystemTime) -> Duration {
    Duration::from_millis(milliseconds(now).saturating_sub(at))
}

/// Since 1970.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
