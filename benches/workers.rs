//! 2,000 workers report once a second: what a second of that costs, and how much memory it takes.
//!
//! One iteration is one second's work: every report is received and parsed, then all are folded and
//! read. Divide the time by a second for the share of one core. The memory is printed first.
#![allow(clippy::unwrap_used, reason = "a bench may")]
#![allow(clippy::print_stdout, reason = "its result is read by people")]
#![allow(missing_docs, reason = "criterion's macros have none")]

use std::fs;
use std::hint::black_box;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use poolwatch::sources::workers::{Fold, Settings, Workers};
use poolwatch_client::histogram::Histogram;
use poolwatch_client::pool_figures::{Cumulative, Figures, MaxOverflow, Timings, Totals, Value};
use poolwatch_client::report::{PoolReport, Report};

const WORKERS: u64 = 2000;

/// A busy worker's histogram: every bucket counts into the millions.
fn histogram(bounds: &'static [f64], seq: u64) -> Histogram {
    let counts = (0..=bounds.len() as u64).map(|bucket| bucket * 98_765 + seq).collect();
    Histogram::from_counts(bounds, counts, 123_456.789).unwrap()
}

fn report(worker: u64, seq: u64) -> Report {
    let mut figures = Figures::default();
    for set in Figures::ROWS.iter().filter_map(|row| row.set) {
        for value in [
            Value::Count(worker % 20),
            Value::Limit(MaxOverflow::Limited(15)),
            Value::Seconds(1.25),
        ] {
            set(&mut figures, value);
        }
    }
    let mut totals = Totals::default();
    for row in Totals::ROWS {
        *(row.get_mut)(&mut totals) = Some(seq);
    }
    let mut timings = Timings::default();
    for row in Timings::ROWS {
        *(row.get_mut)(&mut timings) = Some(histogram(row.bounds, seq));
    }
    Report {
        instance: format!("{worker:032x}"),
        pid: u32::try_from(worker).ok(),
        seq,
        period: Duration::from_secs(1),
        app: Some("reddit-bot".into()),
        is_final: false,
        pools: vec![PoolReport {
            name: "web".into(),
            figures,
            totals,
            timings,
            ..PoolReport::default()
        }],
        findings: Vec::new(),
    }
}

fn datagrams(seq: u64) -> Vec<Vec<u8>> {
    (0..WORKERS).map(|worker| report(worker, seq).serialize()).collect()
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The time this process has spent on a core.
fn spent() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: Vec<u64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|one| one.parse().unwrap())
        .collect();
    Duration::from_millis(10 * (ticks[0] + ticks[1]))
}

fn open(folder: &tempfile::TempDir) -> Workers {
    let socket = Some(folder.path().join("poolwatch.sock"));
    Settings { socket, ..Settings::default() }.open().unwrap()
}

/// The whole way, through the kernel, for some seconds: memory, and time on a core, of which the
/// senders' part (in this process too) is measured apart.
fn the_whole_way() {
    const SECONDS: u64 = 10;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    let example = datagrams(1).swap_remove(0).len();
    let before = resident();
    let mut workers = open(&folder);
    let mut busy = Duration::ZERO;
    for seq in 1..=SECONDS {
        let datagrams = datagrams(seq);
        let began = spent();
        for datagram in &datagrams {
            sender.send_to(datagram, workers.path()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        black_box(runtime.block_on(workers.read()).unwrap());
        busy += spent().saturating_sub(began);
    }
    let reading = runtime.block_on(workers.read()).unwrap();
    assert_eq!(reading.pools[0].worker_count, Some(WORKERS));
    println!(
        "{WORKERS} workers, {example} bytes each: {} KiB more resident, {:?} of a core a second with the sending",
        resident() - before,
        busy / u32::try_from(SECONDS).unwrap(),
    );
}

fn benches(criterion: &mut Criterion) {
    the_whole_way();
    let second = datagrams(1);
    let mut group = criterion.benchmark_group("2000 workers, one second");
    group.sample_size(20);
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            for datagram in &second {
                black_box(Report::parse(datagram).unwrap());
            }
        });
    });
    group.bench_function("fold and read", |bencher| {
        let (mut fold, mut seq) = (Fold::new(&Settings::default()), 0);
        bencher.iter_custom(|rounds| {
            let mut elapsed = Duration::ZERO;
            for _ in 0..rounds {
                seq += 1;
                let reports: Vec<_> = (0..WORKERS).map(|worker| report(worker, seq)).collect();
                let (began, now) = (Instant::now(), tokio::time::Instant::now());
                for report in reports {
                    fold.take(report, None, now).unwrap();
                }
                black_box(fold.reading(now));
                elapsed += began.elapsed();
            }
            elapsed
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
