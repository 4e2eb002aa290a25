//! What can go wrong on demand, and the script that says when.

use std::{
    collections::VecDeque,
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
    /// The request is processed; its answer is these bytes, and then the connection is closed.
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

/// The faults to come: scripted ones first, one for each request, then one at every so many requests,
/// then always the same.
#[derive(Debug, Default)]
pub(crate) struct Script {
    active: AtomicBool,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    next: VecDeque<Fault>,
    every: Option<(usize, Fault)>,
    requests: usize,
    always: Option<Fault>,
}

// === impl Fault ===

impl Fault {
    /// Whether a receiver of webhooks says that it has taken the request, as far as it says anything.
    pub fn is_success(&self) -> bool {
        match self {
            Self::Pass | Self::Slow(_) | Self::HalfAnswer | Self::Raw(_) | Self::Chunked => true,
            Self::Garbage | Self::HugeAnswer | Self::EndlessAnswer => true,
            Self::NoBatch | Self::FailEntries(_) | Self::DropEntry(_) | Self::WrongIds => true,
            Self::Status(..) | Self::StatusRetryAfter(..) | Self::Redirect(_) => false,
            Self::Reset | Self::Close | Self::Hang | Self::NotHttp => false,
        }
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

    pub(crate) fn every(&self, requests: usize, fault: Fault) {
        self.change(|plan| plan.every = Some((requests, fault)));
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
        plan.next()
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut plan);
        let active = !plan.next.is_empty() || plan.every.is_some() || plan.always.is_some();
        self.active.store(active, Ordering::Release);
    }
}

// === impl Plan ===

impl Plan {
    fn next(&mut self) -> Fault {
        if let Some(scripted) = self.next.pop_front() {
            return scripted;
        }
        self.requests += 1;
        match &self.every {
            Some((every, fault)) if self.requests.is_multiple_of(*every) => fault.clone(),
            _ => self.always.clone().unwrap_or(Fault::Pass),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_fault_comes_at_every_so_many_requests() {
        let script = Script::default();
        script.every(3, Fault::Reset);
        let faults: Vec<_> = (0..7).map(|_| script.next()).collect();
        let fails: Vec<_> = faults.iter().map(|fault| *fault == Fault::Reset).collect();
        assert_eq!(fails, [false, false, true, false, false, true, false]);
        script.clear();
        assert!((0..3).all(|_| script.next() == Fault::Pass));
    }
}
