//! Small files that options name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The content of a file that has no more than so many bytes. Not of a pipe or a device, which may
/// never come to an end.
///
/// # Errors
///
/// It cannot be read, is of another kind, or is longer.
pub fn whole_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")));
    }
    Ok(content)
}
