//! Put in `postgres_exporter`'s place: started with the same environment and flags, it shows what that
//! shows. Debian's exporter runs beside it on the same server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use poolwatch::collectors::ALL;
use poolwatch::demo::{Cluster, Process};

use crate::support::{Daemon, Metrics, Output, Series, eventually, free_port, try_request};

/// Families of Debian's version (0.11.1) that are not here, and why.
const NOT_HERE: &[(&str, &str)] = &[
    ("pg_exporter_scrapes_total", "of the exporter itself"),
    ("pg_scrape_collector_duration_seconds", "0.20.1 has other names of collectors, as here"),
    ("pg_scrape_collector_success", "0.20.1 has other names of collectors, as here"),
    ("pg_settings_extra_float_digits", "of the exporter's own session: its driver sets it"),
    // A column it did not know was shown untyped under its own name; 0.20.1 shows those it knows.
    ("pg_stat_database_active_time", "gone: pg_stat_database_active_time_seconds_total"),
    ("pg_stat_database_checksum_failures", "gone; here with _total"),
    ("pg_stat_database_checksum_last_failure", "gone"),
    ("pg_stat_database_idle_in_transaction_time", "gone; here in seconds, with _total"),
    ("pg_stat_database_session_time", "gone; here in seconds, with _total"),
    ("pg_stat_database_sessions", "gone; here with _total"),
    ("pg_stat_database_sessions_abandoned", "gone; here with _total"),
    ("pg_stat_database_sessions_fatal", "gone; here with _total"),
    ("pg_stat_database_sessions_killed", "gone; here with _total"),
];

/// Labels that every series of 0.11 has and those of 0.20.1 have not.
const LABELS_GONE: [&str; 1] = ["server"];

/// Families that stand still on a server at rest.
const STILL: [&str; 9] = [
    "pg_settings_",
    "pg_static",
    "pg_up",
    "pg_database_size_bytes",
    "pg_stat_database_deadlocks",
    "pg_stat_database_conflicts",
    "pg_stat_database_temp_",
    "pg_stat_archiver_failed_count",
    "pg_replication_slots_active",
];

/// The exporter, as a process. Dropping it ends it.
struct Exporter {
    _process: Process,
    address: SocketAddr,
}

impl Exporter {
    fn start(environment: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("prometheus-postgres-exporter");
        command.env_clear().envs(environment.iter().copied());
        command.arg(format!("--web.listen-address={address}"));
        let (mut process, output) = Output::of(&mut command);
        eventually(|| {
            assert!(process.ended().unwrap().is_none(), "{}", output.text());
            try_request(address, "GET", "/metrics", &[])
        });
        Self { _process: process, address }
    }

    fn metrics(&self) -> Metrics {
        let answer = try_request(self.address, "GET", "/metrics", &[]).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(&answer.text())
    }
}

/// A server at rest: nothing is written that nobody asks for.
fn server() -> Cluster {
    let builder = Cluster::builder().setting("shared_preload_libraries", "pg_stat_statements");
    let cluster = builder.setting("autovacuum", "off").start().unwrap();
    cluster
        .sql(
            "CREATE DATABASE app; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher;
             SELECT pg_create_physical_replication_slot('standby')",
        )
        .unwrap();
    cluster
        .sql_in(
            "app",
            "CREATE EXTENSION pg_stat_statements;
             CREATE TABLE post (id serial PRIMARY KEY, title text);
             INSERT INTO post (title) SELECT 'x' FROM generate_series(1, 1000); ANALYZE post; CHECKPOINT",
        )
        .unwrap();
    cluster
}

/// The daemon, once it has read everything that these flags leave.
fn daemon(environment: &[(&str, &str)], flags: &[&str]) -> Daemon {
    let builder = Daemon::with_settings("");
    let builder = environment.iter().fold(builder, |b, (name, value)| b.variable(name, value));
    let daemon = flags.iter().fold(builder, |b, flag| b.argument(flag)).start();
    let is_off = |name: &str| flags.contains(&format!("--no-collector.{name}").as_str());
    let read = ALL.iter().filter(|one| one.enabled && !is_off(one.name));
    let read: Vec<_> = read.map(|one| format!("primary/{}", one.name)).collect();
    eventually(|| {
        let metrics = daemon.metrics();
        let is_up = |source: &String| {
            metrics.value("poolwatch_source_up", &[("source", source)]) == Some(1.0)
        };
        read.iter().all(is_up)
    });
    daemon
}

