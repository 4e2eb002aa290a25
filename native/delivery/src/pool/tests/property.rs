//! Whatever happens, each message that was accepted ends exactly once.

use std::collections::HashMap;

use proptest::prelude::*;
use tokio::runtime::Builder;

use super::*;

/// What one message of the property asks of the backend: its letter.
fn verdict(body: &str) -> Result<(), Failure> {
    match body.as_bytes()[0] {
        b'd' => Ok(()),
        b'r' => Err(Failure::permanent("no")),
        b'e' => Err(Failure::transient("later")),
        b'n' => Err(Failure::Nack {
            detail: "not now".into(),
            wait: fastrand::bool().then_some(Duration::from_millis(1)),
        }),
        _ => panic!("as the message wants"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// accepted = delivered + dropped + waiting, whatever fails, however full the queue is and
    /// whenever the pool is stopped; and each fate is counted as often as it was provoked.
    #[test]
    fn every_accepted_message_ends_exactly_once(
        pushes in prop::collection::vec(("[drepn]", 0..3_u8, prop::option::of(0..3_u8)), 0..200),
        // Which destination is not ready after so many pushes, if any.
        absences in prop::collection::hash_map(0..200_usize, prop::option::of(0..3_u8), 0..20),
        per_group in 1..4_usize,
        workers in 1..5_usize,
        max_events in 1..100_usize,
        permits in 0..300_usize,
        batching: bool,
        drop_old: bool,
        circuit_failures in prop::option::weighted(0.15, 1..4_u32),
        // How old a message may become by its attempts, if these are not counted.
        max_age in prop::option::weighted(0.2, 1..50_u64),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(async {
            let together = BatchLimits { per_group, ..TEN };
            let limits = if batching { together } else { BatchLimits::SINGLE };
            let on_full = if drop_old { OnFull::DropOld } else { OnFull::DropNew };
            let settings = settings(workers, max_events, 1 << 20);
            let aged = |age| RetrySettings::new(None, Some(Duration::from_millis(age)), 1, 5);
            let retry = max_age.map_or(settings.retry, aged);
            let settings = PoolSettings { on_full, circuit_failures, retry, ..settings };
            let rig = rig_with(settings, limits, verdict);
            rig.gate.add_permits(permits);
            let mut accepted = HashMap::<u8, u64>::new();
            let mut refused = 0;
            for (index, (letter, destination, group)) in pushes.iter().enumerate() {
                if let Some(absent) = absences.get(&index) {
                    rig.absent.send_replace(absent.iter().map(u8::to_string).collect());
                }
                let group = group.map(|group| group.to_string());
                let pushed = message(&destination.to_string(), letter, group.as_deref());
                match rig.pool.push(pushed) {
                    Ok(()) => *accepted.entry(letter.as_bytes()[0]).or_default() += 1,
                    Err(refusal) => {
                        prop_assert_eq!(refusal, Refusal::Full);
                        refused += 1;
                    }
                }
                let live = rig.pool.stats();
                prop_assert_eq!(live.counts.accepted, live.counts.delivered + live.counts.dropped() + live.levels.waiting);
                // What comes back from an attempt is taken whether there is room or not.
                let under_way = workers * limits.events;
                prop_assert!(live.levels.queue_events <= max_events + under_way);
            }
            let of = |letter: u8| accepted.get(&letter).copied().unwrap_or_default();
            // What is not taken may be tried any number of times, and holds up its group.
            let any_number = of(b'n') > 0 || (max_age.is_some() && of(b'e') > 0);
            let enough = permits >= 3 * pushes.len() && !any_number;
            let deadline = if enough { Duration::from_secs(60) } else { Duration::ZERO };
            // Workers of a closed pool may have to wait for the last destination to be ready.
            let (report, ()) = tokio::join!(rig.pool.stop(deadline), async { rig.away([]) });
            prop_assert_eq!(report.counts.accepted, accepted.values().sum::<u64>());
            prop_assert_eq!(report.counts.refused_full, refused);
            prop_assert_eq!(report.levels.waiting, 0);
            prop_assert_eq!(report.counts.accepted, report.counts.delivered + report.counts.dropped());
            prop_assert_eq!((report.levels.queue_events, report.levels.queue_bytes), (0, 0));
            prop_assert!(drop_old || report.counts.full == 0);
            if enough && report.counts.full == 0 {
                prop_assert_eq!(report.counts.delivered, of(b'd'));
                prop_assert_eq!(report.counts.rejected, of(b'r') + of(b'p'));
                prop_assert_eq!(report.counts.exhausted, of(b'e'));
                prop_assert_eq!(report.counts.closed, 0);
            } else {
                prop_assert!(report.counts.delivered <= of(b'd') && report.counts.nacked <= of(b'n'));
            }
            Ok(())
        })?;
    }
}
