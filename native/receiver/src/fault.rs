//! What can go wrong on demand, and the script that says when.

use std::{
    collections::VecDeque,
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How a server treats one request.
///
/// Only `Pass`, `Slow`, `HalfAnswer`, `Raw`, `Chunked`, `FailEntries`, `DropEntry`, `WrongIds` and, for a
/// single message, `NoBatch` process the request for real; the others never look at the message.
/// Those four that speak of batches mean `Pass` to a receiver of webhooks.
///
/// Over HTTP/2, `Reset`, `Close`, `HalfAnswer`, `Raw` and `NotHttp` all drop the connection with whatever
/// else is under way on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No fault: lets a later request of a script fail.
    Pass,
    /// Refused with this status and error code, which is all of the body of a webhook's answer.
    Status(u16, String),
    /// Refused with this status, error code and value of the header `Retry-After`.
    StatusRetryAfter(u16, String, String),
    /// The connection is reset before any answer.
    Reset,
    /// The connection is closed in good order, without an answer.
    Close,
    /// The request is processed, but its answer breaks off in the middle of the body.
    HalfAnswer,
    /// The request is processed; its answer is these bytes, and then the connection is closed. It
    /// has no word.
    Raw(Vec<u8>),
    /// The request is processed after this long.
    Slow(Duration),
    /// No answer until the client gives up.
    Hang,
    /// Status 200 with a body that means nothing, and is no XML either.
    Garbage,
    /// The answer is not HTTP.
    NotHttp,
    /// Status 200 with a body far bigger than anybody should read.
    HugeAnswer,
    /// The request is processed; its answer comes in several chunks, without a length.
    Chunked,
    /// Status 200 with a body that never ends: a byte every 20 milliseconds.
    EndlessAnswer,
    /// Status 302 with this `Location`.
    Redirect(String),
    /// A service which knows only single messages: a batch is an invalid action.
    NoBatch,
    /// These entries of a batch fail: index from 0, error code, whether it is the sender's fault.
    FailEntries(Vec<(usize, String, bool)>),
    /// The answer to a batch says nothing about the entry with this index; it is accepted.
    DropEntry(usize),
    /// The answer to a batch speaks of ids that nobody sent; the entries are accepted.
    WrongIds,
}

/// A word that names no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault: {0}")]
pub struct UnknownFault(pub String);

/// The faults to come: scripted ones first, one for each request, then always the same.
#[derive(Debug, Default)]
pub(crate) struct Script {
    active: AtomicBool,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<Fault>,
    always: Option<Fault>,
}

// === impl Fault ===

impl FromStr for Fault {
    type Err = UnknownFault;

    /// One word, its arguments after colons: `reset`, `slow:250` (milliseconds),
    /// `status:503:ServiceUnavailable`, `status:429:Throttled:2` (the last is `Retry-After`, with
    /// `_` for a space), `redirect:http://127.0.0.1/`, `fail:0:InvalidParameter:sender,2:InternalError:receiver`, `drop:1`.
    fn from_str(word: &str) -> Result<Self, UnknownFault> {
        let (name, arguments) = word.split_once(':').unwrap_or((word, ""));
        let fault = match name {
            "pass" => Some(Self::Pass),
            "status" => status(arguments),
            "reset" => Some(Self::Reset),
            "close" => Some(Self::Close),
            "half" => Some(Self::HalfAnswer),
            "slow" => arguments.parse().ok().map(|ms| Self::Slow(Duration::from_millis(ms))),
            "hang" => Some(Self::Hang),
            "garbage" => Some(Self::Garbage),
            "not-http" => Some(Self::NotHttp),
            "huge" => Some(Self::HugeAnswer),
            "chunked" => Some(Self::Chunked),
            "endless" => Some(Self::EndlessAnswer),
            "redirect" if !arguments.is_empty() => Some(Self::Redirect(arguments.to_owned())),
            "no-batch" => Some(Self::NoBatch),
            "fail" => {
                arguments.split(',').map(failure).collect::<Option<_>>().map(Self::FailEntries)
            }
            "drop" => arguments.parse().ok().map(Self::DropEntry),
            "wrong-ids" => Some(Self::WrongIds),
            _ => None,
        };
        fault.ok_or_else(|| UnknownFault(word.to_owned()))
    }
}

