//! The short form of `benches/sizing`: the size that is advised is the smallest that serves a workload
//! in time, or one beside it, and a pool of that size is not spoken of.

#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "shared with the experiment"
)]

#[path = "../../benches/sizing/judge.rs"]
mod judge;
#[path = "../../benches/sizing/pool.rs"]
mod pool;
#[path = "../../benches/sizing/reports.rs"]
mod reports;
#[path = "../../benches/sizing/workload.rs"]
mod workload;

use judge::{judge, smallest};
use reports::Capacity;

/// Twenty minutes.
const LENGTH: workload::Micros = 1_200_000_000;
/// Those with few callers, so that it is quick.
const WORKLOADS: [&str; 5] = [
    "Poisson, 20/s, exponential 100 ms",
    "Poisson, 50/s, always 40 ms",
    "cron, 20 at once each minute, always 500 ms",
    "cron, 15 at once each 10 s, 100 ms, and 30/s, 20 ms",
    "at equal intervals, 50/s, exponential 60 ms",
];

#[test]
fn the_advised_size_is_the_smallest_that_serves_a_workload() {
    let mut count = 0;
    for (name, workload) in workload::all(LENGTH, 7) {
        if !WORKLOADS.contains(&name) {
            continue;
        }
        let smallest = smallest(&workload);
        for size in [2 * smallest + 5, smallest] {
            let judged = judge(&workload, Capacity { size, overflow: 0 });
            let sizing = judged.sizing.unwrap();
            assert!(sizing.size.abs_diff(smallest) <= 1, "{name}: {smallest}, {sizing:?}");
            assert_eq!(judged.message, None, "{name}: {size} connections");
            count += 1;
        }
    }
    assert_eq!(count, 2 * WORKLOADS.len());
}
