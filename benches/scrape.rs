//! What a scrape costs at 500, 5,000 and 50,000 series, and what a tick costs that reads them anew.
#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hyper::body::Bytes;
use poolwatch::advice::{self, Advisor, RuleContext};
use poolwatch::exposition::{Chunk, pools};
use poolwatch::latency::{ACQUIRE_BOUNDS, BOUNDS, HOLD_BOUNDS, Histogram};
use poolwatch::metric::Family;
use poolwatch::reading::{Figures, Holders, MaxOverflow, Origin, Pool, Timings, Totals, Worker};
use poolwatch::state::{PoolState, RecentPool, Thresholds};

/// As many families of twenty tables' statistics as make up so many series.
fn families(series: usize) -> Vec<Family> {
    (0..series / 20)
        .map(|at| {
            let mut family = Family::counter(
                format!("pg_stat_user_tables_figure_{at}_total"),
                "Rows of something; pg_stat_user_tables.figure.",
            );
            for table in 0..20 {
                let name = format!("matched_posts_{table}");
                let labels =
                    [("datname", "redditbot"), ("schemaname", "public"), ("relname", &name)];
                family.sample(&labels, (at * 1000 + table) as f64);
            }
            family
        })
        .collect()
}

fn histogram(bounds: &'static [f64]) -> Histogram {
    let mut histogram = Histogram::new(bounds);
    (1..200).for_each(|n| histogram.observe(f64::from(n) / 1000.0));
    histogram
}

/// One pool of fifty workers that report everything.
fn pool(name: String) -> Pool {
    let worker = |pid| Worker {
        pid: Some(pid),
        app: Some("reddit-bot".into()),
        age: Some(Duration::from_millis(300)),
        figures: Figures {
            size: Some(5),
            max_overflow: Some(MaxOverflow::Limited(15)),
            checked_in: Some(3),
            checked_out: Some(u64::from(pid % 20)),
            overflow: Some(0),
            pending: Some(0),
            pending_peak: None,
            connecting: None,
            peak: Some(12),
            oldest_checkout: Some(0.4),
            pre_ping: Some(1),
            timeout: Some(30.0),
            recycle: Some(3600.0),
        },
        ..Worker::default()
    };
    Pool {
        name,
        origin: Origin::Workers,
        workers: (0..50).map(worker).collect(),
        worker_count: Some(50),
        totals: Totals { timeouts: Some(1), opened: Some(900), ..Totals::default() },
        timings: Timings {
            acquire: Some(histogram(ACQUIRE_BOUNDS)),
            hold: Some(histogram(HOLD_BOUNDS)),
            query: Some(histogram(BOUNDS)),
            commit: Some(histogram(BOUNDS)),
        },
        holders: Holders::default(),
        targets: Vec::new(),
    }
}

/// What a scrape sends: the chunks one after another, not copied where gzip is asked for, as
/// Prometheus does, and otherwise unpacked.
fn parts(chunks: &[Arc<Chunk>], gzip: bool) -> Vec<Bytes> {
    if gzip {
        return Chunk::gzip(chunks.iter().map(Arc::as_ref));
    }
    chunks.iter().map(|chunk| chunk.plain()).collect()
}

/// A scrape gathers what was encoded when it was read.
fn scrape(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scrape");
    for series in [500, 5_000, 50_000] {
        let families = families(series);
        let chunks = families.chunks(25).map(|some| Arc::new(Chunk::encode(some).packed()));
        let chunks: Vec<_> = chunks.collect();
        group.throughput(Throughput::Elements(series as u64));
        for (name, gzip) in [("text", false), ("gzip", true)] {
            group.bench_with_input(BenchmarkId::new(name, series), &chunks, |bencher, chunks| {
                bencher.iter(|| black_box(parts(chunks, gzip)));
            });
        }
    }
    group.finish();
}

/// What a scrape pays once for families read since the last: encoding is paid by the tick.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(20);
    for series in [500, 5_000, 50_000] {
        let families = families(series);
        group.throughput(Throughput::Elements(series as u64));
        group.bench_with_input(BenchmarkId::new("text", series), &families, |bencher, families| {
            bencher.iter(|| black_box(Chunk::encode(families)));
        });
        group.bench_with_input(BenchmarkId::new("gzip", series), &families, |bencher, families| {
            bencher
                .iter_with_large_drop(|| black_box(Chunk::gzip([&Chunk::encode(families)]).len()));
        });
    }
    group.finish();
}

/// One tick: ten pools of fifty workers each judged, advised on and encoded.
fn tick(criterion: &mut Criterion) {
    let thresholds = Thresholds::default();
    let read: Vec<_> = (0..10).map(|at| pool(format!("pool{at}"))).collect();
    let mut advisor = Advisor::new(advice::Settings::default());
    let mut now = Instant::now();
    criterion.bench_function("tick/500 workers", |bencher| {
        bencher.iter(|| {
            let judged: Vec<_> = read
                .iter()
                .map(|pool| PoolState::judge(pool.clone(), RecentPool::default(), &thresholds))
                .collect();
            let context = RuleContext {
                pools: judged.iter().collect(),
                databases: &[],
                findings: Vec::new(),
                indexes: Vec::new(),
                servers: Vec::new(),
                thresholds: &thresholds,
            };
            now += Duration::from_secs(1);
            black_box(advisor.review(&context, now));
            black_box(Chunk::encode(&pools::families(&judged)))
        });
    });
}

criterion_group!(benches, scrape, encode, tick);
criterion_main!(benches);
