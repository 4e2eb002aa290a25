//! A fast SNS service for benchmarks, as a program of its own.
//!
//! `receiver --ca-file FILE [--threads N] [--delay-ms N]` listens with TLS on loopback, answers
//! whatever it is sent and verifies nothing. It writes the certificate of its authority to the
//! file and prints one line, its URL. The end of its input ends it.

use std::{path::PathBuf, time::Duration};

use event_pusher_receiver::{SnsConfig, SnsServer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = SnsConfig {
        tls: true,
        verify: false,
        capture: false,
        threads: option("--threads").unwrap_or(1),
        delay: Duration::from_millis(option("--delay-ms").unwrap_or(0)),
        ..SnsConfig::default()
    };
    let server = SnsServer::start(config);
    let ca_file: PathBuf = option("--ca-file").ok_or("--ca-file is missing")?;
    std::fs::write(ca_file, server.ca_pem().unwrap_or_default())?;
    println!("{}", server.url());
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}

/// What follows an option of the command line.
fn option<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}
