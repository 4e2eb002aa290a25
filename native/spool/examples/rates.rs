//! How fast a spool writes and reads back, compared with the disk, and how much memory it takes.
//!
//! The comparison is with somebody who does nothing but write the same files, as large a piece at a time,
//! and syncs when the spool does. Both begin with what is in memory.
//!
//! `cargo run --release -p event_pusher_spool --example rates DIRECTORY [RECORDS [BYTES]]`, by default
//! a million records of 200 bytes. The directory is made, and must not exist.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use event_pusher_spool::{Entry, Log, Place, Refused, Spool, SpoolOptions, SyncOption, Ticket};

type Failure = Box<dyn std::error::Error>;

struct Record {
    ticket: Ticket,
    at: SystemTime,
    body: Vec<u8>,
}

impl Entry for Record {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn accepted_at(&self) -> SystemTime {
        self.at
    }

    fn size(&self) -> usize {
        self.body.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.body);
    }
}

const ROUNDS: usize = 3;
const SYNC: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: DIRECTORY [RECORDS [BYTES]]")?;
    let records = arguments.next().map_or(Ok(1_000_000), |count| count.parse())?;
    let bytes = arguments.next().map_or(Ok(200), |count| count.parse())?;
    fs::create_dir(&dir)?;
    let options = SpoolOptions {
        dir: Path::new(&dir).join("spool").to_string_lossy().into(),
        max_bytes: 1 << 34,
        sync: SyncOption::Ms(500),
        max_age_ms: None,
    };
    let memory = resident()?;
    let spool = Spool::open(options.clone().check()?, || {})?;
    let log = spool.log(b"rates", || {})?;
    let make = (0..records).map(|_| record(bytes));
    tell("made and written", records, append(&log, make)?);
    println!("on disk: {} MiB", spool.bytes() >> 20);
    println!(
        "memory: {} KiB more than before, with all on disk",
        resident()?.saturating_sub(memory)
    );
    let begin = Instant::now();
    let read = read(&log);
    tell("read back, without ends", read, begin.elapsed());
    log.close(PATIENCE);
    let begin = Instant::now();
    let log = spool.log(b"rates", || {})?;
    tell("opened again", records, begin.elapsed());
    let begin = Instant::now();
    let ended = end(&log);
    tell("read back and ended", ended, begin.elapsed());
    println!("memory: {} KiB more than before, in the end", resident()?.saturating_sub(memory));
    compare(&spool, Path::new(&dir), records, bytes)?;
    drop((log, spool));
    Ok(fs::remove_dir_all(dir)?)
}

fn record(bytes: usize) -> Arc<Record> {
    let (at, body) = (SystemTime::now(), vec![b'x'; bytes]);
    Arc::new(Record { ticket: Ticket::default(), at, body })
}

fn append(log: &Log, records: impl Iterator<Item = Arc<Record>>) -> Result<Duration, Failure> {
    let begin = Instant::now();
    for record in records {
        let entry: Arc<dyn Entry> = record;
        while let Err(refused) = log.append(Arc::clone(&entry), Place::Disk) {
            if refused != Refused::Busy {
                return Err(refused.into());
            }
            thread::sleep(Duration::from_micros(100));
        }
    }
    let flushed = log.flush(PATIENCE);
    flushed.then(|| begin.elapsed()).ok_or_else(|| format!("{:?}", log.troubles()).into())
}

/// Both with what is in memory already: records, or the files that these have become.
fn compare(spool: &Spool, dir: &Path, records: usize, bytes: usize) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        let made: Vec<_> = (0..records).map(|_| record(bytes)).collect();
        let log = spool.log(format!("compared {round}").as_bytes(), || {})?;
        let before = writer_time()?;
        let by_spool = append(&log, made.into_iter())?;
        let busy = writer_time()? - before;
        let mut paths: Vec<_> = fs::read_dir(log.dir())?.collect::<Result<Vec<_>, _>>()?;
        paths.sort_by_key(fs::DirEntry::file_name);
        let files =
            paths.iter().map(|path| fs::read(path.path())).collect::<Result<Vec<_>, _>>()?;
        let bare = bare(&dir.join(format!("bare {round}")), &files)?;
        println!(
            "written: {:.2?} by a spool, whose thread had a processor for {:.2?}; {:.2?} by a bare \
             writer of the same files: {:.2} of its rate",
            by_spool,
            busy,
            bare,
            bare.as_secs_f64() / by_spool.as_secs_f64()
        );
    }
    Ok(())
}

/// As a spool writes: a MiB at a time, each file synced when it is full and after half a second, and
/// the directory for a new file.
fn bare(dir: &Path, files: &[Vec<u8>]) -> Result<Duration, Failure> {
    fs::create_dir(dir)?;
    let begin = Instant::now();
    let mut synced = begin;
    for (number, bytes) in files.iter().enumerate() {
        let mut file = File::create_new(dir.join(number.to_string()))?;
        File::open(dir)?.sync_all()?;
        for block in bytes.chunks(1 << 20) {
            file.write_all(block)?;
            if synced.elapsed() >= SYNC {
                file.sync_data()?;
                synced = Instant::now();
            }
        }
        file.sync_data()?;
    }
    Ok(begin.elapsed())
}

fn read(log: &Log) -> usize {
    let mut bodies = Vec::new();
    let mut count = 0;
    loop {
        bodies.clear();
        let read = log.read(1000, 1 << 20, |stored| bodies.push(stored.payload.to_vec()));
        count += read.records;
        if !read.more {
            return count;
        }
    }
}

fn end(log: &Log) -> usize {
    let mut tickets = Vec::new();
    let mut count = 0;
    loop {
        let read = log.read(1000, 1 << 20, |stored| tickets.push(stored.ticket));
        tickets.drain(..).for_each(|ticket| log.end(&ticket));
        count += read.records;
        if !read.more {
            log.flush(PATIENCE);
            return count;
        }
    }
}

fn tell(what: &str, records: usize, time: Duration) {
    let rate = records as f64 / time.as_secs_f64();
    println!("{what}: {records} records in {time:.2?}, {rate:.0} per second");
}

/// For how long the spool's thread has been on a processor.
fn writer_time() -> Result<Duration, Failure> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim_end() == "pusher_spool" {
            let times = fs::read_to_string(task.join("schedstat"))?;
            let time = times.split(' ').next().unwrap_or_default().parse()?;
            return Ok(Duration::from_nanos(time));
        }
    }
    Err("no writer".into())
}

/// Resident memory of this process, in KiB.
fn resident() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
