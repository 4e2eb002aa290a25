//! The directory of all logs of a node, and the one thread that writes them.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire,
    Ordering::Release,
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;
use thiserror::Error;

use crate::files::{LogDir, create_dir};
use crate::log::{self, Log};
use crate::name;
use crate::options::SpoolSettings;
use crate::orphans::{Orphan, logs, orphans};
use crate::scan::scan;
use crate::ticket::{Entry, Place};
use crate::writer::Writer;

/// The logs of a node in one directory. When it is dropped, what waits is written, and the logs take
/// nothing any more.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// One log is opened at a time.
    opening: Mutex<()>,
}

/// Why a spool or a log of it could not be opened.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another node has locked the directory.
    #[error("spool.dir: {dir} is used by another node")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The log is open already, or was closed and what it has cannot be written.
    #[error("spool.dir: {dir} is in use by another pool")]
    LogInUse {
        /// The directory of the log.
        dir: PathBuf,
    },
    /// The system refuses something.
    #[error("spool.dir: cannot use {dir}: {error}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// An entry on its way to the writer.
pub(crate) struct Queued {
    /// The number of its log: to count references would cost more.
    pub(crate) log: u64,
    pub(crate) entry: Arc<dyn Entry>,
    pub(crate) place: Place,
    /// What was reserved for it.
    pub(crate) bytes: usize,
    /// It could not be written when it was to be.
    pub(crate) late: bool,
}

/// How soon the writer is to look at what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Not,
    /// After an interval.
    Soon,
    Now,
}

pub(crate) struct Shared {
    pub(crate) settings: SpoolSettings,
    entries: Sender<Queued>,
    /// What was handed over and is not written.
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// What all files take, without what was set aside.
    on_disk: AtomicU64,
    /// Something was refused for want of room, and nothing was deleted since.
    full: AtomicBool,
    /// The file system cannot make holes.
    whole: AtomicBool,
    asked: AtomicU8,
    writer: OnceLock<Thread>,
    logs: Mutex<Vec<Arc<log::Shared>>>,
    /// What the files take of logs that are not open, by their directories.
    idle: Mutex<HashMap<PathBuf, u64>>,
    /// Logs that nobody has, when somebody looked last.
    orphans: Mutex<Vec<Orphan>>,
    next_log: AtomicU64,
    /// Who waits for the next commit; `None` when there is none any more.
    flushes: Mutex<Option<Vec<Sender<()>>>>,
    last_sync: Mutex<Option<SystemTime>>,
    stopping: AtomicBool,
}

/// How many entries may wait for the writer. Their places take memory from the start: 48 bytes each.
pub(crate) const MOST_WAITING: usize = 1 << 15;
/// How many bytes they may have; one entry may have more.
const MOST_BYTES: usize = 32 << 20;

/// The writer's name. The system cuts names after 15 characters.
const THREAD: &str = "pusher_spool";

/// The file that is locked. No log can have this name.
const LOCK: &str = ".lock";

/// How long the opening of a log waits for its closing.
const CLOSING: Duration = Duration::from_secs(10);

// === impl Spool ===

impl Spool {
    /// Opens the directory, makes it if need be, and starts the writer. `on_start` runs on the
    /// writer's thread first.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, or another node uses it.
    pub fn open(
        settings: SpoolSettings,
        on_start: impl FnOnce() + Send + 'static,
    ) -> Result<Self, SpoolError> {
        let dir = settings.dir.clone();
        let failed = |error| SpoolError::Io { dir: dir.clone(), error };
        create_dir(&dir).map_err(failed)?;
        let lock = lock(&dir)?;
        let idle = logs(&dir).map_err(failed)?.into_iter().collect();
        let (entries, receiver) = crossbeam_channel::bounded(MOST_WAITING);
        let shared = Arc::new(Shared::new(settings, entries, idle));
        let writer = Writer::new(Arc::clone(&shared), receiver);
        let run = move || {
            // The lock is held for as long as something may be written.
            let _lock = lock;
            on_start();
            writer.run();
        };
        let writer = thread::Builder::new().name(THREAD.into()).spawn(run).map_err(failed)?;
        shared.writer.get_or_init(|| writer.thread().clone());
        Ok(Self { shared, writer: Some(writer), opening: Mutex::default() })
    }

