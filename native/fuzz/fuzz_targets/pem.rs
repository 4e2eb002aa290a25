//! Any PEM: authorities, a certificate and a key are usable, or refused without a word of what is in
//! the file. The keys in the corpus are for nothing else.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use event_pusher_tls::{TlsOptions, VerifyMode};
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    PathBuf::from(format!("/dev/shm/event_pusher_fuzz_{}.pem", std::process::id()))
});

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).expect("there is memory for a file");
    let options = TlsOptions {
        cacertfile: Some(FILE.clone()),
        certfile: Some(FILE.clone()),
        keyfile: Some(FILE.clone()),
        password: Some("correct horse".into()),
        ..TlsOptions::default()
    };
    for verify_mode in [VerifyMode::Peer, VerifyMode::None] {
        let checked = TlsOptions { verify_mode, ..options.clone() }.check();
        for complaint in checked.err().map(|complaints| complaints.0).unwrap_or_default() {
            assert!(complaint.starts_with("tls.") && complaint.len() < 500, "{complaint}");
        }
    }
});
