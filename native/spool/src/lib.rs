//! A log on disk of what has not ended, so that it outlives the process.
//!
//! A [`Spool`] is a directory, which one node uses at a time, and one thread that writes. Each pool
//! has a [`Log`] in it. [`Log::append`] hands an [`Entry`] to the writer and never waits;
//! [`Log::end`] tells that it need not be kept any more. An entry has one of two [`Place`]s:
//!
//! - *in memory* as well: it is written only if it has not ended when the writer comes to it, which
//!   is an interval later. What is delivered in time never touches the disk.
//! - *only on disk*: it is always written, and read back in order with [`Log::read`] while the log
//!   grows at its other end.
//!
//! The next run reads back, first of all, whatever has not ended.
//!
//! ```text
//! append ── channel ──> writer ── one write per log, one sync per interval ──> segment
//! end ───── numbers ──────┘  └─── what has ended ──> the file beside it, or both are deleted
//! read <─────────────────────────────────────────── segment, from the oldest on
//! ```
//!
//! # What is promised
//!
//! - What was written and synced, and has not ended, is read back by the next run, in the order of
//!   [`Log::append`]. What has ended may be read back once more after a crash: that end was not on
//!   disk yet. A crash loses what waited for the interval.
//! - Any content of the files is borne. After a damaged record the reader finds the next one. A
//!   segment with damage is renamed to `*.damaged`, when all that could be read of it has ended, and
//!   kept; one of another version of the format at once. A record that was being written in a crash
//!   is no damage.
//! - A disk that is full or fails costs [`Refused::Failing`] and one [`Trouble`] for each attempt,
//!   until it works again. What was taken before waits, and is written then.
//! - Memory is bounded: some counters for each segment and a bit for each of its records, once one
//!   has ended; what waits for the writer; and a buffer of 256 KiB for a log that is being read.
//! - A segment is deleted when all its records have ended. Before, when a quarter of them is left and
//!   they are in memory, holes are made in it where the others were, in blocks of 4 KiB and where the
//!   file system can do it. `max_bytes` is about what the files take of the disk. Damage to the file
//!   that tells what has ended makes holes look like damage.
//!
//! # The files
//!
//! A log is a directory in the spool's. Its segments are named by the number of their first record,
//! `0000000000000001.log`; a file of the same name that ends in `.ended` tells which records have
//! ended. Segments have a sixty-fourth of `max_bytes`, at least 64 KiB and at most 16 MiB, and each
//! run begins a new one. Directories are made for their owner alone, as are files.
//!
//! # Why no library
//!
//! What this needs is little, and none of the libraries has it together:
//!
//! - *Key-value stores* do more than is asked for. fjall 3.1 writes each record to its journal, again
//!   to a table and again whenever tables are merged, and after a crash recovers a journal up to the
//!   first damaged batch only; redb 4.6 copies pages of a B-tree on each commit, and a damaged page
//!   takes with it what is below. Either has to be told of every end by one more write of its own.
//! - *Queues on disk*: yaque 0.6, last changed in 2023, checks lengths but not content, and never
//!   syncs; its recovery drops a whole segment, and panics at names of files that it does
//!   not expect.
//! - *Write-ahead logs*: okaywal 0.3, last changed in 2023, calls itself not ready for production;
//!   walcraft 0.3 deletes the oldest files when its space is used up, whether they are needed or not;
//!   wal-db 1.1 ends a recovery at the first record that is damaged. None knows of single records
//!   that have ended, or sets files aside.
//!
//! What is hard in such a log is what it does with damage, full disks and ends that come in any order;
//! that had to be written in any case. crc32fast, crossbeam-channel and sha2 do the rest.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, SystemTime};
//!
//! use event_pusher_spool::{Entry, Place, Spool, SpoolOptions, SyncOption, Ticket};
//!
//! struct Event {
//!     ticket: Ticket,
//!     at: SystemTime,
//!     body: Vec<u8>,
//! }
//!
//! impl Entry for Event {
//!     fn ticket(&self) -> &Ticket {
//!         &self.ticket
//!     }
//!     fn accepted_at(&self) -> SystemTime {
//!         self.at
//!     }
//!     fn size(&self) -> usize {
//!         self.body.len()
//!     }
//!     fn encode(&self, out: &mut Vec<u8>) {
//!         out.extend_from_slice(&self.body);
//!     }
//! }
//!
//! # let dir = std::env::temp_dir().join(format!("spool-example-{}", std::process::id()));
//! let options = SpoolOptions {
//!     dir: dir.to_string_lossy().into(),
//!     max_bytes: 1 << 30,
//!     sync: SyncOption::Ms(500),
//!     max_age_ms: None,
//! };
//! let settings = options.check()?;
//! let event = |body: &str| {
//!     Arc::new(Event { ticket: Ticket::default(), at: SystemTime::now(), body: body.into() })
//! };
//! {
//!     let spool = Spool::open(settings.clone(), || {})?;
//!     let log = spool.log(b"sns example.com", || {})?;
//!     let [delivered, waiting] = [event("delivered"), event("waiting")];
//!     log.append(delivered.clone(), Place::Memory)?;
//!     log.append(waiting, Place::Memory)?;
//!     log.end(&delivered.ticket);
//!     assert!(log.close(Duration::from_secs(10)));
//! }
//! let spool = Spool::open(settings, || {})?;
//! let log = spool.log(b"sns example.com", || {})?;
//! assert_eq!(log.unread(), 1);
//! log.read(100, 1 << 20, |stored| {
//!     assert_eq!(stored.payload, b"waiting");
//!     log.end(&stored.ticket);
//! });
//! # drop((log, spool));
//! # std::fs::remove_dir_all(dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod batch;
mod cursor;
mod ends;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod holes;
mod index;
mod log;
mod name;
mod options;
mod orphans;
mod reader;
mod record;
mod room;
mod scan;
mod segment;
mod spool;
mod stats;
mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod ticket;
mod trouble;
mod writer;

pub use cursor::{Read, Stored};
pub use event_pusher_settings::InvalidSettings;
pub use index::Aside;
pub use log::{Log, Refused};
pub use options::{SpoolOptions, SpoolSettings, SyncOption};
pub use orphans::{Orphan, orphans};
pub use record::MAX_PAYLOAD;
pub use room::{Room, room};
pub use segment::Unreadable;
pub use spool::{Spool, SpoolError};
pub use stats::{LogStats, State};
pub use ticket::{Entry, Place, Ticket};
pub use trouble::Trouble;
