//! What a pool has on disk, so that a crash, a restart or a long outage loses nothing.
//!
//! A message that is accepted into memory is handed to the log as well, which writes it down unless
//! it has ended by then. A message for which memory has no room is only on disk, and so is what
//! comes after it, until all that is on disk has been read back: so the order stays.
//!
//! A session never waits here: the log has a writer of its own, and a bounded queue in front.

mod note;
mod spools;

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use event_pusher_spool::{
    Entry, Log, LogStats, Place, Read, Spool, State, Stored, Ticket, Trouble,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::message::Message;
use crate::report::SpoolStats;

pub use event_pusher_spool::{Orphan, Room, SpoolOptions, room};
pub(crate) use spools::{DiskError, DiskSettings};

/// How long the end of a pool waits for the disk.
const CLOSING: Duration = Duration::from_secs(5);

/// How many messages are read back at a time, and about how many bytes.
const READ_AT_ONCE: (usize, usize) = (1024, 4 << 20);

/// The logs in a directory with other names than these: what no pool has. If pools use the directory,
/// it counts in their levels. Reads all of it.
///
/// # Errors
///
/// The directory cannot be read.
pub fn orphans(dir: &Path, known: &[Vec<u8>]) -> io::Result<Vec<Orphan>> {
    spools::orphans(dir, known)
}

/// A pool's log, and what is only there.
pub(crate) struct Disk {
    log: Arc<Log>,
    /// Keeps the writer, until the end of the pool.
    spool: Mutex<Option<Arc<Spool>>>,
    /// Messages that are on disk and not in memory. They are counted before they are handed to the
    /// log, and until they have their place in the queue.
    ahead: AtomicU64,
    /// Records that were found to be damaged, and are counted.
    damaged: AtomicU64,
    /// There is something to read back, or room for it.
    wake: Arc<Notify>,
}

/// Keeps a message on disk until it is ended, whatever happens to the copy in memory.
pub(crate) struct Hold {
    ticket: Arc<Ticket>,
    log: Arc<Log>,
}

/// A message that was read back.
pub(crate) struct Found {
    pub(crate) message: Message,
    /// How long ago it was accepted.
    pub(crate) age: Duration,
    pub(crate) hold: Hold,
}

/// What reading back came to.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) found: Vec<Found>,
    /// Messages that were older than the spool keeps them.
    pub(crate) expired: u64,
    /// Records that are no messages, or are missing.
    pub(crate) unreadable: u64,
    /// What has ended it. The message in hand counts as unreadable, and is there at the next start.
    pub(crate) panic: Option<Box<dyn Any + Send>>,
}

/// A message as the log writes it down.
struct Noted {
    ticket: Arc<Ticket>,
    accepted_at: SystemTime,
    message: Message,
}

// === impl Disk ===

impl Disk {
    /// Opens the log of a pool. Waits for the disk.
    pub(crate) fn open(settings: &DiskSettings, thread: fn()) -> Result<Self, DiskError> {
        let wake = Arc::new(Notify::new());
        let written = Arc::clone(&wake);
        let spool = spools::shared(&settings.spool, thread)?;
        let log = spool.log(settings.log.as_bytes(), move || written.notify_one())?;
        let ahead = AtomicU64::new(log.unread());
        let damaged = AtomicU64::new(log.unreadable().records);
        wake.notify_one();
        Ok(Self { log: Arc::new(log), spool: Mutex::new(Some(spool)), ahead, damaged, wake })
    }

    /// How many messages of former runs are on disk: those that can be read back, and those whose
    /// records were found to be damaged.
    pub(crate) fn left(&self) -> (u64, u64) {
        (self.ahead(), self.damaged.load(Acquire))
    }

    /// How many messages were taken that the disk had no room for then, although it had told of none.
    pub(crate) fn late(&self) -> u64 {
        self.log.late()
    }

    /// How many messages are on disk and not in memory.
    pub(crate) fn ahead(&self) -> u64 {
        self.ahead.load(Acquire)
    }

    /// Has a message written down that is in memory as well. `None` if the disk cannot keep up: the
    /// message goes on without.
    pub(crate) fn hold(&self, message: &Message) -> Option<Hold> {
        let ticket = Arc::new(Ticket::default());
        let entry = Noted::new(Arc::clone(&ticket), message.clone());
        self.log.append(Arc::new(entry), Place::Memory).ok()?;
        Some(Hold { ticket, log: Arc::clone(&self.log) })
    }

