//! PEM files that options name. A complaint has the name of the file, never its content.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use event_pusher_settings::{InvalidSettings, whole_file};

/// The longest file that is read. Those of the authorities of a system have less than a twentieth.
const LIMIT: u64 = 8 * 1024 * 1024;

/// A whole file.
pub(super) fn read(field: &str, path: &Path) -> Result<Vec<u8>, InvalidSettings> {
    whole_file(path, LIMIT).map_err(|error| {
        InvalidSettings::one(field, "a readable file", format_args!("{path:?}: {error}"))
    })
}

/// All certificates in a file, of which there is at least one.
pub(super) fn certificates(
    field: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, InvalidSettings> {
    let text = read(field, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| {
        InvalidSettings::one(field, "a PEM file with certificates", format_args!("{path:?}"))
    })
}
