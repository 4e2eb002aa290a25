//! What somebody wants to know of a directory before a node uses it.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

use crate::orphans::logs;
use crate::spool::is_locked;

/// A directory that a spool may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What its disk has left, in bytes.
    pub free: u64,
    /// What the files of all logs take, without what was set aside.
    pub used: u64,
    /// A node uses it, this one or another.
    pub is_locked: bool,
}

/// Looks at a directory. Changes nothing.
///
/// # Errors
///
/// The directory, or the lock in it, cannot be looked at.
pub fn room(dir: &Path) -> io::Result<Room> {
    let disk = statvfs(dir)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let used = logs(dir)?.iter().map(|(_, bytes)| bytes).sum();
    Ok(Room { free, used, is_locked: is_locked(dir)? })
}
