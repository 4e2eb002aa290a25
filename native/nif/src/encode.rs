//! What a pool tells of itself, to terms.

use std::borrow::Cow;
use std::time::Duration;

use event_pusher_delivery::{
    Causes, Change, ConnectionState, ConnectionStatus, Counts, LastError, Levels, Report,
    SpoolStats, State, Stats, Status,
};
use rustler::{Atom, Encoder, Env, Term};

use crate::atoms;

/// `#{counts, levels, status, connection}`
pub(crate) fn stats<'a>(env: Env<'a>, stats: &Stats) -> Term<'a> {
    let Stats { counts, levels, status, connection, .. } = stats;
    map(env, &common(env, counts, levels, status, connection.as_ref()))
}

/// `#{counts, levels, status, connection, recent}`
pub(crate) fn report<'a>(env: Env<'a>, report: &Report) -> Term<'a> {
    let Report { counts, levels, status, connection, .. } = report;
    let [counts, levels, status, connection] =
        common(env, counts, levels, status, connection.as_ref());
    map(env, &[counts, levels, status, connection, (atoms::recent(), recent(env, report))])
}

fn common<'a>(
    env: Env<'a>,
    counts: &Counts,
    levels: &Levels,
    status: &Status,
    connected: Option<&ConnectionStatus>,
) -> [(Atom, Term<'a>); 4] {
    let named = counts.named().map(|(name, count)| (atom(env, name), count.encode(env)));
    [
        (atoms::counts(), map(env, &named.collect::<Vec<_>>())),
        (atoms::levels(), map(env, &levels_of(env, levels))),
        (atoms::status(), status_of(env, status)),
        (atoms::connection(), connection(env, connected)),
    ]
}

/// `#{state, since_ms, cause, paused, last_success_ms, last_error}`
fn status_of<'a>(env: Env<'a>, status: &Status) -> Term<'a> {
    let state = match status.state {
        State::Connected => atoms::connected(),
        State::Connecting => atoms::connecting(),
        State::Degraded => atoms::degraded(),
        State::Refused => atoms::refused(),
        State::Stopped => atoms::stopped(),
    };
    let success = status.last_success.map(|ago| millis(ago).encode(env));
    let error = status.last_error.as_ref().map(|LastError { ago, cause }| {
        let pairs =
            [(atoms::ago_ms(), millis(*ago).encode(env)), (atoms::cause(), cause.encode(env))];
        map(env, &pairs)
    });
    let none = || atoms::none().encode(env);
    let pairs = [
        (atoms::state(), state.encode(env)),
        (atoms::since_ms(), millis(status.since).encode(env)),
        (atoms::cause(), text(env, status.cause.as_ref())),
        (atoms::paused(), status.is_paused.encode(env)),
        (atoms::last_success_ms(), success.unwrap_or_else(none)),
        (atoms::last_error(), error.unwrap_or_else(none)),
    ];
    map(env, &pairs)
}

fn levels_of<'a>(env: Env<'a>, levels: &Levels) -> [(Atom, Term<'a>); 10] {
    let days = levels.certificate_days.map(|days| days.encode(env));
    [
        (atoms::waiting(), levels.waiting.encode(env)),
        (atoms::queue_events(), levels.queue_events.encode(env)),
        (atoms::queue_bytes(), levels.queue_bytes.encode(env)),
        (atoms::in_flight(), levels.in_flight.encode(env)),
        (atoms::oldest_ms(), levels.oldest.map_or(0, millis).encode(env)),
        (atoms::batch_limit(), levels.batch_limit.encode(env)),
        (atoms::clock_offset_s(), levels.clock_offset.encode(env)),
        (atoms::open_destinations(), levels.open_destinations.encode(env)),
        (atoms::certificate_days(), days.unwrap_or_else(|| atoms::none().encode(env))),
        (atoms::spool(), spool(env, levels.spool.as_ref())),
    ]
}

/// `none | #{state, opened, lost, failed, cause, refused, limited}`
fn connection<'a>(env: Env<'a>, status: Option<&ConnectionStatus>) -> Term<'a> {
    let Some(status) = status else {
        return atoms::none().encode(env);
    };
    let pairs = [
        (atoms::state(), name(status.state).encode(env)),
        (atoms::opened(), status.opened.encode(env)),
        (atoms::lost(), status.lost.encode(env)),
        (atoms::failed(), status.failed.encode(env)),
        (atoms::cause(), text(env, status.cause.as_ref())),
        (atoms::refused(), text(env, status.refused.as_ref())),
        (atoms::limited(), text(env, status.limited.as_ref())),
    ];
    map(env, &pairs)
}

