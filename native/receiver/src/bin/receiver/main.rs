//! A fast SNS service for benchmarks, as a program of its own.
//!
//! `receiver [--threads N] [--delay-ms N]` listens with TLS on loopback, answers whatever it is
//! sent and verifies nothing. It prints one line, `URL CA_FILE`, and for each line that it reads
//! another one: how many messages and requests it has had so far. The end of its input ends it.

use std::{io::BufRead, path::PathBuf, time::Duration};

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
    let ca_file = ca_file();
    std::fs::write(&ca_file, server.ca_pem().unwrap_or_default())?;
    println!("{} {}", server.url(), ca_file.display());
    for line in std::io::stdin().lock().lines() {
        line?;
        let stats = server.stats();
        println!("{} {}", stats.messages, stats.requests);
    }
    std::fs::remove_file(ca_file)?;
    Ok(())
}

/// The number that follows an option of the command line.
fn option<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}

fn ca_file() -> PathBuf {
    std::env::temp_dir().join(format!("receiver-{}.pem", std::process::id()))
}
