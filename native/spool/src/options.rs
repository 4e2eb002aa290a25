//! The options of a spool: plain data, checked once. After that nobody checks again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use event_pusher_settings::InvalidSettings;
use serde::Deserialize;

/// Where a spool is, and how much of the disk and how much time it takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolOptions {
    /// The directory, an absolute path. It is made if it does not exist, with those above it.
    pub dir: String,
    /// How many bytes the files of all logs together may have. What is set aside does not count.
    pub max_bytes: u64,
    /// When what waits is written, and when the disk must have it.
    pub sync: SyncOption,
    /// What is read back and was accepted longer ago than this, in milliseconds, has expired.
    /// Not to be left out.
    #[serde(deserialize_with = "Option::deserialize")]
    pub max_age_ms: Option<u64>,
}

/// When what waits is written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SyncOption {
    /// At once: each entry is written and synced as soon as the writer comes to it, with all that
    /// came meanwhile.
    Always,
    /// So many milliseconds after it came, with all that came meanwhile. What ends before need not
    /// touch the disk; a crash loses what has not been written.
    Ms(u64),
}

/// Options of a spool that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: u64,
    /// `None` for at once.
    pub(crate) sync: Option<Duration>,
    pub(crate) max_age: Option<Duration>,
    /// When a segment is full.
    pub(crate) segment_bytes: u64,
}

/// With less, the bounds of a segment make no sense.
const MIN_BYTES: u64 = 1 << 20;

const MAX_SYNC_MS: u64 = 60_000;

/// A thousand years: what no clock can subtract is surely a mistake.
const MAX_AGE_MS: u64 = 1000 * 365 * 24 * 3_600_000;

/// A segment is deleted as a whole, so many of them make the bound of bytes.
const SEGMENTS: u64 = 64;
const SEGMENT_BYTES: (u64, u64) = (64 << 10, 16 << 20);

// === impl SpoolOptions ===

impl SpoolOptions {
    /// Checks everything, complaining in the names of the configuration's keys.
    ///
    /// # Errors
    ///
    /// Everything that cannot be used is named.
    pub fn check(self) -> Result<SpoolSettings, InvalidSettings> {
        let mut complaints = InvalidSettings::default();
        if !Path::new(&self.dir).is_absolute() || self.dir.contains('\0') {
            complaints.complain("spool.dir", "an absolute path", format_args!("{:?}", self.dir));
        }
        if !(MIN_BYTES..=i64::MAX as u64).contains(&self.max_bytes) {
            let allowed = format_args!("from {MIN_BYTES} to {}", i64::MAX);
            complaints.complain("spool.max_bytes", allowed, self.max_bytes);
        }
        let sync = match self.sync {
            SyncOption::Always => None,
            SyncOption::Ms(ms) => Some(ms),
        };
        if let Some(ms) = sync.filter(|ms| !(1..=MAX_SYNC_MS).contains(ms)) {
            let allowed = format_args!("\"always\" or from 1 to {MAX_SYNC_MS} ms");
            complaints.complain("spool.sync", allowed, ms);
        }
        if let Some(ms) = self.max_age_ms.filter(|ms| !(1..=MAX_AGE_MS).contains(ms)) {
            complaints.complain("spool.max_age_ms", format_args!("from 1 to {MAX_AGE_MS}"), ms);
        }
        let (least, most) = SEGMENT_BYTES;
        complaints.into_result(SpoolSettings {
            dir: self.dir.into(),
            max_bytes: self.max_bytes,
            sync: sync.map(Duration::from_millis),
            max_age: self.max_age_ms.map(Duration::from_millis),
            segment_bytes: (self.max_bytes / SEGMENTS).clamp(least, most),
        })
    }
}

// === impl SpoolSettings ===

impl SpoolSettings {
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_complaints_come_at_once_and_name_the_field() {
        let options = SpoolOptions {
            dir: "spool".into(),
            max_bytes: 1000,
            sync: SyncOption::Ms(0),
            max_age_ms: Some(0),
        };
        assert_eq!(
            options.check().unwrap_err().0,
            [
                "spool.dir: must be an absolute path, got \"spool\"",
                "spool.max_bytes: must be from 1048576 to 9223372036854775807, got 1000",
                "spool.sync: must be \"always\" or from 1 to 60000 ms, got 0",
                "spool.max_age_ms: must be from 1 to 31536000000000, got 0",
            ]
        );
    }

    #[test]
    fn options_come_as_data() {
        let read = serde_json::from_str::<SpoolOptions>;
        let json =
            r#"{"dir": "/s", "max_bytes": 1048576, "sync": {"ms": 500}, "max_age_ms": null}"#;
        let settings = read(json).unwrap().check().unwrap();
        assert_eq!(settings.sync, Some(Duration::from_millis(500)));
        assert_eq!((settings.max_age, settings.segment_bytes), (None, 64 << 10));
        let json = r#"{"dir": "/s", "max_bytes": 1073741824, "sync": "always", "max_age_ms": 1}"#;
        let settings = read(json).unwrap().check().unwrap();
        assert_eq!((settings.sync, settings.segment_bytes), (None, 16 << 20));
        assert!(read(r#"{"dir": "/s", "max_bytes": 1048576, "sync": "always"}"#).is_err());
    }
}
