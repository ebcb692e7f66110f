//! Whatever comes on the workers' socket is refused or folded, and harms nothing:
//! `cargo +nightly fuzz run report`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poolwatch::report::{Reason, Report};
use poolwatch::sources::workers::{Fold, Settings};
use tokio::time::Instant;

fuzz_target!(|datagram: &[u8]| {
    let Ok(report) = Report::parse(datagram) else { return };
    let again = Report::parse(&report.serialize()).expect("what was read can be written and read");
    assert_eq!((again.seq, again.pools.len()), (report.seq, report.pools.len()));

    let (mut fold, now) = (Fold::new(&Settings::default()), Instant::now());
    assert_eq!(fold.take(report.clone(), None, now), Ok(()));
    assert_eq!(fold.take(again, None, now), Err(Reason::Stale));
    let reading = fold.reading(now);
    assert_eq!(reading.pools.len(), report.pools.len());
    for (pool, reported) in reading.pools.iter().flat_map(|pool| {
        report.pools.iter().filter(|one| one.name == pool.name).map(move |one| (pool, one))
    }) {
        assert_eq!((&pool.totals, &pool.timings), (&reported.totals, &reported.timings));
    }
});
