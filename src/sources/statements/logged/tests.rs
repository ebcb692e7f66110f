use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::latency::Moments;

/// A statement that ended at a time and has its line in the log at another, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Call {
    ended: u64,
    logged: u64,
    seconds: f64,
}

fn moments<'a>(calls: impl Iterator<Item = &'a Call> + Clone) -> Moments {
    let seconds = calls.map(|call| call.seconds);
    let count = seconds.clone().count() as f64;
    let total: f64 = seconds.clone().sum();
    let squares: f64 = seconds.clone().map(|one| (one - total / count).powi(2)).sum();
    Moments {
        calls: seconds.clone().count() as u64,
        total,
        shortest: seconds.clone().fold(f64::INFINITY, f64::min),
        longest: seconds.fold(0.0, f64::max),
        deviation: (squares / count).sqrt(),
        ..Moments::default()
    }
}

/// The statistics sampled each `pace` milliseconds, and the log, of statements from 100 ms on, read
/// each second: all bounds at each sample, with those that were true.
fn simulate(calls: &[Call], pace: u64, until: u64) -> Vec<[(u64, Count); THRESHOLDS.len()]> {
    let begin = Instant::now();
    let at = |milliseconds| begin + Duration::from_millis(milliseconds);
    let (log, mut mark, mut bounds) =
        (LogCounts::default(), LogMark::default(), WithinBounds::default());
    let (mut estimate, mut last, mut all) = (Estimate::default(), None, Vec::new());
    for now in (0..until).step_by(10) {
        if now % 1000 == 370 {
            let lines = calls.iter().filter(|call| call.logged <= now && call.seconds >= 0.1);
            let above = BOUNDS
                .iter()
                .map(|bound| lines.clone().filter(|call| call.seconds > *bound).count() as u64);
            let above: Vec<_> = above.collect();
            let above = HashMap::from([("app".to_owned(), above.try_into().unwrap())]);
            log.keep(at(now)..at(now + 40), "csvlog", above);
        }
        if now % pace == 0 {
            let ended = calls.iter().filter(|call| call.ended <= now);
            mark.settle(&log, [("app", &mut bounds)].into_iter());
            if ended.clone().next().is_some() {
                let sampled = moments(ended.clone());
                estimate.add(&sampled.since(last.as_ref()));
                last = Some(sampled);
            }
            let (before, shown) = (bounds.now.calls, bounds.shown);
            bounds.grow(&estimate);
            let ran = bounds.now.calls - before;
            for (now, then) in bounds.shown.iter().zip(shown) {
                assert!(now.least >= then.least, "no counter falls");
                assert!((0..=ran).contains(&(now.most - then.most)), "no share is below 0");
            }
            mark.mark(at(now)..at(now + 5), Some(0.1), [&mut bounds].into_iter());
            let truth = THRESHOLDS.map(|(_, seconds)| {
                ended.clone().filter(|call| call.seconds <= seconds).count() as u64
            });
            let shown: Vec<_> = bounds.shown().map(|(_, count)| count).collect();
            all.push(std::array::from_fn(|at| (truth[at], shown[at])));
        }
    }
    all
}

/// One in ten takes 0.15 s, one in a hundred 0.5 s, the others between 5 and 90 ms.
fn mixed(from: u64, until: u64) -> Vec<Call> {
    let call = |ended: u64| {
        let seconds = match ended % 1000 {
            100 => 0.5,
            other if other % 100 == 50 => 0.15,
            other => 0.005 + 0.000_08 * other as f64,
        };
        Call { ended, logged: ended + 3, seconds }
    };
    (from..until).step_by(10).map(call).collect()
}

#[test]
fn where_the_log_has_them_the_bounds_are_exact() {
    for pace in [1000, 10_000] {
        // At the end only fast ones run, so that what came late in the log is accounted for.
        let mut calls = mixed(18_000, 80_000);
        calls.extend(mixed(80_000, 110_000).into_iter().filter(|call| call.seconds < 0.1));
        let all = simulate(&calls, pace, 140_000);
        for (truth, count) in all.last().unwrap() {
            assert_eq!((count.least, count.most), (*truth, *truth), "each {pace} ms");
        }
    }
}

#[test]
fn without_the_log_they_are_as_the_statistics_have_them() {
    let mut calls = mixed(8000, 110_000);
    for call in &mut calls {
        call.logged = u64::MAX;
    }
    let all = simulate(&calls, 10_000, 120_000);
    let (truth, count) = all.last().unwrap()[0];
    assert!(count.least < truth && truth < count.most, "{count:?} around {truth}");
}

#[test]
fn a_break_begins_anew_and_a_contradiction_is_not_believed() {
    let (mut bounds, now) = (WithinBounds::default(), Instant::now());
    let above = |least, most| LoggedAbove { least: [least; 17], most: [most; 17] };
    bounds.settle(0, &above(5, 5), 0.1, now);
    let counted = Count { least: 90, most: 95 };
    bounds.now = Counts { calls: 100, within: [counted; 3] };
    bounds.marked = bounds.now;
    bounds.settle(0, &above(12, 13), 0.1, now);
    assert_eq!(bounds.now.within, [Count { least: 92, most: 93 }; 3]);
    let recent = bounds.recent(now).unwrap();
    assert_eq!((recent.calls, recent.least[9], recent.most[9]), (100, 7, 8));
    bounds.settle(1, &above(0, 0), 0.1, now);
    assert_eq!(bounds.anchor.as_ref().unwrap().epoch, 1, "of another epoch");
    assert_eq!(bounds.recent(now), None);
    bounds.settle(1, &above(50, 50), 0.1, now);
    assert_eq!(bounds.now.within, [Count { least: 92, most: 93 }; 3]);
    assert!(bounds.anchor.is_none(), "half of none that ran");
    bounds.settle(1, &above(50, 50), 0.2, now);
    assert_eq!(bounds.anchor.as_ref().unwrap().counts.calls, 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_truth_lies_between_the_bounds(
        calls in prop::collection::vec(
            (0..60_000_u64, 0..900_u64, prop::bool::weighted(0.2), 1e-3..0.3_f64),
            0..300,
        ),
        pace in prop::sample::select(vec![1000_u64, 3000, 10_000]),
    ) {
        let mut calls: Vec<_> = calls
            .into_iter()
            .map(|(ended, delay, slow, seconds)| {
                let seconds = if slow { 4.0 * seconds } else { seconds };
                Call { ended, logged: ended + delay, seconds }
            })
            .collect();
        calls.sort_unstable_by_key(|call| call.ended);
        for sample in simulate(&calls, pace, 70_000) {
            for (truth, count) in sample {
                prop_assert!((count.least..=count.most).contains(&truth), "{truth} {count:?}");
            }
        }
    }
}
