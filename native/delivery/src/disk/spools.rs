//! The spools of the process: one for each directory.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use event_pusher_settings::InvalidSettings;
use event_pusher_spool::{Orphan, Spool, SpoolError, SpoolSettings};
use thiserror::Error;

/// Where a pool keeps what has not ended.
#[derive(Clone, Debug)]
pub(crate) struct DiskSettings {
    pub(crate) spool: SpoolSettings,
    /// The name of the pool's log.
    pub(crate) log: String,
}

/// Why a pool cannot keep anything on disk.
#[derive(Debug, Error)]
pub(crate) enum DiskError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("spool: must be the same for all pools with {dir}, got other options than before")]
    Differs { dir: PathBuf },
}

type Spools = HashMap<PathBuf, (SpoolSettings, Arc<Spool>)>;

/// Those in use.
static SPOOLS: Mutex<Option<Spools>> = Mutex::new(None);

/// The spool of a directory: the same one for all that hold it at the same time.
pub(super) fn shared(settings: &SpoolSettings, thread: fn()) -> Result<Arc<Spool>, DiskError> {
    let mut spools = SPOOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let spools = spools.get_or_insert_default();
    if let Some((known, spool)) = spools.get(settings.dir()) {
        return match known == settings {
            true => Ok(Arc::clone(spool)),
            false => Err(DiskError::Differs { dir: settings.dir().to_owned() }),
        };
    }
    let spool = Arc::new(Spool::open(settings.clone(), thread)?);
    spools.insert(settings.dir().to_owned(), (settings.clone(), Arc::clone(&spool)));
    Ok(spool)
}

/// The logs in a directory with other names than these. If it is in use, they count in the levels of
/// its pools.
pub(super) fn orphans(dir: &Path, known: &[Vec<u8>]) -> io::Result<Vec<Orphan>> {
    match in_use(dir) {
        Some(spool) => spool.find_orphans(known),
        None => event_pusher_spool::orphans(dir, known),
    }
}

fn in_use(dir: &Path) -> Option<Arc<Spool>> {
    let spools = SPOOLS.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Arc::clone(&spools.as_ref()?.get(dir)?.1))
}

/// Closes the spools that nobody holds any more. Waits for the disk.
pub(super) fn close_unused() {
    let mut spools = SPOOLS.lock().unwrap_or_else(PoisonError::into_inner);
    spools.get_or_insert_default().retain(|_, (_, spool)| Arc::strong_count(spool) > 1);
}

// === impl DiskError ===

impl From<DiskError> for InvalidSettings {
    fn from(error: DiskError) -> Self {
        Self(vec![error.to_string()])
    }
}
