use super::*;
use crate::backoff::RetryEnd;
use crate::fate::Failure;
use Heard::{Answer, Nobody, Wait};

const BASE: Duration = Duration::from_secs(8);
const MAX: Duration = Duration::from_secs(30);

/// A circuit, and a clock that only moves when it is told to. The largest jitter: each wait is the
/// whole of its range.
struct Rig {
    circuit: Circuit,
    rules: Rules,
    now: Instant,
}

impl Rig {
    fn new(workers: usize) -> Self {
        let retry = RetrySettings { end: RetryEnd::Count(2), base: BASE, max: MAX };
        let rules = Rules::new(3, retry, workers);
        Self { circuit: Circuit::new(), rules, now: Instant::now() }
    }

    /// An open circuit of many workers, whose first probe has to wait.
    fn open() -> Self {
        let mut rig = Self::new(100);
        (0..3).for_each(|_| rig.attempt(Nobody));
        assert!(rig.circuit.is_open());
        rig
    }

    fn enter(&mut self) -> Option<Pass> {
        self.circuit.enter(self.now)
    }

    fn heard(&mut self, pass: Pass, heard: Heard) {
        self.circuit.heard(pass, heard, &self.rules, self.now, 1.0);
    }

    /// An attempt that ends before the next one begins.
    fn attempt(&mut self, heard: Heard) {
        let pass = self.enter().expect("an attempt may begin");
        self.heard(pass, heard);
    }

    /// How long a probe has to wait.
    fn waits(&self) -> Duration {
        self.circuit.probes_at().expect("it is open") - self.now
    }

    fn pass_time(&mut self, time: Duration) {
        self.now += time;
    }

    /// A probe after its wait.
    fn probe(&mut self, heard: Heard) {
        self.pass_time(self.waits());
        self.attempt(heard);
    }

    /// As many attempts as may begin at the same time.
    fn all(&mut self) -> Vec<Pass> {
        let mut passes = Vec::new();
        while passes.len() < 1000
            && let Some(pass) = self.enter()
        {
            passes.push(pass);
        }
        passes
    }
}

#[test]
fn it_opens_after_so_many_failures_in_a_row() {
    let mut rig = Rig::new(100);
    for heard in [Nobody, Nobody, Answer, Nobody, Nobody] {
        rig.attempt(heard);
        assert!(rig.circuit.is_closed(), "{heard:?}");
    }
    rig.attempt(Nobody);
    assert!(rig.circuit.is_open() && rig.enter().is_none());
    assert_eq!(rig.waits(), BASE);
}

#[test]
fn who_asks_to_wait_neither_opens_it_nor_keeps_it_closed() {
    let mut rig = Rig::new(100);
    (0..10).for_each(|_| rig.attempt(Wait(Some(BASE))));
    assert!(rig.circuit.is_closed());
    for heard in [Nobody, Wait(None), Nobody, Wait(None), Nobody] {
        rig.attempt(heard);
    }
    assert!(rig.circuit.is_open());
}

#[test]
fn one_probe_goes_after_each_wait_and_waits_double_up_to_their_maximum() {
    let mut rig = Rig::open();
    for seconds in [8, 16, 30, 30] {
        assert_eq!(rig.waits(), Duration::from_secs(seconds));
        rig.pass_time(rig.waits() - Duration::from_millis(1));
        assert!(rig.enter().is_none());
        rig.pass_time(Duration::from_millis(1));
        let probe = rig.enter().unwrap();
        assert!(rig.enter().is_none() && rig.circuit.probes_at().is_none(), "one at a time");
        rig.heard(probe, Nobody);
    }
}

#[test]
fn a_wait_is_as_long_as_the_receiver_asks_within_bounds() {
    let mut rig = Rig::open();
    for (asked, waits) in [(3, 16), (70, 70), (301, 300), (1_000_000, 300)] {
        rig.probe(Wait(Some(Duration::from_secs(asked))));
        assert_eq!(rig.waits(), Duration::from_secs(waits), "{asked}");
    }
    rig.probe(Wait(None));
    assert_eq!(rig.waits(), MAX, "that is no answer to the probe");
}

#[test]
fn waits_have_a_jitter_and_are_never_none() {
    for (base, random, waits) in [(8000, 0.0, 4000), (8000, 0.5, 6000), (0, 0.0, 5), (0, 1.0, 10)] {
        let base = Duration::from_millis(base);
        let rules = Rules::new(1, RetrySettings { end: RetryEnd::Count(0), base, max: base }, 100);
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        let pass = circuit.enter(now).unwrap();
        circuit.heard(pass, Nobody, &rules, now, random);
        assert_eq!(circuit.probes_at().unwrap() - now, Duration::from_millis(waits));
    }
}