/// NULL is NaN there and absent here; what belongs to no database is shown no more by 0.20.1; and
/// nobody is in a template.
fn is_here(series: &Series) -> bool {
    let absent = NOT_HERE.iter().any(|(name, _)| series.name == *name);
    let of_none = series.labels.get("datid").is_some_and(|datid| datid == "0");
    let activity = series.name.starts_with("pg_stat_activity_");
    let of_template = activity && series.labels["datname"].starts_with("template");
    let shown = !absent && !of_none && !of_template && !series.value.is_nan();
    series.name.starts_with("pg_") && shown
}

/// An empty label is as good as none.
fn labels(series: &Series) -> BTreeMap<&str, &str> {
    let kept = series
        .labels
        .iter()
        .filter(|(name, value)| !value.is_empty() && !LABELS_GONE.contains(&name.as_str()));
    kept.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// What the exporter shows and poolwatch does not, or shows otherwise. There may be more labels
/// here, as 0.20.1 has more.
fn differences(theirs: &Metrics, ours: &Metrics) -> Vec<String> {
    let wrong = theirs.series.iter().filter(|series| is_here(series)).filter_map(|series| {
        let wanted = labels(series);
        let pairs: Vec<_> = wanted.iter().map(|(name, value)| (*name, *value)).collect();
        let values: Vec<_> = ours.all(&series.name, &pairs).map(|found| found.value).collect();
        let still = STILL.iter().any(|name| series.name.starts_with(name));
        let same = |value: &f64| (value - series.value).abs() <= 1e-9 * series.value.abs();
        match &values[..] {
            [] => Some(format!("lacks {} {wanted:?}", series.name)),
            values if still && !values.iter().all(same) => {
                Some(format!("{} {wanted:?} is {values:?}, not {}", series.name, series.value))
            }
            _ => None,
        }
    });
    wrong.collect()
}

#[test]
fn with_the_exporters_environment_it_shows_what_the_exporter_shows() {
    let cluster = server();
    let url = format!("{}&sslmode=disable", cluster.url_as("watcher", "app"));
    let environment = [("DATA_SOURCE_NAME", url.as_str())];
    let exporter = Exporter::start(&environment);
    let daemon = daemon(&environment, &[]);
    let theirs = exporter.metrics();
    assert!(theirs.series.iter().filter(|series| is_here(series)).count() > 300, "{}", theirs.text);
    let wrong = differences(&theirs, &daemon.metrics());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_source_in_parts_and_the_exporters_flags_are_understood() {
    let cluster = server();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "of no use\n").unwrap();
    let uri = format!("/app?host={}&sslmode=disable", cluster.folder().display());
    let environment = [
        ("DATA_SOURCE_URI", uri.as_str()),
        ("DATA_SOURCE_USER", "watcher"),
        ("DATA_SOURCE_PASS_FILE", password.to_str().unwrap()),
    ];
    // 0.11.1 itself cannot take the parts when the server has no port.
    let url = format!("{}&sslmode=disable", cluster.url_as("watcher", "app"));
    let exporter = Exporter::start(&[("DATA_SOURCE_NAME", &url)]);
    let flags = [
        "--no-collector.locks",
        "--collector.process_idle",
        "--no-collector.statio_user_tables",
        "--collector.stat_statements",
        "--collector.stat_statements.include_query",
        "--collector.stat_statements.limit=5",
        "--collector.stat_statements.query_length=20",
        "--no-collector.xlog_location",
    ];
    let daemon = daemon(&environment, &flags);
    let metrics = daemon.metrics();
    let has = |name: &str| metrics.all(name, &[]).next().is_some();
    assert!(!has("pg_locks_count") && !has("pg_statio_user_tables_heap_blocks_read"));
    assert!(has("pg_process_idle_seconds_count") && has("pg_stat_user_tables_seq_scan"));
    let texts: Vec<_> = metrics.all("pg_stat_statements_query_id", &[]).collect();
    assert!(!texts.is_empty() && texts.len() <= 5, "{texts:?}");
    assert!(texts.iter().all(|series| series.labels["query"].chars().count() <= 20), "{texts:?}");
    let wrong = differences(&exporter.metrics(), &metrics);
    let locks = |line: &String| line.starts_with("lacks pg_locks_count ");
    assert!(wrong.iter().all(locks) && !wrong.is_empty(), "{wrong:#?}");
}
