//! Destinations that nobody answers at.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::report::Change;

const BASE: Duration = Duration::from_secs(8);

/// Each attempt takes this long.
const TAKES: Duration = Duration::from_millis(10);

/// A backend whose destinations may be away, and that remembers when it was asked for what.
struct Away {
    away: Arc<StdMutex<HashSet<String>>>,
    asked: Arc<StdMutex<Vec<(Duration, String)>>>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    began: Instant,
    hangs: Arc<AtomicBool>,
}

struct Outage {
    pool: Pool,
    away: Arc<StdMutex<HashSet<String>>>,
    asked: Arc<StdMutex<Vec<(Duration, String)>>>,
    /// The most attempts that were under way together.
    most: Arc<AtomicUsize>,
    hangs: Arc<AtomicBool>,
}

impl Backend for Away {
    async fn deliver(&self, batch: &[Accepted]) -> Vec<Result<(), Failure>> {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        let bodies = batch.iter().map(|accepted| text(&accepted.message));
        let asked = bodies.map(|body| (self.began.elapsed(), body));
        self.asked.lock().unwrap().extend(asked);
        let away = self.away.lock().unwrap().contains(&*batch[0].message.destination);
        let takes = if away && self.hangs.load(Ordering::SeqCst) { 100 * TAKES } else { TAKES };
        sleep(takes).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let result = || if away { Err(Failure::transient("nobody")) } else { Ok(()) };
        batch.iter().map(|_| result()).collect()
    }
}

/// Breakers of five failures, and events of three attempts.
fn breaking(workers: usize) -> PoolSettings {
    PoolSettings {
        circuit_failures: Some(5),
        retry: RetrySettings { end: RetryEnd::Count(2), base: BASE, max: 2 * BASE },
        ..settings(workers, 10_000, 10_000_000)
    }
}

fn outage<const N: usize>(settings: &PoolSettings, away: [&str; N]) -> Outage {
    let away = Arc::new(StdMutex::new(away.map(str::to_owned).into_iter().collect()));
    let (asked, most, hangs) = (Arc::default(), Arc::default(), Arc::default());
    let backend = Away {
        away: Arc::clone(&away),
        asked: Arc::clone(&asked),
        under_way: Arc::default(),
        most: Arc::clone(&most),
        began: Instant::now(),
        hangs: Arc::clone(&hangs),
    };
    let pool = Pool::start(backend, settings, None, &Handle::current());
    Outage { pool, away, asked, most, hangs }
}

impl Outage {
    fn push(&self, destination: &str, count: usize) {
        for number in 0..count {
            let body = format!("{destination}{number}");
            self.pool.push(message(destination, &body, None)).unwrap();
        }
    }