fn status(arguments: &str) -> Option<Fault> {
    let mut parts = arguments.splitn(3, ':');
    let status = parts.next()?.parse().ok().filter(|status| (200..=599).contains(status))?;
    let code = parts.next()?.to_owned();
    Some(match parts.next() {
        None => Fault::Status(status, code),
        Some(wait) => Fault::StatusRetryAfter(status, code, wait.replace('_', " ")),
    })
}

fn failure(entry: &str) -> Option<(usize, String, bool)> {
    let mut parts = entry.split(':');
    let index = parts.next()?.parse().ok()?;
    let code = parts.next()?.to_owned();
    match parts.next()? {
        "sender" => Some((index, code, true)),
        "receiver" => Some((index, code, false)),
        _ => None,
    }
}

// === impl Script ===

impl Script {
    pub(crate) fn extend(&self, faults: Vec<Fault>) {
        self.change(|plan| plan.next.extend(faults));
    }

    pub(crate) fn always(&self, fault: Fault) {
        self.change(|plan| plan.always = Some(fault));
    }

    pub(crate) fn clear(&self) {
        self.change(|plan| *plan = Plan::default());
    }

    /// The fault of the request that has just arrived.
    pub(crate) fn next(&self) -> Fault {
        if !self.active.load(Ordering::Acquire) {
            return Fault::Pass;
        }
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.next.pop_front().or_else(|| plan.always.clone()).unwrap_or(Fault::Pass)
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut plan);
        let active = !plan.next.is_empty() || plan.always.is_some();
        self.active.store(active, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Fault {
        word.parse().unwrap()
    }

    #[test]
    fn faults_are_written_as_single_words() {
        assert_eq!(parse("reset"), Fault::Reset);
        assert_eq!(parse("slow:250"), Fault::Slow(Duration::from_millis(250)));
        assert_eq!(parse("endless"), Fault::EndlessAnswer);
        assert_eq!(parse("redirect:http://a:1/b"), Fault::Redirect("http://a:1/b".into()));
        assert_eq!(parse("status:503:Unavailable"), Fault::Status(503, "Unavailable".into()));
        assert_eq!(
            parse("status:429:Throttled:Wed,_21_Oct_2026_07:28:00_GMT"),
            Fault::StatusRetryAfter(
                429,
                "Throttled".into(),
                "Wed, 21 Oct 2026 07:28:00 GMT".into()
            )
        );
        assert_eq!(
            parse("fail:0:InvalidParameter:sender,2:InternalError:receiver"),
            Fault::FailEntries(vec![
                (0, "InvalidParameter".into(), true),
                (2, "InternalError".into(), false),
            ])
        );
    }

    #[test]
    fn a_word_that_is_no_fault_is_refused() {
        for word in [
            "",
            "rest",
            "slow",
            "slow:soon",
            "redirect",
            "status:503",
            "status:99:X",
            "fail:0:X:me",
        ] {
            assert_eq!(word.parse::<Fault>(), Err(UnknownFault(word.to_owned())), "{word}");
        }
    }

    #[test]
    fn a_script_is_consumed_before_the_lasting_fault() {
        let script = Script::default();
        script.always(Fault::Hang);
        script.extend(vec![Fault::Reset, Fault::Pass]);
        let faults: Vec<_> = (0..4).map(|_| script.next()).collect();
        assert_eq!(faults, [Fault::Reset, Fault::Pass, Fault::Hang, Fault::Hang]);
        script.clear();
        assert_eq!(script.next(), Fault::Pass);
    }
}