/// `none | #{ahead, events, bytes, used_percent, oldest_ms, synced_ms, set_aside_files, set_aside_bytes,
/// orphaned_events, orphaned_bytes, trouble}`
fn spool<'a>(env: Env<'a>, spool: Option<&SpoolStats>) -> Term<'a> {
    let Some(spool) = spool else {
        return atoms::none().encode(env);
    };
    let time = |time: Option<Duration>| time.map_or(0, millis).encode(env);
    let pairs = [
        (atoms::ahead(), spool.ahead.encode(env)),
        (atoms::events(), spool.events.encode(env)),
        (atoms::bytes(), spool.bytes.encode(env)),
        (atoms::used_percent(), spool.used_percent.encode(env)),
        (atoms::oldest_ms(), time(spool.oldest)),
        (atoms::synced_ms(), time(spool.synced)),
        (atoms::set_aside_files(), spool.set_aside_files.encode(env)),
        (atoms::set_aside_bytes(), spool.set_aside_bytes.encode(env)),
        (atoms::orphaned_events(), spool.orphaned_events.encode(env)),
        (atoms::orphaned_bytes(), spool.orphaned_bytes.encode(env)),
        (atoms::trouble(), text(env, spool.trouble.as_ref())),
    ];
    map(env, &pairs)
}

/// `#{times_us, attempt_times_us, causes, changes, unroutable, troubles}`
fn recent<'a>(env: Env<'a>, Report { recent, changes, .. }: &Report) -> Term<'a> {
    let changes = changes.iter().map(|happened| change(env, happened)).collect::<Vec<_>>();
    let unroutable = recent.unroutable.iter().map(|(of, messages)| (&**of, *messages));
    let unroutable = unroutable.collect::<Vec<_>>();
    let pairs = [
        (atoms::times_us(), recent.times.total.encode(env)),
        (atoms::attempt_times_us(), recent.times.attempt.encode(env)),
        (atoms::causes(), causes(env, &recent.causes)),
        (atoms::changes(), changes.encode(env)),
        (atoms::unroutable(), unroutable.encode(env)),
        (atoms::troubles(), recent.troubles.encode(env)),
    ];
    map(env, &pairs)
}

/// Of those that there are.
fn causes<'a>(env: Env<'a>, causes: &Causes) -> Term<'a> {
    let Causes { rejected, exhausted, nacked, expired, retried } = causes;
    let pairs = [
        (atoms::rejected(), rejected),
        (atoms::exhausted(), exhausted),
        (atoms::nacked(), nacked),
        (atoms::expired(), expired),
        (atoms::retried(), retried),
    ];
    let known = pairs.into_iter().filter_map(|(of, cause)| Some((of, cause.as_ref()?.encode(env))));
    map(env, &known.collect::<Vec<_>>())
}

fn change<'a>(env: Env<'a>, change: &Change) -> Term<'a> {
    match change {
        Change::Connection(state) => (atoms::connection(), name(*state)).encode(env),
        Change::Refused(refused) => (atoms::refused(), text(env, refused.as_ref())).encode(env),
        Change::Limited(limited) => (atoms::limited(), limited.encode(env)).encode(env),
        Change::BatchingOff => atoms::batching_off().encode(env),
        Change::Clock(ahead) => (atoms::clock(), ahead).encode(env),
        Change::Circuit { destination, open, cause } => {
            let state = if *open { atoms::open() } else { atoms::closed() };
            (atoms::circuit(), &**destination, state, &**cause).encode(env)
        }
    }
}

fn name(state: ConnectionState) -> Atom {
    match state {
        ConnectionState::Down => atoms::down(),
        ConnectionState::Up => atoms::up(),
        ConnectionState::Blocked => atoms::blocked(),
    }
}

fn atom(env: Env<'_>, name: &str) -> Atom {
    Atom::from_str(env, name).expect("the name of a count fits into an atom")
}

pub(crate) fn map<'a>(env: Env<'a>, pairs: &[(Atom, Term<'a>)]) -> Term<'a> {
    Term::map_from_pairs(env, pairs).expect("the keys differ")
}

/// `none` where there is nothing to say.
fn text<'a>(env: Env<'a>, text: Option<&Cow<'static, str>>) -> Term<'a> {
    text.map_or_else(|| atoms::none().encode(env), |text| text.encode(env))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
