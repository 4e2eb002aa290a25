//! The [circuits](crate::breaker) of all destinations of one pool.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::breaker::{Circuit, Heard, Pass, Rules};
use crate::report::OpenCircuit;

/// How many destinations are watched at a time, and so how many changes one report may tell. Those
/// of a configuration are far fewer.
const MOST: usize = 16;

/// Whether attempts make sense, by destination. Without rules they always do.
#[derive(Debug)]
pub(crate) struct Circuits {
    rules: Option<Rules>,
    /// Attempts have failed: until then, nobody has to look for a circuit.
    watching: AtomicBool,
    watched: Mutex<HashMap<Box<str>, Watched>>,
    wake: Arc<Notify>,
    /// A circuit has opened.
    opened: Notify,
}

#[derive(Debug)]
struct Watched {
    circuit: Circuit,
    /// Of the latest failure.
    cause: Cow<'static, str>,
}

// === impl Circuits ===

impl Circuits {
    /// `wake` is what workers wait for.
    pub(crate) fn new(rules: Option<Rules>, wake: Arc<Notify>) -> Self {
        let (watching, watched, opened) = (AtomicBool::new(false), Mutex::default(), Notify::new());
        Self { rules, watching, watched, wake, opened }
    }

    /// Whether failures open circuits here.
    pub(crate) fn are_watched(&self) -> bool {
        self.rules.is_some()
    }

    /// Whether an attempt may begin now.
    pub(crate) fn permits(&self, destination: &str, now: Instant) -> bool {
        self.of(destination, |circuit| circuit.permits(now)).unwrap_or(true)
    }

    /// When the next probe may go, if one has to wait for its time.
    pub(crate) fn probes_at(&self, destination: &str) -> Option<Instant> {
        self.of(destination, |circuit| circuit.probes_at())?
    }

    pub(crate) fn is_open(&self, destination: &str) -> bool {
        self.of(destination, |circuit| circuit.is_open()).unwrap_or(false)
    }

    /// Returns when the circuit is open.
    pub(crate) async fn opens(&self, destination: &str) {
        loop {
            // Before the look, so that what opens after it is heard.
            let mut opened = pin!(self.opened.notified());
            opened.as_mut().enable();
            if self.is_open(destination) {
                return;
            }
            opened.await;
        }
    }

    /// Begins an attempt, if it may begin now.
    pub(crate) fn enter(&self, destination: &str, now: Instant) -> Option<Pass> {
        self.of(destination, |circuit| circuit.enter(now)).unwrap_or(Some(Pass::UNWATCHED))
    }

    /// Whether an attempt that has begun may still be made.
    pub(crate) fn stands(&self, destination: &str, pass: Pass) -> bool {
        self.of(destination, |circuit| circuit.stands(pass)).unwrap_or(true)
    }

    /// An attempt that has begun is not made after all.
    pub(crate) fn forgo(&self, destination: &str, pass: Pass) {
        self.of(destination, |circuit| circuit.forgo(pass, Instant::now()));
    }

    /// What came of an attempt.
    pub(crate) fn heard(
        &self,
        destination: &str,
        pass: Pass,
        heard: Heard,
        cause: Cow<'static, str>,
    ) {
        let Some(rules) = &self.rules else { return };
        let fails = heard == Heard::Nobody;
        if !fails && !self.watching.load(Ordering::Acquire) {
            return;
        }
        let mut watched = self.lock();
        if fails && !watched.contains_key(destination) && make_room(&mut watched) {
            watched.insert(destination.into(), Watched::new());
            self.watching.store(true, Ordering::Release);
        }
        let Some(Watched { circuit, cause: last }) = watched.get_mut(destination) else { return };
        if heard != Heard::Answer {
            *last = cause;
        }
        circuit.heard(pass, heard, rules, Instant::now(), fastrand::f64());
        if circuit.is_open() {
            self.opened.notify_waiters();
        }
        if !circuit.is_closed() {
            // There may be room for another attempt.
            self.wake.notify_one();
        }
    }

    /// Lets a probe go at once wherever one waits.
    pub(crate) fn hurry(&self) {
        let now = Instant::now();
        self.lock().values_mut().for_each(|watched| watched.circuit.hurry(now));
    }

    /// Those that are open, by destination.
    pub(crate) fn open(&self) -> Vec<OpenCircuit> {
        let watched = self.lock();
        let open = watched.iter().filter(|(_, watched)| watched.circuit.is_open());
        let mut open: Vec<_> = open
            .map(|(destination, Watched { cause, .. })| OpenCircuit {
                destination: destination.clone(),
                cause: cause.clone(),
            })
            .collect();
        open.sort_unstable_by(|one, other| one.destination.cmp(&other.destination));
        open
    }

    fn of<R>(&self, destination: &str, ask: impl FnOnce(&mut Circuit) -> R) -> Option<R> {
        if !self.watching.load(Ordering::Acquire) {
            return None;
        }
        self.lock().get_mut(destination).map(|watched| ask(&mut watched.circuit))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one more can be watched; a closed circuit is forgotten for it.
fn make_room(watched: &mut HashMap<Box<str>, Watched>) -> bool {
    if watched.len() < MOST {
        return true;
    }
    let closed = watched.iter().find(|(_, watched)| watched.circuit.is_closed());
    let closed = closed.map(|(destination, _)| destination.clone());
    closed.is_some_and(|destination| watched.remove(&destination).is_some())
}

// === impl Watched ===

impl Watched {
    fn new() -> Self {
        Self { circuit: Circuit::new(), cause: "".into() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backoff::{RetryEnd, RetrySettings};

    fn circuits() -> Circuits {
        let wait = Duration::from_secs(60);
        let retry = RetrySettings { end: RetryEnd::Count(0), base: wait, max: wait };
        Circuits::new(Some(Rules::new(1, retry, 1)), Arc::default())
    }

    fn fail(circuits: &Circuits, destination: &str) {
        let pass = circuits.enter(destination, Instant::now()).unwrap();
        circuits.heard(destination, pass, Heard::Nobody, "503".into());
    }

    #[tokio::test(start_paused = true)]
    async fn one_destination_is_open_and_others_are_not() {
        let circuits = circuits();
        fail(&circuits, "b");
        fail(&circuits, "a");
        let now = Instant::now();
        assert!(!circuits.permits("a", now) && !circuits.permits("b", now));
        assert!(circuits.permits("c", now) && circuits.enter("c", now).is_some());
        let open = circuits.open();
        let told: Vec<_> = open.iter().map(|open| (&*open.destination, &*open.cause)).collect();
        assert_eq!(told, [("a", "503"), ("b", "503")]);
        circuits.hurry();
        assert!(circuits.permits("a", now) && circuits.probes_at("a") == Some(now));
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_watched() {
        let circuits = circuits();
        for number in 0..MOST {
            fail(&circuits, &number.to_string());
        }
        fail(&circuits, "one more");
        assert_eq!(circuits.open().len(), MOST);
        assert!(circuits.permits("one more", Instant::now()), "it does without");
        circuits.heard("0", Pass::UNWATCHED, Heard::Answer, "".into());
        assert_eq!(circuits.open().len(), MOST - 1);
        fail(&circuits, "one more");
        assert!(circuits.is_open("one more"), "in the place of one that is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn without_rules_nothing_opens() {
        let circuits = Circuits::new(None, Arc::default());
        fail(&circuits, "a");
        assert!(circuits.permits("a", Instant::now()) && circuits.open().is_empty());
    }
}
