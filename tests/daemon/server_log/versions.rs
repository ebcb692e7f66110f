//! The log of each supported version is understood.

use std::path::Path;

use poolwatch::exposition::Chunk;
use poolwatch::metric::Family;
use poolwatch::sources::server_log::{ServerLog, Settings};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{cluster_of, folder, run, run_extended};
use crate::collectors::servers;
use crate::support::Metrics;

/// The figures of a log: statements, errors, and messages that were not understood.
async fn counted(log: &mut ServerLog) -> [f64; 3] {
    let families = log.read().await.unwrap().families;
    let family = |name: &str| families.iter().find(|family| family.name() == name).unwrap();
    [
        statements(family("db_statement_duration_seconds")),
        family("db_statement_errors_total").total().unwrap_or(0.0),
        family("poolwatch_log_messages_rejected_total").total().unwrap(),
    ]
}

fn statements(family: &Family) -> f64 {
    let chunk = Chunk::encode([family]);
    let text = String::from_utf8(chunk.plain().to_vec()).unwrap();
    let labels = [("datname", "app")];
    let name = "db_statement_duration_seconds_count";
    Metrics::parse(&text).value(name, &labels).unwrap_or(0.0)
}

async fn is_understood(major: u32, binaries: &Path) {
    let (all, names) = if major < 15 {
        ("stderr,csvlog", &["server.log", "server.csv"][..])
    } else {
        ("stderr,csvlog,jsonlog", &["server.log", "server.csv", "server.json"][..])
    };
    let cluster = cluster_of(Some(binaries), all, &[]);
    let open = |name: &&str| {
        let path = Some(folder(&cluster).join(name).display().to_string());
        Settings { path, ..Settings::default() }.open(None, None).unwrap()
    };
    let mut logs: Vec<ServerLog> = names.iter().map(open).collect();
    for log in &mut logs {
        assert_eq!(counted(log).await, [0.0; 3]);
    }
    run(&cluster, 5);
    run_extended(&cluster, &[0.001, 0.002]).await;
    cluster.sql_in("app", "SELECT 1 / 0").unwrap_err();
    for (log, name) in logs.iter_mut().zip(names) {
        let mut sample = [0.0; 3];
        for _ in 0..3000 {
            sample = counted(log).await;
            if sample == [7.0, 1.0, 0.0] {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(sample, [7.0, 1.0, 0.0], "PostgreSQL {major}, {name}");
    }
}

/// One session waits for another's lock until it has it, another gives up.
async fn waits_are_understood(major: u32, binaries: &Path) {
    let settings = [("log_lock_waits", "on"), ("deadlock_timeout", "50ms")];
    let cluster = cluster_of(Some(binaries), "stderr,csvlog", &settings);
    let open = |name| {
        let path = Some(folder(&cluster).join(name).display().to_string());
        Settings { path, ..Settings::default() }.open(None, None).unwrap()
    };
    let mut logs = ["server.log", "server.csv"].map(open);
    for log in &mut logs {
        assert_eq!(waited(log).await, [0.0; 3]);
    }
    cluster.sql_in("app", "CREATE TABLE held (n int)").unwrap();
    let connect = || async { PgConnection::connect(&cluster.url("app")).await.unwrap() };
    let (mut holder, mut waiter, mut impatient) =
        (connect().await, connect().await, connect().await);
    holder.execute("BEGIN; LOCK TABLE held").await.unwrap();
    impatient.execute("SET lock_timeout = '150ms'").await.unwrap();
    let gives_up = async { drop(impatient.execute("SELECT * FROM held").await.unwrap_err()) };
    let waits = async { waiter.execute("SELECT * FROM held").await.unwrap() };
    let holds = async { holder.execute("SELECT pg_sleep(0.4); COMMIT").await.unwrap() };
    let _ = tokio::join!(gives_up, waits, holds);
    for (log, name) in logs.iter_mut().zip(["server.log", "server.csv"]) {
        let mut sample = [0.0; 3];
        for _ in 0..3000 {
            sample = waited(log).await;
            if sample[1] > 0.0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(sample[..2], [2.0, 1.0], "PostgreSQL {major}, {name}");
        assert!(sample[2] > 0.2, "{} s, PostgreSQL {major}, {name}", sample[2]);
    }
}

/// The waits that were counted, those that had their lock in the end, and the seconds they waited.
async fn waited(log: &mut ServerLog) -> [f64; 3] {
    let families = log.read().await.unwrap().families;
    let chunk = Chunk::encode(families.iter());
    let metrics = Metrics::parse(std::str::from_utf8(&chunk.plain()).unwrap());
    let app = ("datname", "app");
    let value = |name: &str, labels: &[_]| metrics.value(name, labels).unwrap_or(0.0);
    [
        value("db_lock_waits_total", &[app, ("locktype", "relation")]),
        value("db_lock_wait_duration_seconds_count", &[app]),
        value("db_lock_wait_duration_seconds_sum", &[app]),
    ]
}

#[tokio::test]
async fn every_version_tells_how_long_sessions_wait_for_locks() {
    for (major, binaries) in servers::all() {
        waits_are_understood(*major, binaries).await;
    }
}

#[tokio::test]
async fn every_versions_log_is_understood() {
    for (major, binaries) in servers::all() {
        is_understood(*major, binaries).await;
    }
}
