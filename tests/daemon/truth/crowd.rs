//! Many processes with the Python client at the same instant.

use super::agree;
use crate::application::python;
use crate::support::{Daemon, Metrics, Output, eventually};

const CROWD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/fixtures/crowd.py");
const WORKERS: u32 = 64;
const ROUNDS: u32 = 10;

fn refused(metrics: &Metrics) -> f64 {
    metrics.all("poolwatch_reports_rejected_total", &[]).map(|series| series.value).sum()
}

#[test]
fn sixty_four_processes_that_report_at_the_same_instant_lose_nothing() {
    let daemon = Daemon::with_settings("").start();
    let mut crowd = python();
    crowd.arg(CROWD).arg(daemon.socket()).arg(WORKERS.to_string()).arg(ROUNDS.to_string());
    // So that nobody is forgotten while a busy machine counts.
    crowd.env("POOLWATCH_PERIOD", "60");
    let (mut process, output) = Output::of(&mut crowd);
    let printed = eventually(|| {
        let ended = process.ended().unwrap();
        assert!(ended.is_none(), "the crowd ended: {ended:?}\n{}", output.text());
        Some(output.text()).filter(|printed| printed.contains("sent"))
    });
    let all = WORKERS * ROUNDS;
    assert_eq!(printed.trim(), format!("sent {all}"));
    agree(|| {
        let metrics = daemon.metrics();
        let crowd = |name| metrics.value(name, &[("pool", "crowd")]);
        let exported = (
            metrics.value("poolwatch_reports_total", &[]),
            refused(&metrics),
            crowd("db_pool_connections_opened_total"),
            crowd("db_pool_workers"),
        );
        (exported, (Some(all.into()), 0.0, Some(all.into()), Some(WORKERS.into())))
    });
}
