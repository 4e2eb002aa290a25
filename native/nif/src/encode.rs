//! Reports to terms.

use std::borrow::Cow;
use std::time::Duration;

use event_pusher_delivery::{LinkState, LinkStatus, Report, Times};
use rustler::{Encoder, Env, Term};

use crate::atoms;

/// The state of a pool as a map of counters and levels.
pub(crate) fn stats<'a>(env: Env<'a>, report: &Report) -> Term<'a> {
    let in_flight = report.waiting.saturating_sub(report.queue_events as u64);
    let oldest = report.oldest.map_or(0, millis);
    let connection = report.link.as_ref().map_or(atoms::none(), |link| state(link.state));
    let link = report.link.clone().unwrap_or_default();
    let LinkStatus { opened, lost, failed, cause, refused, limited, .. } = link;
    let pairs = [
        (atoms::accepted(), report.accepted.encode(env)),
        (atoms::delivered(), report.delivered.encode(env)),
        (atoms::rejected(), report.rejected.encode(env)),
        (atoms::exhausted(), report.exhausted.encode(env)),
        (atoms::nacked(), report.nacked.encode(env)),
        (atoms::closed(), report.closed.encode(env)),
        (atoms::waiting(), report.waiting.encode(env)),
        (atoms::refused_full(), report.refused_full.encode(env)),
        (atoms::refused_closed(), report.refused_closed.encode(env)),
        (atoms::retried(), report.retried.encode(env)),
        (atoms::nacks(), report.nacks.encode(env)),
        (atoms::panics(), report.panics.encode(env)),
        (atoms::queue_events(), report.queue_events.encode(env)),
        (atoms::queue_bytes(), report.queue_bytes.encode(env)),
        (atoms::in_flight(), in_flight.encode(env)),
        (atoms::oldest_ms(), oldest.encode(env)),
        (atoms::batch_limit(), report.batch_limit.encode(env)),
        (atoms::clock_offset_s(), report.clock_offset.encode(env)),
        (atoms::connection(), connection.encode(env)),
        (atoms::connections_opened(), opened.encode(env)),
        (atoms::connections_lost(), lost.encode(env)),
        (atoms::connections_failed(), failed.encode(env)),
        (atoms::connection_cause(), detail(env, cause.as_ref())),
        (atoms::connection_refused(), detail(env, refused.as_ref())),
        (atoms::connection_limited(), detail(env, limited.as_ref())),
    ];
    map(env, &pairs)
}

/// What [`stats`] holds, and what happened since the last report.
pub(crate) fn report<'a>(env: Env<'a>, report: &Report) -> Term<'a> {
    let times = |of: fn(&Times) -> Duration| {
        report.times.iter().map(|times| micros(of(times))).collect::<Vec<_>>()
    };
    let recent = [
        (atoms::times_us(), times(|times| times.total).encode(env)),
        (atoms::attempt_times_us(), times(|times| times.attempt).encode(env)),
        (atoms::last_rejected(), detail(env, report.last_rejected.as_ref())),
        (atoms::last_exhausted(), detail(env, report.last_exhausted.as_ref())),
        (atoms::last_nacked(), detail(env, report.last_nacked.as_ref())),
        (atoms::last_retried(), detail(env, report.last_retried.as_ref())),
    ];
    recent.iter().fold(stats(env, report), |map, (key, value)| {
        map.map_put(*key, *value).expect("stats is a map")
    })
}

fn state(state: LinkState) -> rustler::Atom {
    match state {
        LinkState::Down => atoms::down(),
        LinkState::Up => atoms::up(),
        LinkState::Blocked => atoms::blocked(),
    }
}

fn map<'a>(env: Env<'a>, pairs: &[(rustler::Atom, Term<'a>)]) -> Term<'a> {
    Term::map_from_pairs(env, pairs).expect("the keys differ")
}

fn detail<'a>(env: Env<'a>, detail: Option<&Cow<'static, str>>) -> Term<'a> {
    detail.map_or_else(|| atoms::undefined().encode(env), |detail| detail.encode(env))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
