//! Snapshots for the tests of whatever shows one.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::advice::{Advice, Severity};
use crate::latency::{BOUNDS, Estimate, Histogram, Interval};
use crate::reading::{
    Figures, Finding, Holders, LoggedTimes, MaxOverflow, Origin, Pool, Sessions, Statement,
    StatementStats, StatementTimes, Timings, Top, Totals, Worker,
};
use crate::snapshot::Snapshot;
use crate::state::{DatabaseState, Moment, PoolState, RecentPool, SourceState, Thresholds};
use crate::statement::Text;

/// A moment: 2026-01-31 23:59:59.500 UTC.
pub(in crate::http) static NOW: LazyLock<Moment> = LazyLock::new(|| {
    Moment::now().at(SystemTime::UNIX_EPOCH + Duration::from_millis(1_769_903_999_500))
});

/// A snapshot taken now, of nothing, by a daemon that runs for an hour.
pub(in crate::http) fn empty() -> Snapshot {
    let mut snapshot = Snapshot::empty(Thresholds::default(), Duration::from_secs(10));
    snapshot.started_at = *NOW - Duration::from_hours(1);
    snapshot.taken_at = Some(*NOW);
    snapshot
}

/// One worker's pool of 5 and 15 more.
pub(in crate::http) fn worker(pid: u32, checked_out: u64) -> Worker {
    let figures = Figures {
        size: Some(5),
        max_overflow: Some(MaxOverflow::Limited(15)),
        checked_in: Some(5_u64.saturating_sub(checked_out)),
        checked_out: Some(checked_out),
        overflow: Some(checked_out.saturating_sub(5)),
        ..Figures::default()
    };
    let age = Some(Duration::from_millis(400));
    Worker { pid: Some(pid), app: Some("reddit-bot".into()), age, figures, ..Worker::default() }
}

/// A pool, judged.
pub(in crate::http) fn pool(name: &str, origin: Origin, workers: Vec<Worker>) -> PoolState {
    let pool = Pool {
        name: name.into(),
        origin,
        worker_count: Some(workers.len() as u64),
        workers,
        totals: Totals::default(),
        timings: Timings::default(),
        holders: Holders::default(),
        targets: Vec::new(),
    };
    PoolState::judge(pool, RecentPool::default(), &Thresholds::default())
}

/// A database that answers, or not.
pub(in crate::http) fn database(name: &str, up: Option<bool>) -> DatabaseState {
    let error = (up == Some(false)).then(|| "connection refused".into());
    let probe = (up == Some(true)).then(|| Duration::from_micros(850));
    DatabaseState { name: name.into(), up, probe, error, ..DatabaseState::default() }
}

fn logged() -> LoggedTimes {
    let mut recent = Histogram::new(BOUNDS);
    recent.observe(0.2);
    let from = Some(0.1);
    LoggedTimes { database: "app".into(), recent, counted_from: from, complete_from: from }
}

/// A snapshot with something of everything, in which names try to break out of HTML.
pub(in crate::http) fn full() -> Snapshot {
    let mut snapshot = empty();
    snapshot.pools = vec![
        pool("web<b>", Origin::Workers, vec![worker(812, 19), worker(813, 2)]),
        pool("inferred", Origin::Activity, vec![Worker::default()]),
    ];
    let mut primary = database("primary", Some(true));
    primary.sessions =
        Some(Sessions { server: "primary".into(), active: 3, ..Sessions::default() });
    let mut recent = Estimate::default();
    let one = Interval { calls: 1, sum: 0.09, highest: 1.0, ..Interval::default() };
    recent.add(&one);
    primary.statements = vec![StatementTimes { database: "app".into(), recent, logged: None }];
    let statement = Statement {
        database: "app".into(),
        query_id: -7,
        text: Text::read("SELECT 'secret'", 100).into(),
        stats: StatementStats { calls: 4, seconds: 1.0, ..StatementStats::default() },
        ..Statement::default()
    };
    primary.top =
        Some(Top { seconds: Some(300.0), statements: vec![statement], ..Top::default() }.into());
    primary.logged = vec![logged()];
    snapshot.databases = vec![primary, database("replica", Some(false))];
    snapshot.sources = vec![SourceState {
        kind: "collector",
        server: None,
        name: "pgbouncer:<script>".into(),
        interval: std::time::Duration::from_secs(1),
        up: Some(false),
        duration: Some(Duration::from_millis(3)),
        failures: 4,
        last_success: Some(NOW.calendar - Duration::from_secs(30)),
        error: Some("no route to host".into()),
        remedy: None,
        failing_since: None,
        failed_until: None,
        unseen: Vec::new(),
    }];
    snapshot.advice = vec![Advice {
        rule: "pool_usage",
        severity: Severity::Critical,
        subject: "web<b>".into(),
        message: "19 of 20 connections are checked out".into(),
        remedy: "look for sessions that are not closed".into(),
        explained_by: None,
        observed: None,
        sql: Vec::new(),
        tables: Vec::new(),
    }];
    snapshot.findings = vec![Finding {
        pool: "web<b>".into(),
        kind: "n_plus_one".into(),
        sql: "SELECT 1 WHERE a < ?".into(),
        count: 101,
        rows: 101,
        location: None,
    }];
    snapshot
}

/// A body as a client reads it.
pub(in crate::http) fn json(body: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(body).unwrap()
}

/// Returns true if there is a null anywhere: absent is absent.
pub(in crate::http) fn has_null(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::Array(items) => items.iter().any(has_null),
        serde_json::Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}
