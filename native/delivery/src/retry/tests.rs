use std::sync::{Arc, Mutex};

use super::*;
use crate::backoff::{RetryEnd, RetrySettings};
use crate::message::Message;
use crate::observer::Counts;
use crate::report::Recent;

/// A backend whose attempts end as written down beforehand, one row per attempt.
struct Scripted(Mutex<Vec<Step>>);

enum Step {
    Results(Vec<Result<(), Failure>>),
    Panic,
}

impl Backend for Scripted {
    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let step = self.0.lock().unwrap().remove(0);
        match step {
            Step::Results(results) => {
                assert_eq!(results.len(), batch.len(), "the script fits what is pending");
                results
            }
            Step::Panic => panic!("as the script wants"),
        }
    }
}

fn message(id: u64) -> Accepted {
    let message = Message {
        destination: "topic".into(),
        body: "body".into(),
        attributes: Box::default(),
        group: None,
    };
    Accepted { id, at: Instant::now(), nacks: 0, attempts: 0, message, hold: None }
}

/// The longest computed wait in these tests.
const MAX: Duration = Duration::from_secs(60);

/// How old a message may become in these tests.
const MAX_AGE: Duration = Duration::from_secs(200);

fn settings(count: u32, base_ms: u64) -> RetrySettings {
    RetrySettings { end: RetryEnd::Count(count), base: Duration::from_millis(base_ms), max: MAX }
}

fn later() -> Result<(), Failure> {
    Err(Failure::transient("503"))
}

fn never() -> Result<(), Failure> {
    Err(Failure::permanent("403"))
}

fn after(seconds: u64) -> Result<(), Failure> {
    Err(Failure::busy("429", Some(Duration::from_secs(seconds))))
}

struct Told {
    counts: Counts,
    recent: Recent,
}

/// Runs the script; returns the counters and how long it took on the paused clock.
async fn run(
    count: u32,
    base_ms: u64,
    messages: u64,
    script: Vec<Vec<Result<(), Failure>>>,
) -> (Told, Duration) {
    let steps = script.into_iter().map(Step::Results).collect();
    run_steps(count, base_ms, messages, steps).await
}

async fn run_steps(count: u32, base_ms: u64, messages: u64, steps: Vec<Step>) -> (Told, Duration) {
    run_with(settings(count, base_ms), messages, steps).await
}

async fn run_with(retry: RetrySettings, messages: u64, steps: Vec<Step>) -> (Told, Duration) {
    run_to(MAX_AGE, retry, messages, steps).await
}

