//! Logs of a directory that nobody has, as after another configuration: what is in them stays there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::LogDir;
use crate::name;
use crate::scan::count;

/// A log that nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its directory.
    pub dir: PathBuf,
    /// Records that have not ended, as far as they can be read.
    pub records: u64,
    /// What its files take of the disk, without what was set aside.
    pub bytes: u64,
}

/// The logs in a directory with other names than these, in the order of their names. Changes nothing,
/// and reads all that they have. Directories that hold no log are passed over, and so is a log
/// without files.
///
/// # Errors
///
/// The directory cannot be read; where there is none, there are no logs.
pub fn orphans(dir: &Path, known: &[Vec<u8>]) -> io::Result<Vec<Orphan>> {
    let known: Vec<PathBuf> = known.iter().map(|known| dir.join(name::directory(known))).collect();
    let mut orphans = Vec::new();
    for (path, bytes) in logs(dir)? {
        if bytes > 0 && !known.contains(&path) {
            let records = count(&LogDir::new(path.clone()))?;
            orphans.push(Orphan { dir: path, records, bytes });
        }
    }
    orphans.sort_by(|one, other| one.dir.cmp(&other.dir));
    Ok(orphans)
}

/// The directories in a directory, and what the files of a log in them take.
pub(crate) fn logs(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut logs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // One that cannot be read is not ours, as the lost+found of a file system.
        if let Ok(bytes) = LogDir::new(path.clone()).occupied() {
            logs.push((path, bytes));
        }
    }
    Ok(logs)
}
