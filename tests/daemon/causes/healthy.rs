//! Applications that are odd and healthy: nothing is told at warning or above.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Running, Ward, text};
use crate::support::{eventually, is_busy, skipped};

/// Longer than any rule waits before it speaks.
const SECONDS: u64 = 75;

const ODD: &[&str] = &[
    "asleep",
    "batch",
    "busy_single",
    "cron",
    "leader",
    "listener",
    "migrations",
    "pre_ping",
    "short_lived",
];

/// The advice at warning and above, but for what a busy machine causes.
fn troubles(ward: &Ward) -> Vec<Value> {
    let mut advice = ward.advice();
    advice.retain(|one| text(one, "severity") != "info");
    if is_busy() {
        let of_machine = ["server_cpu", "query_latency", "slow_queries", "statement_slowdown"];
        let before = advice.len();
        advice.retain(|one| !of_machine.contains(&text(one, "rule")));
        if advice.len() < before {
            skipped(
                "that odd applications are silent, of the rules that judge time",
                "the machine is busy",
            );
        }
    }
    advice
}

#[test]
fn odd_applications_are_told_nothing() {
    // As declared: a batch job, and holds that last for the others are told after 20 s.
    let thresholds = "thresholds: {held_too_long: 20s, pools: {batch: {held_too_long: 8h}}}";
    let ward = Ward::new(&[("max_connections", "200")], thresholds);
    let applications: Vec<_> = ODD.iter().map(|case| ward.start(case)).collect();
    // Beside them: a dump again and again, an index that is built, and a vacuum.
    let script = format!(
        "while :; do pg_dump '{url}' >/dev/null; psql -qX '{url}' -c 'DROP INDEX IF EXISTS odd' \\
         -c 'CREATE INDEX CONCURRENTLY odd ON orders (n)' -c 'VACUUM FREEZE orders'; sleep 1; done",
        url = ward.cluster.url("postgres")
    );
    let _maintenance = Running::of(Command::new("sh").args(["-c", &script]));
    let pools = ["batch", "leader", "listener", "single", "pinged"];
    eventually(|| {
        let seen = |pool: &&str| ward.daemon.value("db_pool_checked_out", &[("pool", pool)]);
        pools.iter().all(|pool| seen(pool).is_some())
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let troubles = troubles(&ward);
        let output = ward.daemon.output();
        assert!(troubles.is_empty(), "after {:?}: {troubles:#?}\n{output}", began.elapsed());
        thread::sleep(Duration::from_millis(500));
    }
    let oldest = ward.daemon.value("db_pool_oldest_checkout_seconds", &[("pool", "listener")]);
    assert!(oldest > Some(60.0), "{oldest:?}");
    drop(applications);
}
