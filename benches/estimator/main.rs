//! How far the estimated durations of statements are from the true ones, by workload.
//!
//! `cargo bench --bench estimator` runs each workload with pgbench on a server of its own, where
//! `pg_stat_statements` is read each second and the log has every duration; it takes 21 minutes.
//! What was recorded is kept in `target/estimator`; with `-- --replay` it is judged again, with
//! `-- NAME…` these workloads are recorded anew before. Shapes that no workload has, and applications
//! of several statements, are drawn by chance and judged too. As a test, which is without `--bench` or
//! with `-- --test`, only their bounds are checked, in a second. Nothing here is timed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an experiment ends at what goes wrong"
)]

mod figures;
mod mixed;
mod record;
mod simulated;
mod workloads;

use std::path::Path;

use figures::{Figures, header, median};
use record::Record;

/// Seconds between two looks.
const INTERVALS: [usize; 3] = [1, 5, 10];
/// The interval of the whole table: poolwatch's own, unless the settings say otherwise.
const USUAL: usize = 10;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    if has("--test") || !has("--bench") {
        return check_bounds();
    }
    // Cargo adds options of its own.
    let named: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/estimator");
    std::fs::create_dir_all(&folder).unwrap();
    if !has("--replay") {
        let stage = record::Stage::start();
        let is_named = |name: &str| named.is_empty() || named.iter().any(|one| *one == name);
        for workload in workloads::all().into_iter().filter(|workload| is_named(workload.name)) {
            eprintln!("{}", workload.name);
            stage.record(&workload).save(&folder);
        }
    }
    let names = workloads::all().into_iter().map(|workload| workload.name);
    let records: Vec<_> = names.filter_map(|name| Record::load(&folder, name)).collect();
    if !records.is_empty() {
        judge(&records);
    }
    println!();
    judge(&simulated::all());
    println!();
    judge(&mixed::all());
}

/// The bounds hold for every distribution, so they contain the truth of each, and the estimate.
fn check_bounds() {
    let records: Vec<_> = simulated::all().into_iter().chain(mixed::all()).collect();
    for record in &records {
        for interval in INTERVALS {
            let figures = Figures::of(record, interval);
            assert!(figures.contain_truth(record), "{}", figures.bounds_row(record));
            assert!(figures.contain_estimate(record), "{}", figures.row(record));
        }
    }
    println!("the bounds contain the truth and the estimate of {} workloads", records.len());
}

fn judge(records: &[Record]) {
    println!("{}", header());
    for record in records {
        println!("{}", Figures::of(record, USUAL).row(record));
    }
    println!(
        "\n| workload | % above 100 ms | % above 200 ms | % above 1 s |\n| --- | --- | --- | --- |"
    );
    for record in records {
        println!("{}", Figures::of(record, USUAL).bounds_row(record));
    }
    println!();
    for interval in INTERVALS {
        summary(interval, records);
    }
}

/// One line over all workloads.
fn summary(interval: usize, records: &[Record]) {
    let figures: Vec<_> = records.iter().map(|record| Figures::of(record, interval)).collect();
    let shares = [0, 1, 2].map(|at| {
        let apart: Vec<f64> = figures.iter().map(|figures| figures.shares[at].abs()).collect();
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        format!("{mean:.2} (worst {:.2})", apart.into_iter().fold(0.0, f64::max))
    });
    let quantiles = [0, 1, 2].map(|at| {
        let apart = figures.iter().map(|figures| figures.quantiles[at].abs()).collect();
        format!("{:.0} %", median(apart))
    });
    println!("| {interval} s | {} | {} |", shares.join(" | "), quantiles.join(" | "));
}
