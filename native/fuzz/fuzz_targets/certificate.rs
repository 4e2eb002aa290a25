#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use event_pusher_tls::TlsOptions;
use event_pusher_tls::fuzzing::certificate;
use libfuzzer_sys::fuzz_target;

/// One authority, whose name and key are in the corpus.
const AUTHORITY: &str = include_str!("authority.pem");

static OPTIONS: LazyLock<TlsOptions> = LazyLock::new(|| {
    let file = PathBuf::from(format!("/dev/shm/event_pusher_fuzz_{}.pem", std::process::id()));
    fs::write(&file, AUTHORITY).expect("there is memory for a file");
    TlsOptions { cacertfile: Some(file), ..TlsOptions::default() }
});

fuzz_target!(|data: &[u8]| certificate(&OPTIONS, data));
