//! Receivers with proxies before them, for a run of chaos; see `test/support/chaos.erl`.
//!
//! `chaos --ca-file FILE [--proxy NAME=PORT]...` starts a strict SNS service, a receiver of
//! webhooks over HTTP/2 and one over HTTP/1.1, and an impostor, all with TLS on loopback, and a proxy
//! before each but the impostor and before each server at such a port, as that of a broker. It writes
//! the certificates of the authorities of the first three to the file. The impostor's is of another
//! one.
//!
//! It speaks with its parent as the receivers in `test/receivers` do: each line it writes is an Erlang
//! term, each line it reads a command with one answer, in order. First, with the ports of the proxies,
//!
//! ```text
//! {ready, #{sns => Port, http2 => Port, http1 => Port, NAME => Port}}.
//! ```
//!
//! then one for each message that a receiver has taken (or, of webhooks, seen and not taken):
//!
//! ```text
//! {message, #{target => sns | http2 | http1 | impostor, at_ms => Integer, taken => Boolean,
//!             topic => Binary, body => Binary}}.
//! ```
//!
//! The commands are in `command.rs`. The end of its input ends it.

mod command;
mod rig;

use std::io::{BufRead, Write};

use rig::Rig;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ca_file = options("--ca-file").pop().ok_or("--ca-file is missing")?;
    let others = options("--proxy").into_iter().map(|other| {
        let (name, port) = other.split_once('=').ok_or("--proxy must be NAME=PORT")?;
        Ok((name.to_owned(), port.parse()?))
    });
    let rig = Rig::start(others.collect::<Result<_, Box<dyn std::error::Error>>>()?);
    std::fs::write(ca_file, rig.authorities())?;
    say(&format!("{{ready, {}}}", rig.ports()));
    std::thread::scope(|scope| {
        rig.tell_arrivals(scope);
        for line in std::io::stdin().lock().lines() {
            let line = line.unwrap_or_default();
            // Quoted as for a shell; no word of ours has a blank or a quote in it.
            let words: Vec<_> =
                line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
            match words.as_slice() {
                ["quit"] => break,
                words => say(&command::obey(&rig, words)),
            }
        }
        rig.end();
    });
    Ok(())
}

/// One term in one line.
fn say(term: &str) {
    let mut stdout = std::io::stdout().lock();
    // If nobody reads any more, the input ends, too.
    let _ = writeln!(stdout, "{term}.").and_then(|()| stdout.flush());
}

/// What follows an option of the command line, each time.
fn options(name: &str) -> Vec<String> {
    let arguments: Vec<_> = std::env::args().collect();
    arguments.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].clone()).collect()
}