    /// Opens the log of this name, which may be any bytes; a name belongs to one log at a time.
    /// Reads all its segments once, to know how many records there are. `written` is called by the
    /// writer after it has written something that has to be read back; it must not block.
    ///
    /// # Errors
    ///
    /// The log is open already, or its directory cannot be used.
    pub fn log(
        &self,
        name: &[u8],
        written: impl Fn() + Send + Sync + 'static,
    ) -> Result<Log, SpoolError> {
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.shared.settings.dir.join(name::directory(name));
        self.wait_until_closed(&path)?;
        let dir = LogDir::new(path);
        let failed = |error| SpoolError::Io { dir: dir.path().to_owned(), error };
        create_dir(dir.path()).map_err(failed)?;
        let scan = scan(&dir).map_err(failed)?;
        self.shared.grow(scan.index.bytes());
        self.shared.shrink(self.shared.idle().remove(dir.path()).unwrap_or_default());
        let spool = Arc::clone(&self.shared);
        let id = self.shared.next_log.fetch_add(1, AcqRel);
        self.shared.orphans().retain(|orphan| orphan.dir != dir.path());
        let log = Arc::new(log::Shared::new(id, dir, spool, scan, Box::new(written)));
        self.shared.logs().push(Arc::clone(&log));
        Ok(Log::new(log))
    }

