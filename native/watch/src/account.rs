//! The kernel's account of a thread.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// What the calling thread has done since it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    at: Instant,
    worked: Duration,
    /// For a processor.
    waited: Duration,
    /// How often it has gone to sleep.
    sleeps: i64,
}

/// What a thread did for a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) all: Duration,
    /// On a processor.
    pub(crate) worked: Duration,
    /// Neither on a processor nor waiting for one.
    pub(crate) asleep: Duration,
}

thread_local! {
    /// The file is another one for each thread, and reading it again costs less than opening it.
    static SCHEDSTAT: RefCell<Option<File>> = const { RefCell::new(None) };
}

// === impl Account ===

impl Account {
    pub(crate) fn now() -> io::Result<Self> {
        let waited = waited()?;
        Ok(Self { at: Instant::now(), worked: worked()?, waited, sleeps: sleeps()? })
    }

    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        let all = self.at - earlier.at;
        let worked = self.worked.saturating_sub(earlier.worked);
        let waited = self.waited.saturating_sub(earlier.waited);
        // What is missing although it never slept was taken from the whole machine, by its host.
        let missing = all.saturating_sub(worked + waited);
        let asleep = if self.sleeps > earlier.sleeps { missing } else { Duration::ZERO };
        Spent { all, worked, asleep }
    }
}

/// Up to this moment: other than the time on a processor beside it, which is that of the last tick.
fn waited() -> io::Result<Duration> {
    SCHEDSTAT.with_borrow_mut(|file| {
        let file = match file {
            Some(file) => file,
            None => file.insert(File::open("/proc/thread-self/schedstat")?),
        };
        let mut text = [0; 128];
        let length = file.read_at(&mut text, 0)?;
        let text = str::from_utf8(&text[..length]).ok();
        let waited = text.and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
        waited.map(Duration::from_nanos).ok_or_else(|| ErrorKind::InvalidData.into())
    })
}

fn worked() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time lives as long as the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Ok(Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default()))
}

fn sleeps() -> io::Result<i64> {
    // SAFETY: it has numbers only, for which zero is a value.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: the usage lives as long as the call.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usage.ru_nvcsw)
}

// === impl Spent ===

impl Spent {
    /// How long the thread was held by what it was doing, and not by a machine that is busy.
    pub(crate) fn held(&self) -> Duration {
        self.worked + self.asleep
    }

    pub(crate) fn and(self, more: Self) -> Self {
        Self {
            all: self.all + more.all,
            worked: self.worked + more.worked,
            asleep: self.asleep + more.asleep,
        }
    }
}
