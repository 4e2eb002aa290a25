//! A fast receiver for benchmarks, as a program of its own.
//!
//! `receiver [--ca-file FILE] [--threads N] [--delay-ms N]` listens on loopback, with TLS if there is a
//! file, into which it writes the certificate of its authority. It answers whatever it is sent as SNS
//! would, and verifies nothing. It prints one line, its URL. To a line `await N` of its input it prints
//! `arrived` when N messages have arrived since its start. The end of its input ends it.
//!
//! With `--arrivals` it is a receiver of webhooks instead, and prints for each when it had been read
//! completely, in nanoseconds since 1970.

use std::{
    error::Error,
    io::BufRead,
    path::PathBuf,
    thread,
    time::{Duration, UNIX_EPOCH},
};

use event_pusher_receiver::{
    Authority, HttpConfig, HttpServer, Identity, SnsConfig, SnsServer, TlsConfig, Validity,
};

/// How often it looks whether enough has arrived: a wake-up for each message would slow it down.
const LOOK: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|argument| argument == "--arrivals") { arrivals() } else { sink() }
}

fn sink() -> Result<(), Box<dyn Error>> {
    let ca_file: Option<PathBuf> = option("--ca-file");
    let server = SnsServer::start(SnsConfig {
        tls: ca_file.is_some(),
        verify: false,
        capture: false,
        threads: option("--threads").unwrap_or(1),
        delay: Duration::from_millis(option("--delay-ms").unwrap_or(0)),
        ..SnsConfig::default()
    });
    if let Some(ca_file) = ca_file {
        std::fs::write(ca_file, server.ca_pem().unwrap_or_default())?;
    }
    println!("{}", server.url());
    for line in std::io::stdin().lock().lines() {
        if let Some(wanted) = line?.strip_prefix("await ") {
            let wanted: u64 = wanted.parse()?;
            while server.stats().messages < wanted {
                thread::sleep(LOOK);
            }
            println!("arrived");
        }
    }
    Ok(())
}

fn arrivals() -> Result<(), Box<dyn Error>> {
    let authority = Authority::new("receiver on loopback");
    let tls = TlsConfig::new(authority.identity(&Identity::LOOPBACK, Validity::Now));
    let server = HttpServer::start(HttpConfig { tls: Some(tls), ..HttpConfig::default() });
    let ca_file: PathBuf = option("--ca-file").ok_or("--ca-file is missing")?;
    std::fs::write(ca_file, authority.pem())?;
    println!("{}", server.url());
    thread::spawn(move || {
        loop {
            if let Some(received) = server.next_message(Duration::from_secs(1))
                && let Ok(arrived) = received.arrived.duration_since(UNIX_EPOCH)
            {
                println!("{}", arrived.as_nanos());
            }
        }
    });
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}

/// What follows an option of the command line.
fn option<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}
