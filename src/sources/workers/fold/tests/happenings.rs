//! The fold under any order, duplicates, deaths and restarts.

use proptest::prelude::*;

use super::*;

/// One thing that may happen: a worker counts and reports, an old datagram comes again, time
/// passes, a worker begins again.
#[derive(Clone, Debug)]
enum Happening {
    Report { worker: usize, more: u64, is_final: bool },
    Late { place: usize },
    Time { millis: u64 },
    Restart { worker: usize },
    Forget { worker: usize },
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{Forget, Late, Report, Restart, Time};
    prop_oneof![
        8 => (0..4_usize, 0..50_u64, prop::bool::weighted(0.1))
            .prop_map(|(worker, more, is_final)| Report { worker, more, is_final }),
        4 => (0..1000_usize).prop_map(|place| Late { place }),
        2 => (0..4000_u64).prop_map(|millis| Time { millis }),
        1 => (0..4_usize).prop_map(|worker| Restart { worker }),
        1 => (0..4_usize).prop_map(|worker| Forget { worker }),
    ]
}

#[derive(Default)]
struct Process {
    life: u64,
    seq: u64,
    counted: u64,
}

proptest! {
    #[test]
    fn sums_are_the_truth_and_never_fall(happenings in prop::collection::vec(happening(), 1..200)) {
        let (mut fold, mut now) = (fold(), Instant::now());
        let mut processes: [Process; 4] = Default::default();
        let (mut sent, mut truth, mut shown) = (Vec::new(), 0, 0);
        for happening in happenings {
            match happening {
                Happening::Report { worker, more, is_final } => {
                    let process = &mut processes[worker];
                    process.seq += 1;
                    process.counted += more;
                    truth += more;
                    let name = format!("{worker}-{}", process.life);
                    let report = Report { is_final, ..report(&name, process.seq, process.counted) };
                    sent.push(report.clone());
                    prop_assert_eq!(fold.take(report, None, now), Ok(()));
                }
                Happening::Late { place } if !sent.is_empty() => {
                    let late = sent[place % sent.len()].clone();
                    prop_assert_eq!(fold.take(late, None, now), Err(Reason::Stale));
                }
                Happening::Late { .. } => {}
                Happening::Time { millis } => now += Duration::from_millis(millis),
                Happening::Restart { worker } => {
                    let life = processes[worker].life + 1;
                    processes[worker] = Process { life, ..Process::default() };
                }
                // The client begins to count again without saying so.
                Happening::Forget { worker } => processes[worker].counted = 0,
            }
            let reading = fold.reading(now);
            if let Some(pool) = reading.pools.first() {
                let sum = pool.totals.opened.unwrap();
                prop_assert!(sum >= shown && sum <= truth);
                prop_assert_eq!(sum, pool.timings.query.as_ref().unwrap().count());
                prop_assert!(pool.worker_count.unwrap() <= processes.len() as u64 * 50);
                shown = sum;
            }
        }
    }

    #[test]
    fn without_loss_the_order_of_workers_does_not_matter(
        counts in prop::collection::vec(prop::collection::vec(0..100_u64, 1..5), 1..6),
        order in any::<prop::sample::Index>(),
    ) {
        let now = Instant::now();
        let mut reports = Vec::new();
        for (worker, counts) in counts.iter().enumerate() {
            let mut sum = 0;
            for (seq, count) in counts.iter().enumerate() {
                sum += count;
                reports.push(report(&worker.to_string(), seq as u64, sum));
            }
        }
        let truth: u64 = counts.iter().flatten().sum();
        let middle = order.index(reports.len());
        reports.rotate_left(middle);
        let mut fold = fold();
        for report in reports.into_iter().rev() {
            let _ = fold.take(report, None, now);
        }
        prop_assert_eq!(sums(&fold.reading(now)).0, truth);
    }
}