    /// Takes a message that is nowhere else from now on, or gives it back if there is no room.
    pub(crate) fn append(&self, message: Message) -> Result<(), Message> {
        self.ahead.fetch_add(1, AcqRel);
        let entry = Arc::new(Noted::new(Arc::default(), message));
        let refused = self.log.append(Arc::clone(&entry) as Arc<dyn Entry>, Place::Disk).is_err();
        if refused {
            self.passed(1);
            // Nobody else has it.
            return Err(entry.message.clone());
        }
        Ok(())
    }

    /// Reads back some of what is only on disk, oldest first: no more than there is room for. Waits
    /// for the disk. What it finds has to be told as [`passed`](Self::passed) once it has its place in memory.
    pub(crate) fn read(&self, (records, bytes): (usize, usize)) -> Reading {
        let (mut reading, mut missing) = (Reading::default(), 0);
        let (records, bytes) = (records.min(READ_AT_ONCE.0), bytes.min(READ_AT_ONCE.1));
        let each = |stored: Stored<'_>| {
            // Until it is known to be one.
            missing += 1;
            if let Some(found) = self.found(stored) {
                reading.found.push(found);
                missing -= 1;
            }
        };
        match catch_unwind(AssertUnwindSafe(|| self.log.read(records, bytes, each))) {
            Ok(Read { expired, .. }) => reading.expired = expired,
            Err(panic) => reading.panic = Some(panic),
        }
        let expired = reading.expired;
        // What was found to be damaged while it was read.
        let damaged = self.log.unreadable().records;
        missing += damaged.saturating_sub(self.damaged.swap(damaged, AcqRel));
        reading.unreadable = missing;
        self.passed(expired + missing);
        reading
    }

    /// So many messages are in memory now, or nowhere.
    pub(crate) fn passed(&self, messages: u64) {
        let less = |ahead: u64| Some(ahead.saturating_sub(messages));
        let _ = self.ahead.fetch_update(AcqRel, Acquire, less);
    }

    /// Tells that there may be room in memory again.
    pub(crate) fn room(&self) {
        if self.ahead() > 0 {
            self.wake.notify_one();
        }
    }

    /// Waits until there may be something to read back, and room for it.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Takes nothing any more. Waits for the disk: whether all that has not ended is there.
    pub(crate) fn close(&self) -> bool {
        let complete = self.log.close(CLOSING);
        self.spool.lock().unwrap_or_else(PoisonError::into_inner).take();
        spools::close_unused();
        complete
    }

    pub(crate) fn stats(&self) -> SpoolStats {
        let stats = self.log.stats();
        let LogStats { records, bytes, used_percent, oldest, last_sync, orphaned, .. } = stats;
        SpoolStats {
            ahead: self.ahead(),
            events: records,
            bytes,
            used_percent,
            oldest,
            synced: last_sync.map(|at| SystemTime::now().duration_since(at).unwrap_or_default()),
            set_aside_files: stats.set_aside.files,
            set_aside_bytes: stats.set_aside.bytes,
            orphaned_events: orphaned.0,
            orphaned_bytes: orphaned.1,
            trouble: match stats.state {
                State::Ok => None,
                State::Full => Some("spool.max_bytes is reached".into()),
                State::Failing(cause) => Some(cause.into()),
            },
        }
    }

    /// What went wrong since this was asked last.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.log.troubles().iter().map(Trouble::to_string).collect()
    }

    fn found(&self, stored: Stored<'_>) -> Option<Found> {
        let hold = Hold { ticket: Arc::new(stored.ticket), log: Arc::clone(&self.log) };
        let age = SystemTime::now().duration_since(stored.accepted_at).unwrap_or_default();
        #[cfg(test)]
        tests::provoke(stored.payload);
        match note::read(stored.payload) {
            Some(message) => Some(Found { message, age, hold }),
            None => {
                hold.end();
                None
            }
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("log", &self.log).field("ahead", &self.ahead).finish()
    }
}

// === impl Found ===

impl Found {
    /// As far as that can be told since the machine has started.
    pub(crate) fn accepted_at(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.age).unwrap_or(now)
    }
}

// === impl Hold ===

impl Hold {
    /// The message has ended: it is not wanted on disk any more.
    pub(crate) fn end(&self) {
        self.log.end(&self.ticket);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

// === impl Noted ===

impl Noted {
    fn new(ticket: Arc<Ticket>, message: Message) -> Self {
        Self { ticket, accepted_at: SystemTime::now(), message }
    }
}

impl Entry for Noted {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn accepted_at(&self) -> SystemTime {
        self.accepted_at
    }

    fn size(&self) -> usize {
        self.message.footprint()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        note::write(&self.message, out);
    }
}

#[cfg(test)]
pub(crate) mod tests;