#[test]
fn after_an_answer_attempts_double_with_each_round_until_all_go() {
    let mut rig = Rig::open();
    rig.probe(Answer);
    assert!(!rig.circuit.is_open());
    for at_once in [2, 4, 8, 16, 32, 64] {
        let passes = rig.all();
        assert_eq!(passes.len(), at_once);
        passes.into_iter().for_each(|pass| rig.heard(pass, Answer));
    }
    assert!(rig.circuit.is_closed());
    assert_eq!(rig.all().len(), 1000);
}

#[test]
fn a_single_worker_needs_no_rounds() {
    let mut rig = Rig::new(1);
    (0..3).for_each(|_| rig.attempt(Nobody));
    rig.probe(Answer);
    assert!(rig.circuit.is_closed());
}

#[test]
fn a_receiver_that_fails_while_it_recovers_gets_no_more_at_once() {
    let mut rig = Rig::open();
    rig.probe(Answer);
    let [one, two] = rig.all()[..] else { panic!("two at once") };
    rig.heard(one, Nobody);
    rig.heard(two, Answer);
    assert_eq!(rig.all().len(), 2);
}

#[test]
fn a_receiver_that_goes_away_while_it_recovers_is_left_alone_again() {
    let mut rig = Rig::open();
    rig.probe(Answer);
    (0..3).for_each(|_| rig.attempt(Nobody));
    assert!(rig.circuit.is_open());
    assert_eq!(rig.waits(), BASE, "a new outage");
}

#[test]
fn attempts_that_began_before_it_opened_change_nothing_if_they_fail() {
    let mut rig = Rig::new(100);
    let passes: Vec<_> = (0..10).map(|_| rig.enter().unwrap()).collect();
    passes[..3].iter().for_each(|pass| rig.heard(*pass, Nobody));
    assert!(rig.circuit.is_open());
    assert!(passes.iter().all(|pass| !rig.circuit.stands(*pass)), "none of them has to be made");
    rig.heard(passes[3], Nobody);
    rig.heard(passes[4], Wait(Some(MAX)));
    assert_eq!(rig.waits(), BASE);
    rig.pass_time(BASE);
    let probe = rig.enter().unwrap();
    assert!(rig.circuit.stands(probe));
    rig.heard(passes[5], Nobody);
    assert_eq!(rig.circuit.probes_at(), None, "the probe is still under way");
    rig.heard(probe, Answer);
    rig.heard(passes[6], Nobody);
    assert_eq!(rig.all().len(), 2);
}

#[test]
fn whoever_answers_is_there_whenever_it_was_asked() {
    let mut rig = Rig::new(100);
    let late = rig.enter().unwrap();
    (0..3).for_each(|_| rig.attempt(Nobody));
    rig.heard(late, Answer);
    assert!(!rig.circuit.is_open());
    assert_eq!(rig.all().len(), 2);
}

#[test]
fn a_probe_may_be_hurried_but_not_held_up() {
    let mut rig = Rig::open();
    rig.circuit.hurry(rig.now);
    let probe = rig.enter().unwrap();
    rig.circuit.hurry(rig.now);
    assert!(rig.enter().is_none(), "it is under way");
    rig.heard(probe, Nobody);
    let at = rig.circuit.probes_at().unwrap();
    rig.circuit.hurry(at + BASE);
    assert_eq!(rig.circuit.probes_at(), Some(at));
}

#[test]
fn one_answer_in_a_batch_is_an_answer() {
    let (ok, refused) = (Ok(()), Err(Failure::permanent("400")));
    let (away, busy) = (Err(Failure::transient("503")), Err(Failure::busy("429", Some(MAX))));
    let of = |results: &[&Result<(), Failure>]| {
        results.iter().fold(Wait(None), |heard, result| heard.and(result))
    };
    assert_eq!(of(&[&away, &ok, &busy]), Answer);
    assert_eq!(of(&[&refused, &away]), Answer);
    assert_eq!(of(&[&busy, &away, &busy]), Nobody);
    assert_eq!(of(&[&busy, &Err(Failure::busy("429", None))]), Wait(Some(MAX)));
}

#[test]
fn an_attempt_that_is_not_made_leaves_the_way_for_another() {
    let mut rig = Rig::open();
    rig.pass_time(rig.waits());
    let pass = rig.enter().unwrap();
    assert_eq!(rig.enter(), None, "the probe is under way");
    rig.circuit.forgo(pass, rig.now);
    rig.circuit.forgo(pass, rig.now);
    rig.attempt(Answer);
    let all = rig.all();
    assert_eq!(all.len(), 2);
    rig.circuit.forgo(all[0], rig.now);
    assert_eq!(rig.all().len(), 1);
    rig.circuit.forgo(pass, rig.now);
    assert_eq!(rig.all().len(), 0, "a pass of an earlier state says nothing");
}
