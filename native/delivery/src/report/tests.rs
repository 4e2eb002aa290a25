use super::*;
use ConnectionState::{Blocked, Down, Up};

fn connected(state: ConnectionState, opened: u64, lost: u64, failed: u64) -> Stats {
    let status = ConnectionStatus { state, opened, lost, failed, ..ConnectionStatus::default() };
    Stats { connection: Some(status), ..Stats::default() }
}

fn backend(batch_limit: usize, clock_offset: i64) -> Stats {
    Stats { levels: Levels { batch_limit, clock_offset, ..Levels::default() }, ..Stats::default() }
}

fn refused(what: Option<&'static str>) -> Stats {
    let status = ConnectionStatus { refused: what.map(Into::into), ..ConnectionStatus::default() };
    Stats { connection: Some(status), ..Stats::default() }
}

fn limited(what: Option<&'static str>) -> Stats {
    let status = ConnectionStatus { limited: what.map(Into::into), ..ConnectionStatus::default() };
    Stats { connection: Some(status), ..Stats::default() }
}

fn rejected(count: u64, cause: &'static str) -> (Stats, Recent) {
    let counts = Counts { accepted: count, rejected: count, ..Counts::default() };
    let causes = Causes { rejected: Some(cause.into()), ..Causes::default() };
    (Stats { counts, ..backend(1, 0) }, Recent { causes, ..Recent::default() })
}

#[test]
fn a_connection_is_told_once_for_each_change() {
    let untold = Stats::default;
    for (told, now, wanted) in [
        (untold(), untold(), None),
        (untold(), connected(Down, 0, 0, 0), None),
        (untold(), connected(Down, 0, 0, 1), Some(Down)),
        (connected(Down, 0, 0, 1), connected(Down, 0, 0, 7), None),
        (connected(Down, 0, 0, 7), connected(Up, 1, 0, 7), Some(Up)),
        (connected(Up, 1, 0, 7), connected(Up, 1, 0, 7), None),
        (connected(Up, 1, 0, 7), connected(Up, 2, 1, 7), Some(Up)),
        (connected(Up, 2, 1, 7), connected(Down, 2, 2, 7), Some(Down)),
        (connected(Down, 2, 2, 7), connected(Down, 2, 2, 9), None),
        // Made and lost between two looks.
        (connected(Down, 2, 2, 9), connected(Down, 3, 3, 9), Some(Down)),
        (connected(Up, 1, 0, 0), connected(Blocked, 1, 0, 0), Some(Blocked)),
        (connected(Blocked, 1, 0, 0), connected(Blocked, 1, 0, 0), None),
        (connected(Blocked, 1, 0, 0), connected(Blocked, 2, 1, 0), Some(Blocked)),
        (connected(Blocked, 1, 0, 0), connected(Up, 1, 0, 0), Some(Up)),
        (connected(Blocked, 1, 0, 0), connected(Down, 1, 1, 0), Some(Down)),
        (untold(), connected(Blocked, 1, 0, 0), Some(Blocked)),
    ] {
        let wanted: Vec<_> = wanted.map(Change::Connection).into_iter().collect();
        assert_eq!(changes(&told, &now), wanted, "{told:?} -> {now:?}");
    }
}

#[test]
fn what_somebody_has_to_mend_is_told_again_when_it_is_another_thing() {
    let (exchange, password) = (refused(Some("exchange")), refused(Some("password")));
    for (told, now, wanted) in [
        (Stats::default(), refused(None), vec![]),
        (refused(None), exchange.clone(), vec![Change::Refused(Some("exchange".into()))]),
        (exchange.clone(), exchange.clone(), vec![]),
        (exchange, password.clone(), vec![Change::Refused(Some("password".into()))]),
        (password, refused(None), vec![Change::Refused(None)]),
    ] {
        assert_eq!(changes(&told, &now), wanted, "{told:?} -> {now:?}");
    }
}

#[test]
fn that_a_limit_has_ended_is_no_news() {
    let (few, fewer) = (limited(Some("5 channels")), limited(Some("2 channels")));
    for (told, now, wanted) in [
        (limited(None), few.clone(), vec![Change::Limited("5 channels".into())]),
        (few.clone(), few.clone(), vec![]),
        (few.clone(), fewer, vec![Change::Limited("2 channels".into())]),
        (few, limited(None), vec![]),
    ] {
        assert_eq!(changes(&told, &now), wanted, "{told:?} -> {now:?}");
    }
}

