//! Applications that are odd and healthy: nothing is told at warning or above.

use std::path::Path;
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
    "rollout",
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

/// What a standby, a subscriber and a backup have open for as long as they run.
fn replication(ward: &Ward, folder: &Path) -> [Running; 3] {
    let url = ward.cluster.url("postgres");
    let backups = format!(
        "while :; do pg_basebackup -d '{url}' -c fast -X none -F t -D - >/dev/null; sleep 5; done"
    );
    let slot = ["--slot=odd", "--create-slot", "--start", "-f", "/dev/null"];
    [
        Running::of(Command::new("pg_receivewal").args(["-d", &url, "-D"]).arg(folder)),
        Running::of(Command::new("pg_recvlogical").args(["-d", &url]).args(slot)),
        Running::of(Command::new("sh").args(["-c", &backups])),
    ]
}

/// So many transactions that the server vacuums by itself, to prevent a wraparound.
fn burn(ward: &Ward) {
    let burst = "DO $$ BEGIN
        FOR n IN 1..150000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$";
    ward.cluster.sql(burst).unwrap();
}

/// Whether the server has vacuumed a table that nobody changes, and two read its log.
fn is_odd(ward: &Ward) -> bool {
    let sql = "SELECT (SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'pace')
        AND (SELECT count(*) >= 2 FROM pg_stat_replication)";
    ward.cluster.sql(sql).unwrap() == "t"
}

#[test]
fn odd_applications_are_told_nothing() {
    // As declared: a batch job, and holds that last for the others are told after 20 s.
    let thresholds = "thresholds: {held_too_long: 20s, pools: {batch: {held_too_long: 8h}}}";
    let server = [
        ("max_connections", "200"),
        ("wal_level", "logical"),
        ("autovacuum_freeze_max_age", "100000"),
        ("autovacuum_naptime", "1s"),
    ];
    let ward = Ward::new(&server, thresholds);
    let applications: Vec<_> = ODD.iter().map(|case| ward.start(case)).collect();
    // Beside them: a dump again and again, an index that is built, and a vacuum.
    let script = format!(
        "while :; do pg_dump '{url}' >/dev/null; psql -qX '{url}' -c 'DROP INDEX IF EXISTS odd' \\
         -c 'CREATE INDEX CONCURRENTLY odd ON orders (n)' -c 'VACUUM FREEZE orders'; sleep 5; done",
        url = ward.cluster.url("postgres")
    );
    let _maintenance = Running::of(Command::new("sh").args(["-c", &script]));
    let received = tempfile::tempdir().unwrap();
    let _standbys = replication(&ward, received.path());
    let pools = ["batch", "leader", "listener", "single", "pinged", "shop"];
    eventually(|| {
        let seen = |pool: &&str| ward.daemon.value("db_pool_checked_out", &[("pool", pool)]);
        pools.iter().all(|pool| seen(pool).is_some())
    });
    burn(&ward);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let troubles = troubles(&ward);
        let output = ward.daemon.output();
        assert!(troubles.is_empty(), "after {:?}: {troubles:#?}\n{output}", began.elapsed());
        thread::sleep(Duration::from_millis(500));
    }
    let oldest = ward.daemon.value("db_pool_oldest_checkout_seconds", &[("pool", "listener")]);
    assert!(oldest > Some(60.0), "{oldest:?}");
    eventually(|| is_odd(&ward));
    drop(applications);
}
