//! Whatever comes on the workers' socket, a datagram a line, is refused or folded, and harms
//! nothing: sums never fall, and what is kept and shown is bounded.
#![no_main]

mod shown;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use poolwatch::exposition::pools::families;
use poolwatch::reading::{Cumulative, Figures, Timings};
use poolwatch_client::report::{FINDINGS, NAME, POOLS, PoolReport, Reason, Report, STATEMENT};
use poolwatch::sources::workers::{Fold, Settings};
use poolwatch::state::{PoolState, RecentPool, Thresholds};
use tokio::time::Instant;

const MOST: usize = 3;

fuzz_target!(|datagrams: &[u8]| {
    let settings = Settings { max_workers: MOST, max_pools: MOST, ..Settings::default() };
    let (mut fold, mut now) = (Fold::new(&settings), Instant::now());
    let mut before = BTreeMap::new();
    for datagram in datagrams.split(|byte| *byte == b'\n') {
        let Ok(report) = Report::parse(datagram) else { continue };
        is_bounded(&report);
        is_written_and_read(&report);
        now += report.period;
        match fold.take(report.clone(), None, now) {
            Ok(()) | Err(Reason::TooManyPools) => {
                assert_eq!(fold.take(report, None, now), Err(Reason::Stale));
            }
            Err(reason) => assert!(matches!(reason, Reason::Stale | Reason::TooManyWorkers)),
        }
        let reading = fold.reading(now);
        assert!(reading.pools.len() <= MOST && reading.findings.len() <= 100);
        // One that was silent may go on.
        assert!(reading.pools.iter().all(|pool| pool.workers.len() <= 2 * MOST));
        let judged = reading.pools.into_iter().map(|pool| {
            let timings = Timings::clone(&pool.timings);
            PoolState::judge(pool, RecentPool { timings, ..RecentPool::default() }, &Thresholds::default())
        });
        let after = shown::counted(&families(&judged.collect::<Vec<_>>()));
        shown::only_grew(&before, &after);
        before = after;
    }
});

fn is_bounded(report: &Report) {
    let fits = |text: &str, limit| text.chars().count() <= limit;
    assert!(report.pools.len() <= POOLS && report.findings.len() <= FINDINGS);
    assert!(fits(&report.instance, NAME) && !report.instance.is_empty());
    assert!(report.pools.iter().all(|pool| fits(&pool.name, NAME) && !pool.name.is_empty()));
    assert!(report.findings.iter().all(|one| fits(&one.sql, STATEMENT) && fits(&one.pool, NAME)));
}

/// Unless two pools of one name were joined, and are more than one pool may be.
fn is_written_and_read(report: &Report) {
    let Ok(again) = Report::parse(&report.serialize()) else {
        assert!(report.pools.iter().any(is_huge), "what was read can be written and read");
        return;
    };
    assert_eq!((again.seq, &again.instance, again.is_final), (report.seq, &report.instance, report.is_final));
    assert_eq!(again.findings, report.findings);
    assert!(again.pools.iter().map(|pool| &pool.name).eq(report.pools.iter().map(|p| &p.name)));
    assert!(again.pools.iter().zip(&report.pools).all(|(a, b)| a.totals == b.totals));
}

fn is_huge(pool: &PoolReport) -> bool {
    let Figures { size, checked_in, checked_out, pending, peak, .. } = pool.figures;
    let timings = Timings::ROWS.iter().filter_map(|row| (row.get)(&pool.timings).as_ref());
    let mut sums = timings.map(|times| times.sum());
    [size, checked_in, checked_out, pending, peak].into_iter().flatten().any(|f| f > 1 << 31)
        || sums.any(|sum| sum > 1e14)
}