    fn ends(&self) {
        self.away.lock().unwrap().clear();
        self.most.store(0, Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn counts(&self) -> (u64, u64) {
        let counts = self.pool.stats().counts;
        (counts.delivered, counts.exhausted)
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_one_attempt_per_wait_and_frees_the_workers() {
    let outage = outage(&breaking(100), ["a"]);
    outage.push("a", 200);
    sleep(2 * TAKES).await;
    // All workers were under way when the fifth failure came; none is any more.
    let stats = outage.pool.stats();
    assert_eq!(outage.asked(), 100);
    assert_eq!((stats.levels.in_flight, stats.levels.queue_events), (0, 200));
    assert_eq!(stats.levels.open_destinations, 1);
    // 8 s is the first wait, at most, and 16 s are the others.
    for _ in 0..10 {
        let before = outage.asked();
        sleep(2 * BASE + TAKES).await;
        let probes = outage.asked() - before;
        assert!((1..=3).contains(&probes), "{probes} probes");
    }
    outage.push("b", 50);
    sleep(TAKES * 2).await;
    assert_eq!(outage.counts().0, 50, "others go on");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_exhausted_after_its_own_attempts_and_nothing_else_is() {
    let outage = outage(&breaking(1), ["a"]);
    outage.push("a", 10);
    while outage.asked() < 30 {
        sleep(BASE).await;
    }
    sleep(TAKES).await;
    assert_eq!(outage.counts(), (0, 10));
    let bodies: Vec<_> =
        outage.asked.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    let wanted = (0..10).flat_map(|number| [(); 3].map(|()| format!("a{number}")));
    assert_eq!(bodies, wanted.collect::<Vec<_>>(), "each three times, the oldest first");
}

#[tokio::test(start_paused = true)]
async fn what_waited_leaves_at_a_growing_rate_and_then_at_full_speed() {
    let outage = outage(&breaking(64), ["a"]);
    outage.push("a", 1000);
    sleep(2 * TAKES).await;
    outage.ends();
    sleep(2 * BASE + TAKES / 2).await;
    // 10 ms after the probe 1, then 2, 4, 8, 16, 32 and 64 with each round.
    sleep(40 * TAKES).await;
    assert_eq!(outage.counts(), (1000, 0));
    assert_eq!(outage.most.load(Ordering::SeqCst), 64);
    let asked = outage.asked.lock().unwrap();
    let first = asked.iter().map(|(at, _)| *at).find(|at| *at > 2 * TAKES).unwrap();
    let together = |round: u32| {
        let (from, to) = (first + TAKES * round, first + TAKES * (round + 1));
        asked.iter().filter(|(at, _)| (from..to).contains(at)).count()
    };
    let rounds: Vec<_> = (0..6).map(together).collect();
    assert!(rounds.is_sorted() && rounds[0] <= 2 && rounds[3] <= 16, "{rounds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_probed_with_one_message() {
    let rig = rig_with(breaking(1), TEN, |_| Err(Failure::transient("nobody")));
    rig.push("a", None, ["1"; 60]);
    rig.gate.add_permits(5);
    sleep(Duration::from_secs(600)).await;
    let sizes = |rig: &Rig| rig.seen().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&rig)[1..3], [10, 10]);
    rig.gate.add_permits(100);
    sleep(Duration::from_secs(60)).await;
    assert!(sizes(&rig).len() > 6 && sizes(&rig)[5..].iter().all(|size| *size == 1));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_once_with_its_cause() {
    let outage = outage(&breaking(5), ["a"]);
    outage.push("a", 5);
    sleep(2 * TAKES).await;
    let change = |open| Change::Circuit { destination: "a".into(), open, cause: "nobody".into() };
    let report = outage.pool.report();
    assert_eq!((report.changes, report.levels.open_destinations), (vec![change(true)], 1));
    outage.pool.told();
    assert_eq!(outage.pool.report().changes, []);
    outage.pool.told();
    outage.ends();
    sleep(2 * BASE).await;
    let report = outage.pool.report();
    assert_eq!((report.changes, report.levels.open_destinations), (vec![change(false)], 0));
    assert_eq!(outage.counts(), (5, 0));
}

/// Where levels are kept that were told last, somebody would wait for it for ever.
#[tokio::test(start_paused = true)]
async fn a_pool_that_stops_waits_for_nobody() {
    let outage = outage(&breaking(5), ["a"]);
    outage.push("a", 5);
    sleep(2 * TAKES).await;
    assert_eq!(outage.pool.stats().levels.open_destinations, 1);
    outage.pool.close();
    assert_eq!(outage.pool.stats().levels.open_destinations, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_tries_at_once_whether_somebody_is_back() {
    let outage = outage(&breaking(5), ["a"]);
    outage.push("a", 100);
    sleep(2 * TAKES).await;
    outage.ends();
    let begin = Instant::now();
    let report = outage.pool.stop(BASE / 4).await;
    assert_eq!((report.counts.delivered, report.counts.closed), (100, 0));
    assert!(begin.elapsed() < BASE / 4);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_no_longer_than_it_may_for_who_stays_away() {
    let outage = outage(&breaking(5), ["a"]);
    outage.push("a", 100);
    sleep(2 * TAKES).await;
    let (asked, begin) = (outage.asked(), Instant::now());
    let report = outage.pool.stop(BASE / 4).await;
    assert_eq!((report.counts.delivered, report.counts.closed), (0, 100));
    assert_eq!((begin.elapsed(), outage.asked() - asked), (BASE / 4, 1));
}

#[tokio::test(start_paused = true)]
async fn who_hangs_gives_the_places_of_a_limit_to_others() {
    let limit = Some(Limit::shared("outages of pools", 10));
    let settings = PoolSettings { limit, ..breaking(10) };
    let (dead, living) = (outage(&settings, ["a"]), outage(&settings, []));
    dead.hangs.store(true, Ordering::SeqCst);
    dead.push("a", 1000);
    // The time limit of the first requests.
    sleep(100 * TAKES + TAKES).await;
    let begin = Instant::now();
    living.push("b", 1000);
    while living.counts().0 < 1000 {
        sleep(TAKES).await;
    }
    // With the nine places that no probe has, 112 rounds of 10 ms.
    assert!(begin.elapsed() < 150 * TAKES, "{:?}", begin.elapsed());
    assert_eq!(dead.most.load(Ordering::SeqCst), 10);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_somebody_to_come_back_grows_too_old_in_time() {
    let settings = PoolSettings { max_age: Some(20 * BASE), ..breaking(5) };
    let outage = outage(&settings, ["a"]);
    outage.push("a", 100);
    sleep(20 * BASE + 2 * TAKES).await;
    let stats = outage.pool.stats();
    assert_eq!(stats.levels.waiting, 0);
    assert!(stats.counts.expired >= 90, "{}", stats.counts.expired);
}