async fn run_to(
    max_age: Duration,
    retry: RetrySettings,
    messages: u64,
    steps: Vec<Step>,
) -> (Told, Duration) {
    let observer = Observer::default();
    let backend = Scripted(Mutex::new(steps));
    let pending: Vec<_> = (0..messages).map(message).collect();
    pending.iter().for_each(|_| observer.accepted());
    let begin = tokio::time::Instant::now();
    // The largest jitter: each wait is the whole of its range.
    let delivery = Delivery {
        backend: &backend,
        limit: None,
        retry,
        max_age: Some(max_age),
        circuits: &Circuits::new(None, Arc::default()),
        health: &Health::new(),
        levers: &Levers::default(),
        observer: &observer,
    };
    let left = delivery.deliver("topic", pending, Pass::UNWATCHED, || 1.0).await;
    assert!(left.messages.is_empty(), "the destination is always ready");
    assert!(backend.0.lock().unwrap().is_empty(), "every step of the script was wanted");
    let told = Told { counts: observer.counts(), recent: observer.take_recent() };
    assert_eq!(told.counts.waiting(), 0);
    (told, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_delivered_message_takes_one_attempt() {
    let (report, took) = run(2, 50, 1, vec![vec![Ok(())]]).await;
    assert_eq!((report.counts.delivered, report.counts.retried, took), (1, 0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn waits_double_from_the_base() {
    // 0 ms first attempt, 50 ms second, 150 ms third
    let (report, took) = run(2, 50, 1, vec![vec![later()], vec![later()], vec![Ok(())]]).await;
    assert_eq!((report.counts.delivered, report.counts.retried), (1, 2));
    assert_eq!(took, Duration::from_millis(150));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_permitted_attempt_a_message_is_exhausted() {
    let (report, _) = run(1, 50, 1, vec![vec![later()], vec![later()]]).await;
    assert_eq!((report.counts.exhausted, report.counts.delivered), (1, 0));
    assert_eq!(report.recent.causes.exhausted.as_deref(), Some("503"));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_repeated() {
    let (report, took) = run(9, 50, 1, vec![vec![never()]]).await;
    assert_eq!((report.counts.rejected, report.counts.retried, took), (1, 0, Duration::ZERO));
    assert_eq!(report.recent.causes.rejected.as_deref(), Some("403"));
}

#[tokio::test(start_paused = true)]
async fn retry_waits_as_long_as_the_server_asks() {
    let (report, took) = run(2, 50, 1, vec![vec![after(7)], vec![Ok(())]]).await;
    assert_eq!((report.counts.delivered, took), (1, Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_would_have_to_wait_too_long_is_exhausted_at_once() {
    let (report, took) = run(2, 50, 1, vec![vec![after(301)]]).await;
    assert_eq!((report.counts.exhausted, took), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_would_be_too_old_after_its_wait_ends_at_once() {
    // 0 s first attempt, 150 s second, which would be followed by a third one after 250 s
    let (report, took) = run(5, 50, 1, vec![vec![after(150)], vec![after(100)]]).await;
    assert_eq!((report.counts.expired, report.counts.retried), (1, 1));
    assert_eq!(took, Duration::from_secs(150));
    assert_eq!(report.recent.causes.expired.as_deref(), Some("429"));
}

/// A message is tried until it has that age, whatever the count says.
async fn run_until(max_age_ms: u64, script: Vec<Vec<Result<(), Failure>>>) -> (Told, Duration) {
    let max_age = Duration::from_millis(max_age_ms);
    let retry = RetrySettings::new(Some(1), Some(max_age), 50, 60_000);
    run_with(retry, 1, script.into_iter().map(Step::Results).collect()).await
}

#[tokio::test(start_paused = true)]
async fn with_a_bound_of_age_attempts_are_not_counted() {
    let mut script: Vec<_> = (0..12).map(|_| vec![later()]).collect();
    script.push(vec![Ok(())]);
    // 50 ms, doubled up to a minute: the eleventh wait is 51.2 s, the twelfth 60 s.
    let (report, took) = run_until(180_000, script).await;
    assert_eq!((report.counts.delivered, report.counts.retried), (1, 12));
    assert_eq!(took, Duration::from_millis(50 * 2047 + 60_000));
}

#[tokio::test(start_paused = true)]
async fn with_a_bound_of_age_a_message_is_exhausted_before_an_attempt_at_which_it_had_that_age() {
    // Attempts after 0, 50 and 150 ms; the next one would be after 350 ms.
    let script = || vec![vec![later()], vec![later()], vec![later()]];
    let (report, took) = run_until(350, script()).await;
    assert_eq!((report.counts.exhausted, report.counts.retried), (1, 2));
    assert_eq!(took, Duration::from_millis(150));
    assert_eq!(report.recent.causes.exhausted.as_deref(), Some("503"));
    let more = [script(), vec![vec![Ok(())]]].concat();
    let (report, _) = run_until(351, more).await;
    assert_eq!((report.counts.delivered, report.counts.exhausted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn with_a_bound_of_age_a_server_may_ask_for_any_wait_and_gets_five_minutes() {
    let script = vec![vec![after(7)], vec![after(100)], vec![Ok(())]];
    let (report, took) = run_until(150_000, script).await;
    assert_eq!((report.counts.delivered, took), (1, Duration::from_secs(107)));
    let retry = RetrySettings::new(Some(1), Some(Duration::from_secs(1000)), 50, 60_000);
    let delivery = vec![Step::Results(vec![after(3600)]), Step::Results(vec![Ok(())])];
    let (report, took) = run_to(Duration::MAX / 2, retry, 1, delivery).await;
    assert_eq!((report.counts.delivered, took), (1, Duration::from_secs(300)));
}

#[tokio::test(start_paused = true)]
async fn of_two_bounds_of_age_the_one_that_is_over_first_counts() {
    // Both are over before the next attempt.
    let (report, _) = run_until(100_000, vec![vec![after(250)]]).await;
    assert_eq!((report.counts.expired, report.counts.exhausted), (1, 0));
    let (report, _) = run_until(100_000, vec![vec![after(150)]]).await;
    assert_eq!((report.counts.expired, report.counts.exhausted), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_began_in_time_may_succeed_at_any_age() {
    let (report, _) = run(1, 50, 1, vec![vec![after(199)], vec![Ok(())]]).await;
    assert_eq!((report.counts.delivered, report.counts.expired), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_base_of_zero_repeats_at_once() {
    let (report, took) = run(2, 0, 1, vec![vec![later()], vec![later()], vec![later()]]).await;
    assert_eq!((report.counts.exhausted, report.counts.retried, took), (1, 2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_for_now_is_attempted_again() {
    let script = vec![vec![Ok(()), later(), never(), later()], vec![Ok(()), later()], vec![Ok(())]];
    let (report, _) = run(2, 50, 4, script).await;
    assert_eq!(
        (report.counts.delivered, report.counts.rejected, report.counts.exhausted),
        (3, 1, 0)
    );
    assert_eq!(report.counts.retried, 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_the_longest_wait_asked_for() {
    let script = vec![vec![after(2), after(5), later()], vec![Ok(()), Ok(()), Ok(())]];
    let (report, took) = run(1, 50, 3, script).await;
    assert_eq!((report.counts.delivered, took), (3, Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_the_message_that_provokes_it_and_no_other() {
    let single = || Step::Results(vec![Ok(())]);
    // The batch panics; then each alone, of which the second panics again.
    let (report, _) = run_steps(2, 50, 3, vec![Step::Panic, single(), Step::Panic, single()]).await;
    assert_eq!((report.counts.delivered, report.counts.rejected, report.counts.panics), (2, 1, 2));
}
