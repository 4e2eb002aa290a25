//! What the bare loops of the benchmark have in common: how they tell what they measured.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// Runs while events are delivered.
#[derive(Debug)]
pub struct Stopwatch {
    began: Instant,
    used: Duration,
}

// === impl Stopwatch ===

impl Stopwatch {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        Ok(Self { used: used()?, began: Instant::now() })
    }

    /// Prints the events per second, and how many seconds of processors 100 000 of them take.
    pub fn tell(self, events: usize) -> io::Result<()> {
        let seconds = self.began.elapsed().as_secs_f64();
        let used = (used()? - self.used).as_secs_f64();
        println!("{:.1} {:.4}", events as f64 / seconds, used * 100_000.0 / events as f64);
        Ok(())
    }
}

/// For how long all threads that there are have been on a processor.
fn used() -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        // One that has ended meanwhile is not missed.
        let Ok(account) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let running = account.split(' ').next().and_then(|first| first.parse::<u64>().ok());
        nanoseconds += running.unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}
