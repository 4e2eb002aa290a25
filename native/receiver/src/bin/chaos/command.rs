//! What the parent can ask for. PROXY and RECEIVER are `sns`, `http2` or `http1`; PROXY may have been
//! named by `--proxy`, too.
//!
//! ```text
//! weather PROXY NAME [NUMBER]  disturbs: refuse, silent; accept_after MS, delay MS, throttle BYTES per
//!                              second; a cut of every NUMBERth piece by reset_before, reset_middle,
//!                              reset_after, truncate or half_close
//! fair PROXY NAME              ends that
//! reset PROXY                  resets all connections
//! impostor PROXY               sends new connections to the impostor, and resets the present ones
//! home PROXY                   sends them to the receiver again, likewise
//! every RECEIVER NUMBER FAULT  treats one of so many requests like this; see `fault`
//! clear RECEIVER               treats them well again
//! down | up RECEIVER
//! away RECEIVER                asks the clients of all connections to go away
//! clock SECONDS                sets the clock of SNS ahead
//! ```
//!
//! Each is answered with `ok`.

use std::{fmt::Display, str::FromStr, time::Duration};

use event_pusher_receiver::{Cut, Fault, Proxy, Weather};

use crate::rig::{Rig, Steered};

/// What is wrong with a command.
type Wrong = String;

/// Does what the words say; returns the answer.
pub(crate) fn obey(rig: &Rig, words: &[&str]) -> String {
    let name = words.first().unwrap_or(&"nothing");
    match run(rig, words) {
        Ok(()) => format!("{{{name}, ok}}"),
        Err(wrong) => format!("{{error, <<\"{wrong}\">>}}"),
    }
}

fn run(rig: &Rig, words: &[&str]) -> Result<(), Wrong> {
    match *words {
        ["weather", proxy, name] => change(rig, proxy, name, 1)?,
        ["weather", proxy, name, number] => change(rig, proxy, name, read(number)?)?,
        ["fair", proxy, name] => change(rig, proxy, name, 0)?,
        ["reset", proxy] => at(rig, proxy)?.0.reset(),
        ["impostor", proxy] => route(at(rig, proxy)?.0, rig.impostor.port()),
        ["home", proxy] => {
            let (proxy, home) = at(rig, proxy)?;
            route(proxy, home);
        }
        ["every", it, number, fault] => {
            receiver(rig, it)?.every(read(number)?, self::fault(fault)?);
        }
        ["clear", it] => receiver(rig, it)?.clear(),
        ["down", it] => receiver(rig, it)?.go_down(),
        ["up", it] => receiver(rig, it)?.go_up(),
        ["away", it] => receiver(rig, it)?.send_away(),
        ["clock", seconds] => rig.sns.set_clock_ahead(read(seconds)?),
        _ => return Err(unknown("command", words.join(" "))),
    }
    Ok(())
}

/// Zero means fair weather again.
fn change(rig: &Rig, proxy: &str, name: &str, number: usize) -> Result<(), Wrong> {
    let mut known = true;
    at(rig, proxy)?.0.change(|weather| known = disturb(weather, name, number));
    if known { Ok(()) } else { Err(unknown("weather", name)) }
}

/// Whether the name is known.
fn disturb(weather: &mut Weather, name: &str, number: usize) -> bool {
    let time = Duration::from_millis(number as u64);
    match name {
        "refuse" => weather.refuse = number > 0,
        "silent" => weather.silent = number > 0,
        "accept_after" => weather.accept_after = time,
        "delay" => weather.delay = time,
        "throttle" => weather.bytes_per_second = (number > 0).then_some(number),
        _ => match cut(name) {
            Some(cut) => weather.cut = (number > 0).then_some((cut, number)),
            None => return false,
        },
    }
    true
}

fn cut(name: &str) -> Option<Cut> {
    Some(match name {
        "reset_before" => Cut::ResetBefore,
        "reset_middle" => Cut::ResetMiddle,
        "reset_after" => Cut::ResetAfter,
        "truncate" => Cut::Truncate,
        "half_close" => Cut::HalfClose,
        _ => return None,
    })
}

fn route(proxy: &Proxy, port: u16) {
    proxy.route(port);
    proxy.reset();
}

/// A status, or its name with what it needs after a colon.
fn fault(text: &str) -> Result<Fault, Wrong> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    if let Ok(status) = name.parse() {
        return Ok(match value {
            "" => Fault::Status(status, "InternalError".into()),
            wait => Fault::StatusRetryAfter(status, "ThrottledException".into(), wait.into()),
        });
    }
    Ok(match name {
        "reset" => Fault::Reset,
        "close" => Fault::Close,
        "half_answer" => Fault::HalfAnswer,
        "slow" => Fault::Slow(Duration::from_millis(read(value)?)),
        "hang" => Fault::Hang,
        "garbage" => Fault::Garbage,
        "not_http" => Fault::NotHttp,
        "huge" => Fault::HugeAnswer,
        "endless" => Fault::EndlessAnswer,
        "chunked" => Fault::Chunked,
        "redirect" => Fault::Redirect("https://127.0.0.1/elsewhere".into()),
        "fail_entries" => Fault::FailEntries(vec![(0, value.into(), false)]),
        "drop_entry" => Fault::DropEntry(0),
        "wrong_ids" => Fault::WrongIds,
        _ => return Err(unknown("fault", text)),
    })
}

fn at<'r>(rig: &'r Rig, server: &str) -> Result<(&'r Proxy, u16), Wrong> {
    rig.proxy(server).ok_or_else(|| unknown("proxy", server))
}

fn receiver<'r>(rig: &'r Rig, name: &str) -> Result<&'r dyn Steered, Wrong> {
    rig.receiver(name).ok_or_else(|| unknown("receiver", name))
}

fn read<T: FromStr>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| format!("no number: {text}"))
}

fn unknown(what: &str, it: impl Display) -> Wrong {
    format!("unknown {what}: {it}")
}