#[test]
fn batches_are_told_when_they_end() {
    for (before, after, wanted) in
        [(10, 1, vec![Change::BatchingOff]), (1, 1, vec![]), (1, 10, vec![]), (10, 10, vec![])]
    {
        assert_eq!(changes(&backend(before, 0), &backend(after, 0)), wanted, "{before}, {after}");
    }
}

#[test]
fn a_clock_is_told_when_it_is_off_by_a_minute_at_least() {
    for (before, after, wanted) in [
        (0, 59, vec![]),
        (0, 60, vec![Change::Clock(60)]),
        (0, -3600, vec![Change::Clock(-3600)]),
        (60, 60, vec![]),
        (3600, 120, vec![Change::Clock(120)]),
        (3600, 0, vec![]),
    ] {
        assert_eq!(changes(&backend(1, before), &backend(1, after)), wanted, "{before}, {after}");
    }
}

#[test]
fn a_circuit_is_told_when_it_opens_and_when_it_closes() {
    let open = |destinations: &[(&str, &'static str)]| {
        let open = destinations.iter().map(|(destination, cause)| OpenCircuit {
            destination: (*destination).into(),
            cause: (*cause).into(),
        });
        Stats { open: open.collect(), ..Stats::default() }
    };
    let change = |destination: &str, open: bool, cause: &'static str| Change::Circuit {
        destination: destination.into(),
        open,
        cause: cause.into(),
    };
    for (told, now, wanted) in [
        (open(&[]), open(&[]), vec![]),
        (open(&[]), open(&[("a", "503")]), vec![change("a", true, "503")]),
        (open(&[("a", "503")]), open(&[("a", "504")]), vec![]),
        (
            open(&[("a", "503"), ("b", "504")]),
            open(&[("b", "504"), ("c", "505")]),
            vec![change("c", true, "505"), change("a", false, "503")],
        ),
    ] {
        assert_eq!(changes(&told, &now), wanted, "{told:?} -> {now:?}");
    }
}

#[test]
fn a_report_counts_from_the_one_that_was_told() {
    let mut told = Told::new(Stats::default());
    let (now, recent) = rejected(3, "400");
    assert_eq!(told.report(now.clone(), recent).counts.rejected, 3);
    told.confirm();
    let report = told.report(now, Recent::default());
    assert_eq!((report.counts, report.recent), (Counts::default(), Recent::default()));
}

#[test]
fn connections_are_counted_from_the_one_that_was_told() {
    let mut told = Told::new(Stats::default());
    let counted = |report: Report| {
        let ConnectionStatus { opened, lost, failed, .. } = report.connection.unwrap();
        (opened, lost, failed)
    };
    assert_eq!(counted(told.report(connected(Up, 2, 1, 5), Recent::default())), (2, 1, 5));
    told.confirm();
    assert_eq!(counted(told.report(connected(Up, 3, 2, 5), Recent::default())), (1, 1, 0));
}

#[test]
fn what_nobody_confirmed_is_told_again_with_what_came_since() {
    let mut told = Told::new(backend(10, 0));
    let (mut now, recent) = rejected(3, "400");
    assert_eq!(told.report(now.clone(), recent).changes, [Change::BatchingOff]);
    now.counts.accepted = 5;
    now.counts.exhausted = 2;
    let causes = Causes { exhausted: Some("503".into()), ..Causes::default() };
    let report = told.report(now.clone(), Recent { causes, ..Recent::default() });
    assert_eq!((report.counts.rejected, report.counts.exhausted), (3, 2));
    let Causes { rejected, exhausted, .. } = report.recent.causes;
    assert_eq!((rejected.unwrap(), exhausted.unwrap()), ("400".into(), "503".into()));
    assert_eq!(report.changes, [Change::BatchingOff], "once, and not for each report");
    told.confirm();
    assert_eq!(told.report(now, Recent::default()).counts, Counts::default());
}

#[test]
fn times_that_nobody_heard_of_are_told_again() {
    let mut told = Told::new(Stats::default());
    let times = Times { total: vec![(1000, 2)], attempt: vec![(100, 2)] };
    let recent = Recent { times, ..Recent::default() };
    told.report(Stats::default(), recent.clone());
    let Times { total, attempt } = told.report(Stats::default(), recent).recent.times;
    assert_eq!((total, attempt), (vec![(1000, 4)], vec![(100, 4)]));
    told.confirm();
    assert_eq!(told.report(Stats::default(), Recent::default()).recent.times, Times::default());
}
