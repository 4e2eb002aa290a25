//! What a backend does beside its attempts: it attends, and closes at the end.

use std::future::pending;

use super::*;
use crate::connection::{ConnectionState, ConnectionStatus};

/// Writes down what it does, and what is done to it. Attempts last until the gate opens.
struct Attendant {
    log: Log,
    gate: Arc<Semaphore>,
    habit: Habit,
}

/// What it does when it attends, and when it closes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Attends,
    Returns,
    PanicsAtFirst,
    PanicsAtClose,
    NeverCloses,
}

type Log = Arc<StdMutex<Vec<&'static str>>>;

/// Writes its word down when it is dropped.
struct Noted<'a>(&'a Log, &'static str);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        note(self.0, self.1);
    }
}

impl Backend for Attendant {
    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        note(&self.log, "attempt");
        let _over = Noted(&self.log, "attempt over");
        self.gate.acquire().await.unwrap().forget();
        vec![Ok(()); batch.len()]
    }

    async fn attend(&self, connection: &StatusCell) {
        note(&self.log, "attend");
        let _over = Noted(&self.log, "attend over");
        let first = self.log.lock().unwrap().iter().filter(|word| **word == "attend").count() == 1;
        match self.habit {
            Habit::Returns => return,
            Habit::PanicsAtFirst if first => panic!("as the test wants"),
            _ => connection.change(|status| status.opened += 1),
        }
        pending::<()>().await;
    }

    async fn close(&self) {
        note(&self.log, "close");
        assert!(self.habit != Habit::PanicsAtClose, "as the test wants");
        if self.habit == Habit::NeverCloses {
            pending::<()>().await;
        }
    }
}

fn note(log: &Log, word: &'static str) {
    log.lock().unwrap().push(word);
}

fn start(habit: Habit) -> (Pool, Log, Arc<Semaphore>) {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let backend = Attendant { log: Arc::clone(&log), gate: Arc::clone(&gate), habit };
    (Pool::start(backend, &settings(1, 10, 10_000), None, &Handle::current()), log, gate)
}

fn words(log: &Log) -> Vec<&'static str> {
    log.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_target_attends_beside_the_workers_until_the_last_attempt_has_ended_then_closes() {
    let (pool, log, gate) = start(Habit::Attends);
    pool.push(message("topic", "body", None)).unwrap();
    let open = async {
        sleep(Duration::from_secs(5)).await;
        assert!(!words(&log).contains(&"attend over"), "it attends while the pool drains");
        gate.add_permits(1);
    };
    let (report, ()) = tokio::join!(pool.stop(Duration::from_secs(60)), open);
    assert_eq!(report.counts.delivered, 1);
    let mut words = words(&log);
    words[..2].sort_unstable();
    assert_eq!(words, ["attempt", "attend", "attempt over", "attend over", "close"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_off_ends_before_the_target_is_closed() {
    let (pool, log, _gate) = start(Habit::Attends);
    pool.push(message("topic", "body", None)).unwrap();
    idle().await;
    assert_eq!(pool.stop(Duration::from_secs(5)).await.counts.closed, 1);
    assert_eq!(words(&log)[2..], ["attempt over", "attend over", "close"]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_stopped_twice_closes_its_target_once() {
    let (pool, log, _gate) = start(Habit::Attends);
    let _ = tokio::join!(pool.stop(Duration::ZERO), pool.stop(Duration::ZERO));
    pool.stop(Duration::ZERO).await;
    assert_eq!(words(&log).iter().filter(|word| **word == "close").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_needs_no_attendance_is_closed_at_the_end_only() {
    let (pool, log, gate) = start(Habit::Returns);
    idle().await;
    assert_eq!(words(&log), ["attend", "attend over"]);
    gate.add_permits(1);
    pool.push(message("topic", "body", None)).unwrap();
    assert_eq!(pool.stop(Duration::from_secs(60)).await.counts.delivered, 1);
    assert_eq!(words(&log)[2..], ["attempt", "attempt over", "close"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_target_attends_is_counted_and_it_attends_again() {
    let (pool, log, _gate) = start(Habit::PanicsAtFirst);
    idle().await;
    assert_eq!((pool.stats().counts.panics, pool.stats().connection), (1, None));
    assert_eq!(words(&log), ["attend", "attend over"]);
    sleep(AFTER_PANIC).await;
    assert_eq!(words(&log), ["attend", "attend over", "attend"]);
    let report = pool.stop(Duration::ZERO).await;
    assert_eq!((report.counts.panics, report.connection.unwrap().opened), (1, 1));
    assert_eq!(words(&log)[3..], ["attend over", "close"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_target_closes_is_counted_and_the_pool_ends() {
    let (pool, log, _gate) = start(Habit::PanicsAtClose);
    idle().await;
    assert_eq!(pool.stop(Duration::ZERO).await.counts.panics, 1);
    assert_eq!(words(&log).last(), Some(&"close"));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_ends_to_close_is_cut_off() {
    let (pool, log, _gate) = start(Habit::NeverCloses);
    let begin = tokio::time::Instant::now();
    pool.stop(Duration::ZERO).await;
    assert_eq!(begin.elapsed(), CLOSING);
    assert_eq!(words(&log).last(), Some(&"close"));
}

/// A backend whose connection a test changes by hand.
struct Linked(watch::Receiver<ConnectionStatus>);

impl Backend for Linked {
    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        vec![Ok(()); batch.len()]
    }

    async fn attend(&self, connection: &StatusCell) {
        let mut wanted = self.0.clone();
        while wanted.changed().await.is_ok() {
            connection.change(|status| *status = wanted.borrow_and_update().clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reports_tell_the_state_of_the_link() {
    let (sender, receiver) = watch::channel(ConnectionStatus::default());
    let pool = Pool::start(Linked(receiver), &settings(1, 10, 10_000), None, &Handle::current());
    idle().await;
    assert_eq!(pool.report().connection, None, "nothing has been told yet");
    let up =
        ConnectionStatus { state: ConnectionState::Up, opened: 1, ..ConnectionStatus::default() };
    let blocked = ConnectionStatus {
        state: ConnectionState::Blocked,
        cause: Some("disk".into()),
        ..up.clone()
    };
    let refused = Some("403 ACCESS_REFUSED".into());
    let down = ConnectionStatus {
        state: ConnectionState::Down,
        lost: 1,
        failed: 2,
        refused,
        ..up.clone()
    };
    for status in [up, blocked, down] {
        sender.send_replace(status.clone());
        idle().await;
        assert_eq!(pool.stats().connection, Some(status.clone()));
        assert_eq!(pool.report().connection, Some(status));
    }
    assert_eq!(pool.stop(Duration::ZERO).await.connection.unwrap().failed, 2);
}
