//! What the threads of schedulers have seen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustler::{Atom, Encoder, Env, LocalPid, Term};

use crate::account::{Account, Spent};
use crate::atoms;

/// A call that holds its scheduler for so long is counted apart.
const LONG_CALL: Duration = Duration::from_millis(1);

/// Module, name and arity.
type Function = (Atom, Atom, usize);

/// What one thread has seen. Nobody else asks for it meanwhile, so its lock costs nothing.
#[derive(Default)]
pub(crate) struct Seen {
    begun: Option<Begun>,
    /// One that has ended with its process, and what was spent until then: the VM has still to free that.
    ended: Option<(Begun, Spent)>,
    stints: Vec<Stint>,
    calls: HashMap<Function, Calls>,
}

/// A process that is on the scheduler.
struct Begun {
    process: Option<LocalPid>,
    came: Option<Function>,
    at: Account,
    /// The calls that it is in.
    calls: Vec<(Option<Function>, Account)>,
    native: Spent,
}

/// For how long a process was on a scheduler, without a break, and in which functions it came and went.
struct Stint {
    process: Option<LocalPid>,
    came: Option<Function>,
    went: Option<Function>,
    spent: Spent,
    /// In calls that were traced.
    native: Spent,
}

#[derive(Default)]
struct Calls {
    count: u64,
    long: u64,
    /// The one that has held its scheduler for longest.
    longest: Spent,
}

static THREADS: Mutex<Vec<Arc<Mutex<Seen>>>> = Mutex::new(Vec::new());

/// What is remembered of stints, in microseconds.
static LONG: AtomicU64 = AtomicU64::new(u64::MAX);

thread_local! {
    static HERE: Arc<Mutex<Seen>> = {
        let here = Arc::<Mutex<Seen>>::default();
        locked(&THREADS).push(Arc::clone(&here));
        here
    };
}

/// What the calling thread has seen.
pub(crate) fn here(change: impl FnOnce(&mut Seen)) {
    HERE.with(|here| change(&mut locked(here)));
}

pub(crate) fn reset(long_us: u64) {
    LONG.store(long_us, Ordering::Release);
    locked(&THREADS).iter().for_each(|seen| *locked(seen) = Seen::default());
}

pub(crate) fn taken(env: Env<'_>) -> Term<'_> {
    let (mut stints, mut calls) = (Vec::new(), HashMap::<Function, Calls>::new());
    for seen in locked(&THREADS).iter() {
        let Seen { stints: some, calls: made, .. } = std::mem::take(&mut *locked(seen));
        stints.extend(some);
        made.into_iter().for_each(|(function, some)| calls.entry(function).or_default().add(&some));
    }
    let stints: Vec<_> = stints.iter().map(|stint| stint.encode(env)).collect();
    let calls: Vec<_> =
        calls.iter().map(|(function, calls)| (function, calls.encode(env))).collect();
    let seen = [(atoms::stints(), stints.encode(env)), (atoms::calls(), calls.encode(env))];
    map(env, &seen)
}

// === impl Seen ===

impl Seen {
    pub(crate) fn comes(&mut self, process: Term<'_>, came: Term<'_>, at: Account) {
        if let Some((begun, mut spent)) = self.ended.take() {
            // The scheduler may have had nothing to do afterwards.
            let Spent { all, worked, .. } = at.since(&begun.at);
            (spent.all, spent.worked) = (all, worked);
            self.remember(begun, None, spent);
        }
        self.begun = Some(Begun::new(process, function(came), at));
    }

    /// The process may have come before anybody watched.
    pub(crate) fn calls(&mut self, process: Term<'_>, called: Term<'_>, at: Account) {
        let begun = self.begun.get_or_insert_with(|| Begun::new(process, None, at));
        begun.calls.push((function(called), at));
    }

    /// From the latest call. It may have been made on another scheduler.
    pub(crate) fn returns(&mut self, now: Account) {
        let Some(begun) = &mut self.begun else { return };
        let Some((function, at)) = begun.calls.pop() else { return };
        let spent = now.since(&at);
        begun.native = begun.native.and(spent);
        if let Some(function) = function {
            self.calls.entry(function).or_default().add(&Calls::one(spent));
        }
    }

    pub(crate) fn goes(&mut self, went: Term<'_>, now: Account) {
        if let Some((begun, spent)) = self.leaves(now) {
            self.remember(begun, function(went), spent);
        }
    }

    pub(crate) fn ends(&mut self, now: Account) {
        self.ended = self.leaves(now);
    }

    fn leaves(&mut self, now: Account) -> Option<(Begun, Spent)> {
        // A process may go between a call and the return of it that is told.
        while self.begun.as_ref().is_some_and(|begun| !begun.calls.is_empty()) {
            self.returns(now);
        }
        let begun = self.begun.take()?;
        let spent = now.since(&begun.at);
        Some((begun, spent))
    }

    fn remember(&mut self, begun: Begun, went: Option<Function>, spent: Spent) {
        let Begun { process, came, native, .. } = begun;
        if spent.all >= Duration::from_micros(LONG.load(Ordering::Acquire)) {
            self.stints.push(Stint { process, came, went, spent, native });
        }
    }
}

/// `None` where the VM does not know it.
fn function(term: Term<'_>) -> Option<Function> {
    term.decode().ok()
}

// === impl Begun ===

impl Begun {
    fn new(process: Term<'_>, came: Option<Function>, at: Account) -> Self {
        let process = process.decode().ok();
        Self { process, came, at, calls: Vec::new(), native: Spent::default() }
    }
}

// === impl Stint ===

impl Encoder for Stint {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let Self { process, came, went, spent, native } = self;
        let known = |term: Option<Term<'a>>| term.unwrap_or_else(|| atoms::undefined().encode(env));
        let pairs = [
            (atoms::process(), known(process.map(|process| process.encode(env)))),
            (atoms::came(), known(came.map(|came| came.encode(env)))),
            (atoms::went(), known(went.map(|went| went.encode(env)))),
            (atoms::native(), native.encode(env)),
        ];
        map(env, &[&pairs[..], &times(env, spent)].concat())
    }
}

// === impl Calls ===

impl Calls {
    fn one(spent: Spent) -> Self {
        Self { count: 1, long: u64::from(spent.held() >= LONG_CALL), longest: spent }
    }

    fn add(&mut self, more: &Self) {
        self.count += more.count;
        self.long += more.long;
        if more.longest.held() > self.longest.held() {
            self.longest = more.longest;
        }
    }
}

impl Encoder for Calls {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let pairs = [
            (atoms::count(), self.count.encode(env)),
            (atoms::long(), self.long.encode(env)),
            (atoms::longest(), self.longest.encode(env)),
        ];
        map(env, &pairs)
    }
}

// === impl Spent ===

impl Encoder for Spent {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        map(env, &times(env, self))
    }
}

/// In microseconds.
fn times<'a>(env: Env<'a>, spent: &Spent) -> [(Atom, Term<'a>); 3] {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).encode(env);
    [
        (atoms::all(), micros(spent.all)),
        (atoms::worked(), micros(spent.worked)),
        (atoms::asleep(), micros(spent.asleep)),
    ]
}

fn map<'a>(env: Env<'a>, pairs: &[(Atom, Term<'a>)]) -> Term<'a> {
    Term::map_from_pairs(env, pairs).expect("the keys differ")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
