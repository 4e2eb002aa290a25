//! Logs as their callers see them.

mod damage;
mod disk;
mod holes;
mod logs;
mod model;
mod orphans;
mod panics;
mod race;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::testing::TestDir;
use crate::{Entry, Log, Place, Refused, Spool, SpoolOptions, Stored, SyncOption, Ticket};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An entry of a test: a text.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) ticket: Ticket,
    pub(crate) text: String,
    pub(crate) at: SystemTime,
}

impl Entry for Line {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn accepted_at(&self) -> SystemTime {
        self.at
    }

    fn size(&self) -> usize {
        self.text.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.text != "panic", "as the test wants");
        out.extend_from_slice(self.text.as_bytes());
    }
}

fn line(text: impl Into<String>) -> Arc<Line> {
    Arc::new(Line { ticket: Ticket::default(), text: text.into(), at: SystemTime::now() })
}

/// The least options; nothing is written before a flush.
fn options(dir: &Path) -> SpoolOptions {
    SpoolOptions {
        dir: dir.join("spool").to_str().unwrap().into(),
        max_bytes: 1 << 20,
        sync: SyncOption::Ms(60_000),
        max_age_ms: None,
    }
}

fn open_with(options: SpoolOptions) -> Spool {
    Spool::open(options.check().unwrap(), || {}).unwrap()
}

fn open(dir: &TestDir) -> (Spool, Log) {
    let spool = open_with(options(dir.path()));
    let log = spool.log(b"log", || {}).unwrap();
    (spool, log)
}

fn append(log: &Log, text: impl Into<String>, place: Place) -> Result<Arc<Line>, Refused> {
    let line = line(text);
    log.append(Arc::clone(&line) as Arc<dyn Entry>, place).map(|()| line)
}

fn text(stored: &Stored<'_>) -> String {
    String::from_utf8(stored.payload.to_vec()).unwrap()
}

/// All that can be read back now, each with its ticket.
fn read(log: &Log) -> Vec<(String, Ticket)> {
    let mut all = Vec::new();
    while log.read(7, 1000, |stored| all.push((text(&stored), stored.ticket))).more {}
    all
}

fn texts(log: &Log) -> Vec<String> {
    read(log).into_iter().map(|(text, _)| text).collect()
}

/// The names of the files of the log.
fn files(log: &Log) -> Vec<String> {
    let names = fs::read_dir(log.dir()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_dir(&path, &to);
        } else {
            // A segment may be deleted while somebody copies.
            fs::copy(&path, &to).map_or_else(|_| assert!(!path.exists()), |_| ());
        }
    }
}
