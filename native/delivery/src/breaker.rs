//! Whether a destination is worth an attempt, as its last attempts say: a circuit breaker.
//!
//! A circuit is closed, and all attempts go, until so many of them in a row found nobody. Then it is
//! open: nothing goes but, after a wait, one attempt, the probe. When that is answered, the circuit is
//! closed again, at first for two attempts at a time, then for four and so on, so that a receiver that
//! has just come back does not get everything at once.
//!
//! Time and chance come from outside. <https://martinfowler.com/bliki/CircuitBreaker.html>

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{RETRY_AFTER_LIMIT, RetryEnd, RetrySettings};
use crate::fate::Failure;

/// The shortest first wait for a probe, whatever the retries do: who asks an absent receiver without
/// a pause does nothing else.
const SHORTEST_BASE: Duration = Duration::from_millis(10);

/// What all circuits of a pool have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// After so many failures in a row a circuit opens.
    failures: u32,
    /// The waits for probes.
    waits: RetrySettings,
    /// How many attempts may be under way when nothing limits them.
    workers: usize,
}

/// The permission for one attempt, and when it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass(u64);

/// What an attempt says of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It answers: it took a message, or refused it.
    Answer,
    /// It asks to wait, which it could not if it were away.
    Wait(Option<Duration>),
    /// No answer, or a fault of its own.
    Nobody,
}

/// The circuit of one destination.
#[derive(Debug)]
pub(crate) struct Circuit {
    state: State,
    /// How often the state has changed: attempts of an earlier one say less.
    changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// Nothing goes until then. So many probes have failed.
    Open {
        until: Instant,
        probes: u32,
    },
    /// The probe is under way.
    Probing {
        probes: u32,
    },
    /// Closed, but only for some attempts at a time.
    Recovering {
        at_once: usize,
        under_way: usize,
        answers: usize,
        failures: u32,
    },
}

// === impl Rules ===

impl Rules {
    pub(crate) fn new(failures: u32, retry: RetrySettings, workers: usize) -> Self {
        let base = retry.base.max(SHORTEST_BASE);
        let waits = RetrySettings { end: RetryEnd::Never, base, max: retry.max.max(base) };
        Self { failures, waits, workers }
    }
}

// === impl Pass ===

impl Pass {
    /// Of a circuit that nobody had to watch then.
    pub(crate) const UNWATCHED: Self = Self(0);
    /// Of none: somebody else was faster.
    pub(crate) const NONE: Self = Self(u64::MAX);
}

// === impl Circuit ===

impl Circuit {
    pub(crate) fn new() -> Self {
        Self { state: State::Closed { failures: 0 }, changes: 0 }
    }

