use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::message::Message;

/// A target whose attempts end as written down beforehand, one row per attempt.
struct Scripted(Mutex<Vec<Step>>);

enum Step {
    Results(Vec<Result<(), Failure>>),
    Panic,
}

impl Target for Scripted {
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
    Accepted { id, at: Instant::now(), nacks: 0, message }
}

/// The longest computed wait in these tests.
const MAX: Duration = Duration::from_secs(60);

fn settings(count: u32, base_ms: u64) -> RetrySettings {
    RetrySettings { count: Some(count), base: Duration::from_millis(base_ms), max: MAX }
}

fn later() -> Result<(), Failure> {
    Err(Failure::transient("503"))
}

fn never() -> Result<(), Failure> {
    Err(Failure::permanent("403"))
}

fn after(seconds: u64) -> Result<(), Failure> {
    let retry_after = Some(Duration::from_secs(seconds));
    Err(Failure::Transient { detail: "429".into(), retry_after })
}

/// Runs the script; returns the counters and how long it took on the paused clock.
async fn run(
    count: u32,
    base_ms: u64,
    messages: u64,
    script: Vec<Vec<Result<(), Failure>>>,
) -> (crate::Report, Duration) {
    let steps = script.into_iter().map(Step::Results).collect();
    run_steps(count, base_ms, messages, steps).await
}

async fn run_steps(
    count: u32,
    base_ms: u64,
    messages: u64,
    steps: Vec<Step>,
) -> (crate::Report, Duration) {
    let observer = Observer::default();
    let target = Scripted(Mutex::new(steps));
    let pending: Vec<_> = (0..messages).map(message).collect();
    pending.iter().for_each(|_| observer.accepted());
    let begin = tokio::time::Instant::now();
    // The largest jitter: each wait is the whole of its range.
    let backoff = Backoff::new(settings(count, base_ms), || 1.0);
    let left = deliver(&target, None, pending, backoff, &observer).await;
    assert!(left.messages.is_empty(), "the destination is always ready");
    assert!(target.0.lock().unwrap().is_empty(), "every step of the script was wanted");
    let mut report = observer.totals();
    observer.take_recent(&mut report);
    assert_eq!(report.waiting, 0);
    (report, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_delivered_message_takes_one_attempt() {
    let (report, took) = run(2, 50, 1, vec![vec![Ok(())]]).await;
    assert_eq!((report.delivered, report.retried, took), (1, 0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn waits_double_from_the_base() {
    // 0 ms first attempt, 50 ms second, 150 ms third
    let (report, took) = run(2, 50, 1, vec![vec![later()], vec![later()], vec![Ok(())]]).await;
    assert_eq!((report.delivered, report.retried), (1, 2));
    assert_eq!(took, Duration::from_millis(150));
}

#[tokio::test(start_paused = true)]
async fn after_the_last_permitted_attempt_a_message_is_exhausted() {
    let (report, _) = run(1, 50, 1, vec![vec![later()], vec![later()]]).await;
    assert_eq!((report.exhausted, report.delivered), (1, 0));
    assert_eq!(report.last_exhausted.as_deref(), Some("503"));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_repeated() {
    let (report, took) = run(9, 50, 1, vec![vec![never()]]).await;
    assert_eq!((report.rejected, report.retried, took), (1, 0, Duration::ZERO));
    assert_eq!(report.last_rejected.as_deref(), Some("403"));
}

#[tokio::test(start_paused = true)]
async fn retry_waits_as_long_as_the_server_asks() {
    let (report, took) = run(2, 50, 1, vec![vec![after(7)], vec![Ok(())]]).await;
    assert_eq!((report.delivered, took), (1, Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_would_have_to_wait_too_long_is_exhausted_at_once() {
    let (report, took) = run(2, 50, 1, vec![vec![after(301)]]).await;
    assert_eq!((report.exhausted, took), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_base_of_zero_repeats_at_once() {
    let (report, took) = run(2, 0, 1, vec![vec![later()], vec![later()], vec![later()]]).await;
    assert_eq!((report.exhausted, report.retried, took), (1, 2, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_for_now_is_attempted_again() {
    let script = vec![vec![Ok(()), later(), never(), later()], vec![Ok(()), later()], vec![Ok(())]];
    let (report, _) = run(2, 50, 4, script).await;
    assert_eq!((report.delivered, report.rejected, report.exhausted), (3, 1, 0));
    assert_eq!(report.retried, 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_the_longest_wait_asked_for() {
    let script = vec![vec![after(2), after(5), later()], vec![Ok(()), Ok(()), Ok(())]];
    let (report, took) = run(1, 50, 3, script).await;
    assert_eq!((report.delivered, took), (3, Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_the_message_that_provokes_it_and_no_other() {
    let single = || Step::Results(vec![Ok(())]);
    // The batch panics; then each alone, of which the second panics again.
    let (report, _) = run_steps(2, 50, 3, vec![Step::Panic, single(), Step::Panic, single()]).await;
    assert_eq!((report.delivered, report.rejected, report.panics), (2, 1, 2));
}

#[test]
fn no_wait_exceeds_its_bounds() {
    for random in [0.0, 0.3, 1.0, f64::MAX] {
        let mut backoff = Backoff::new(settings(100, 50), || random);
        for retry in 0..100_u32 {
            let delay = backoff.next(None).unwrap();
            let whole =
                Duration::from_millis(50).saturating_mul(2_u32.saturating_pow(retry)).min(MAX);
            assert!(whole / 2 <= delay && delay <= whole, "retry {retry}: {delay:?}");
        }
        assert_eq!(backoff.next(None), None);
    }
}
