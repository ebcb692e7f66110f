//! How near the size that poolwatch advises is to the smallest that serves a workload in time.
//!
//! `cargo bench --bench sizing` simulates an hour of each workload in pools of each size, finds the
//! smallest in which no more than one caller in a hundred waits longer than 10 ms, and gives
//! poolwatch the reports that a worker would send from pools of other sizes. With `-- SEED…` other
//! hours are drawn. Nothing here is timed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "an experiment ends at what goes wrong"
)]

mod judge;
mod pool;
mod reports;
mod workload;

use judge::{Judged, judge, smallest};
use pool::run;
use reports::Capacity;
use workload::{Micros, Workload};

const LENGTH: Micros = 3_660_000_000;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        // Its short form is a test: tests/daemon/sizing.rs.
        return;
    }
    let seeds: Vec<u64> = arguments.iter().filter_map(|seed| seed.parse().ok()).collect();
    for seed in if seeds.is_empty() { vec![1, 2, 3] } else { seeds } {
        println!(
            "\n| workload | in use | smallest | from a large pool | from that size | from a small one |"
        );
        println!("| --- | --- | --- | --- | --- | --- |");
        for (name, workload) in workload::all(LENGTH, seed) {
            println!("{}", row(name, &workload));
        }
    }
}

/// One workload: the smallest size, and what poolwatch says of pools of several sizes.
fn row(name: &str, workload: &Workload) -> String {
    let smallest = smallest(workload);
    let calls = run(workload, 512);
    let held: Micros = calls.iter().map(|call| call.returned - call.acquired).sum();
    let load = held as f64 / LENGTH as f64;
    let sizes = [2 * smallest + 5, smallest, (smallest * 3 / 4).max(1)];
    let cells = sizes.map(|size| cell(&judge(workload, Capacity { size, overflow: 0 }), smallest));
    format!("| {name} | {load:.1} | {smallest} | {} |", cells.join(" | "))
}

/// The size, how far it is from the smallest, and the advice in a word.
fn cell(judged: &Judged, smallest: u64) -> String {
    let Some(sizing) = &judged.sizing else { return "–".to_owned() };
    let apart = sizing.size as i64 - smallest as i64;
    let says = match judged.message.as_deref() {
        None => "",
        Some(message) if message.contains("never used more") => ", too large",
        Some(message) if message.contains("waited longer") => ", too small",
        Some(_) => ", overflow",
    };
    format!("{} ({apart:+}){says}", sizing.size)
}