    /// Whether an attempt may begin now.
    pub(crate) fn permits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, .. } => until <= now,
            State::Probing { .. } => false,
            State::Recovering { at_once, under_way, .. } => under_way < at_once,
        }
    }

    /// When the next probe may go, if it has to wait for nothing else.
    pub(crate) fn probes_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            _ => None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Probing { .. })
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Begins an attempt, if it may begin now.
    pub(crate) fn enter(&mut self, now: Instant) -> Option<Pass> {
        if !self.permits(now) {
            return None;
        }
        match &mut self.state {
            State::Open { probes, .. } => {
                let probes = *probes;
                self.change(State::Probing { probes });
            }
            State::Recovering { under_way, .. } => *under_way += 1,
            State::Closed { .. } | State::Probing { .. } => {}
        }
        Some(Pass(self.changes))
    }

    /// Whether an attempt with this pass may still be made.
    pub(crate) fn stands(&self, pass: Pass) -> bool {
        self.is_closed() || self.is_of_now(pass)
    }

    /// What came of an attempt. `random`, from 0 to 1, is the jitter of the wait that may follow.
    pub(crate) fn heard(
        &mut self,
        pass: Pass,
        heard: Heard,
        rules: &Rules,
        now: Instant,
        random: f64,
    ) {
        let of_now = self.is_of_now(pass);
        match (self.state, heard) {
            (State::Closed { .. }, Heard::Answer) => self.state = State::Closed { failures: 0 },
            (State::Closed { failures }, Heard::Nobody) => {
                self.failed(failures + 1, rules, now, random);
            }
            // Also one that began before: whoever answers is there.
            (State::Open { .. } | State::Probing { .. }, Heard::Answer) => self.recover(2, rules),
            (State::Probing { probes }, Heard::Nobody | Heard::Wait(_)) if of_now => {
                self.open(probes + 1, heard.asked(), rules, now, random);
            }
            (State::Recovering { .. }, _) if of_now => self.recovering(heard, rules, now, random),
            _ => {}
        }
    }

    /// An attempt that has begun is not made after all.
    pub(crate) fn forgo(&mut self, pass: Pass, now: Instant) {
        if !self.is_of_now(pass) {
            return;
        }
        match &mut self.state {
            State::Probing { probes } => {
                let probes = *probes;
                self.change(State::Open { until: now, probes });
            }
            State::Recovering { under_way, .. } => *under_way = under_way.saturating_sub(1),
            State::Closed { .. } | State::Open { .. } => {}
        }
    }

    /// Lets the next probe go at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let State::Open { until, .. } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// An attempt has ended of those that go some at a time.
    fn recovering(&mut self, heard: Heard, rules: &Rules, now: Instant, random: f64) {
        let State::Recovering { at_once, under_way, answers, failures } = &mut self.state else {
            return;
        };
        *under_way = under_way.saturating_sub(1);
        match heard {
            Heard::Answer => {
                *failures = 0;
                *answers += 1;
                if answers >= at_once {
                    let more = at_once.saturating_mul(2);
                    self.recover(more, rules);
                }
            }
            Heard::Nobody => {
                *failures += 1;
                let failures = *failures;
                if failures >= rules.failures {
                    self.open(0, None, rules, now, random);
                }
            }
            Heard::Wait(_) => {}
        }
    }

    fn failed(&mut self, failures: u32, rules: &Rules, now: Instant, random: f64) {
        if failures >= rules.failures {
            self.open(0, None, rules, now, random);
        } else {
            self.state = State::Closed { failures };
        }
    }

    fn open(
        &mut self,
        probes: u32,
        asked: Option<Duration>,
        rules: &Rules,
        now: Instant,
        random: f64,
    ) {
        let wait = rules.waits.wait(probes, random);
        let asked = asked.unwrap_or_default().min(RETRY_AFTER_LIMIT);
        self.change(State::Open { until: now + wait.max(asked), probes });
    }

    fn recover(&mut self, at_once: usize, rules: &Rules) {
        match &mut self.state {
            _ if at_once >= rules.workers => self.change(State::Closed { failures: 0 }),
            // Those that are under way are of the same recovery.
            State::Recovering { at_once: before, answers, .. } => {
                *before = at_once;
                *answers = 0;
            }
            _ => self.change(State::Recovering { at_once, under_way: 0, answers: 0, failures: 0 }),
        }
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.changes += 1;
    }

    fn is_of_now(&self, pass: Pass) -> bool {
        pass.0 == self.changes
    }
}

// === impl Heard ===

impl Heard {
    /// What this says together with one more result of the same attempt: an answer to one message
    /// is an answer.
    pub(crate) fn and(self, result: &Result<(), Failure>) -> Self {
        match (self, result) {
            (Self::Answer, _)
            | (_, Ok(()) | Err(Failure::Permanent { .. } | Failure::Nack { .. })) => Self::Answer,
            (_, Err(Failure::Unroutable { .. })) => Self::Answer,
            (Self::Nobody, _) | (_, Err(Failure::Transient { away: true, .. })) => Self::Nobody,
            (Self::Wait(asked), Err(Failure::Transient { retry_after, .. })) => {
                Self::Wait(asked.max(*retry_after))
            }
        }
    }

    fn asked(self) -> Option<Duration> {
        match self {
            Self::Wait(asked) => asked,
            Self::Answer | Self::Nobody => None,
        }
    }
}

#[cfg(test)]
mod tests;
