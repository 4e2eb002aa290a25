//! PEM in a file, for options that name one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The file goes when this does.
pub struct PemFile(PathBuf);

// === impl PemFile ===

impl PemFile {
    pub fn new(pem: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("event_pusher_test_{}_{number}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, pem).unwrap();
        Self(path)
    }

    /// For an option.
    pub fn path(&self) -> Option<PathBuf> {
        Some(self.0.clone())
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