    /// Looks for logs with other names than these, which nobody has. They count in the
    /// [levels](crate::LogStats) of all logs until they are opened, or somebody looks again.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub fn find_orphans(&self, known: &[Vec<u8>]) -> io::Result<Vec<Orphan>> {
        let mut found = orphans(&self.shared.settings.dir, known)?;
        // From here on, none is opened.
        let _one = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.shared.logs();
        found.retain(|orphan| !open.iter().any(|log| log.dir.path() == orphan.dir));
        drop(open);
        self.shared.orphans().clone_from(&found);
        Ok(found)
    }

    /// What the files of all logs take of the disk, also those that are not open, without what was set
    /// aside.
    pub fn bytes(&self) -> u64 {
        self.shared.on_disk.load(Acquire)
    }

    /// Whether the last log of this directory is gone; waits if it is being closed.
    fn wait_until_closed(&self, path: &Path) -> Result<(), SpoolError> {
        let find = || self.shared.logs().iter().find(|log| log.dir.path() == path).cloned();
        if find().is_some_and(|log| log.is_closed()) {
            self.shared.flush(CLOSING);
        }
        match find() {
            Some(_) => Err(SpoolError::LogInUse { dir: path.to_owned() }),
            None => Ok(()),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.logs().iter().for_each(|log| log.close());
        self.shared.stopping.store(true, Release);
        self.shared.ask(Ask::Now);
        if let Some(writer) = self.writer.take() {
            // A panic has been shown already.
            writer.join().unwrap_or_default();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn new(settings: SpoolSettings, entries: Sender<Queued>, idle: HashMap<PathBuf, u64>) -> Self {
        let on_disk = idle.values().sum();
        Self {
            settings,
            entries,
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            on_disk: AtomicU64::new(on_disk),
            full: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            asked: AtomicU8::new(Ask::Not as u8),
            writer: OnceLock::new(),
            logs: Mutex::default(),
            idle: Mutex::new(idle),
            orphans: Mutex::default(),
            next_log: AtomicU64::new(0),
            flushes: Mutex::new(Some(Vec::new())),
            last_sync: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Takes room for an entry of so many bytes.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), log::Refused> {
        let waiting = self.waiting.fetch_add(1, AcqRel);
        let before = self.waiting_bytes.fetch_add(bytes, AcqRel);
        let all = self.on_disk.load(Acquire) + (before + bytes) as u64;
        let refused = if waiting >= MOST_WAITING || (before > 0 && before + bytes > MOST_BYTES) {
            log::Refused::Busy
        } else if all > self.settings.max_bytes {
            self.full.store(true, Release);
            log::Refused::Full
        } else {
            return Ok(());
        };
        self.release(1, bytes);
        Err(refused)
    }

    /// Gives room back.
    pub(crate) fn release(&self, entries: usize, bytes: usize) {
        self.waiting.fetch_sub(entries, AcqRel);
        self.waiting_bytes.fetch_sub(bytes, AcqRel);
    }

    /// Hands an entry to the writer, for which there is room.
    pub(crate) fn hand_over(&self, queued: Queued) {
        self.entries
            .try_send(queued)
            .unwrap_or_else(|_| unreachable!("the channel has room for every reserved entry"));
        let much = self.waiting.load(Acquire) > MOST_WAITING / 2
            || self.waiting_bytes.load(Acquire) > MOST_BYTES / 2;
        self.ask(if much || self.settings.sync.is_none() { Ask::Now } else { Ask::Soon });
    }

    /// Wakes the writer, unless it knows already.
    pub(crate) fn ask(&self, ask: Ask) {
        let known = || self.asked.load(Acquire) >= ask as u8;
        if !known() && self.asked.fetch_max(ask as u8, AcqRel) < ask as u8 {
            self.writer.get().inspect(|writer| writer.unpark());
        }
    }

    pub(crate) fn asked(&self) -> Ask {
        match self.asked.load(Acquire) {
            0 => Ask::Not,
            1 => Ask::Soon,
            _ => Ask::Now,
        }
    }

    /// Tells that the writer looks now: what comes from now on asks again.
    pub(crate) fn looking(&self) {
        self.asked.swap(Ask::Not as u8, AcqRel);
    }

    /// Waits for a commit that begins from now on, at most that long. Whether there was one.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let (done, flushed) = crossbeam_channel::bounded(1);
        match self.flushes().as_mut() {
            Some(flushes) => flushes.push(done),
            None => return false,
        }
        self.ask(Ask::Now);
        flushed.recv_timeout(timeout).is_ok()
    }

    pub(crate) fn take_flushes(&self) -> Vec<Sender<()>> {
        self.flushes().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Tells that there is no writer any more.
    pub(crate) fn stopped(&self) {
        self.flushes().take();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Acquire)
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, Vec<Arc<log::Shared>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a log that is closed.
    pub(crate) fn leave(&self, log: &log::Shared) {
        // In this order: whoever opens it again finds what it has.
        self.idle().insert(log.dir.path().to_owned(), log.index().bytes());
        self.logs().retain(|other| other.id != log.id);
    }

    /// How many records logs have that nobody has, and what their files take.
    pub(crate) fn orphaned(&self) -> (u64, u64) {
        let orphans = self.orphans();
        let records = orphans.iter().map(|orphan| orphan.records).sum();
        (records, orphans.iter().map(|orphan| orphan.bytes).sum())
    }

    fn orphans(&self) -> MutexGuard<'_, Vec<Orphan>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<PathBuf, u64>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether holes can be made in files, as far as is known.
    pub(crate) fn makes_holes(&self) -> bool {
        !self.whole.load(Acquire)
    }

    pub(crate) fn no_holes(&self) {
        self.whole.store(true, Release);
    }

    pub(crate) fn grow(&self, bytes: u64) {
        self.on_disk.fetch_add(bytes, AcqRel);
    }

    pub(crate) fn shrink(&self, bytes: u64) {
        self.on_disk.fetch_sub(bytes, AcqRel);
        self.full.store(false, Release);
    }

    pub(crate) fn used_percent(&self) -> u64 {
        let percent =
            100 * u128::from(self.on_disk.load(Acquire)) / u128::from(self.settings.max_bytes);
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Acquire)
    }

    pub(crate) fn max_age(&self) -> Option<Duration> {
        self.settings.max_age
    }

    pub(crate) fn synced(&self) {
        *self.last_sync.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemTime::now());
    }

    pub(crate) fn last_sync(&self) -> Option<SystemTime> {
        *self.last_sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flushes(&self) -> MutexGuard<'_, Option<Vec<Sender<()>>>> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dir", &self.settings.dir).finish_non_exhaustive()
    }
}

/// Whether somebody has the lock of the directory.
pub(crate) fn is_locked(dir: &Path) -> io::Result<bool> {
    let file = match File::open(dir.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes the lock of the directory. It ends with the file that is returned.
fn lock(dir: &Path) -> Result<File, SpoolError> {
    let failed = |error| SpoolError::Io { dir: dir.to_owned(), error };
    let path = dir.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
