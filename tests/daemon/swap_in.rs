//! Put in `postgres_exporter`'s place: started with the same environment and flags, it shows what that
//! shows, on each version of `PostgreSQL`. Debian's exporter, and a newer one where that is old, run
//! beside it on the same server.

use poolwatch::collectors::ALL;
use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::ClusterBuilder;

use crate::collectors::servers;
use crate::support::exporter::{self, Exporter};
use crate::support::{Daemon, eventually, version};

/// A server at rest: nothing is written that nobody asks for.
fn server(builder: ClusterBuilder) -> Cluster {
    let builder = builder.setting("shared_preload_libraries", "pg_stat_statements");
    let cluster = builder.setting("autovacuum", "off").start().unwrap();
    cluster
        .sql(
            r#"CREATE DATABASE app; CREATE DATABASE "an ""other";
             CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; ALTER ROLE watcher SET work_mem = '7MB';
             CREATE ROLE limited CONNECTION LIMIT 7; ALTER DATABASE "an ""other" CONNECTION LIMIT 3;
             SELECT pg_create_physical_replication_slot('standby');
             SELECT pg_create_physical_replication_slot('reserved', true)"#,
        )
        .unwrap();
    cluster
        .sql_in(
            "app",
            r#"CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_buffercache;
             CREATE TABLE post (id serial PRIMARY KEY, title text);
             INSERT INTO post (title) SELECT repeat('x', 3000) FROM generate_series(1, 1000);
             CREATE SCHEMA "an ""other"; CREATE TABLE "an ""other".post (id int);
             CREATE MATERIALIZED VIEW title AS SELECT title FROM post;
             CREATE TABLE parted (id int) PARTITION BY RANGE (id); CREATE INDEX ON parted (id);
             CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100);
             INSERT INTO parted VALUES (1), (2); UPDATE post SET id = -id WHERE id % 3 = 0;
             DELETE FROM post WHERE id % 7 = 0; VACUUM post; ANALYZE; CHECKPOINT"#,
        )
        .unwrap();
    cluster
}

/// The daemon, once it has read everything that these flags leave.
fn daemon(environment: &[(&str, &str)], flags: &[String]) -> Daemon {
    let builder = Daemon::with_settings("sampling: {server: 1s, statements: 1s, tables: 1s}");
    let builder = environment.iter().fold(builder, |b, (name, value)| b.variable(name, value));
    let daemon = flags.iter().fold(builder, |b, flag| b.argument(flag)).start();
    let given = |flag: &str| flags.iter().any(|one| one == flag);
    let is_off = |name: &str| {
        given(&format!("--no-collector.{name}"))
            || name == "settings" && given("--disable-settings-metrics")
    };
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

#[test]
fn with_the_exporters_environment_it_shows_what_the_exporter_shows() {
    for (major, binaries) in servers::all() {
        let cluster = server(Cluster::builder().binaries(binaries));
        let url = format!("{}&sslmode=disable", cluster.url_as("watcher", "app"));
        let environment = [("DATA_SOURCE_NAME", url.as_str())];
        exporter::each(|program| {
            let flags = exporter::everything_on(program);
            let exporter = Exporter::start(program, &environment, &flags);
            let daemon = daemon(&environment, &exporter::of_daemon(&flags));
            let shown = exporter.metrics().series.len();
            assert!(shown > 500, "PostgreSQL {major}: {} shows {shown} series", exporter.version);
            let wrong = exporter.differences(&daemon, true);
            assert!(wrong.is_empty(), "PostgreSQL {major} beside {}: {wrong:#?}", exporter.version);
        });
    }
}

#[test]
fn a_source_in_parts_and_the_exporters_flags_are_understood() {
    let cluster = server(Cluster::builder());
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "of no use\n").unwrap();
    let uri = format!(":5432/app?host={}&sslmode=disable", cluster.folder().display());
    let url = format!("{}&sslmode=disable", cluster.url_as("watcher", "app"));
    let environment = [
        ("DATA_SOURCE_URI", uri.as_str()),
        ("DATA_SOURCE_USER", "watcher"),
        ("DATA_SOURCE_PASS_FILE", password.to_str().unwrap()),
    ];
    let flags = [
        "--no-collector.locks",
        "--collector.process_idle",
        "--no-collector.statio_user_tables",
        "--collector.stat_statements",
        "--collector.stat_statements.include_query",
        "--collector.stat_statements.limit=5",
        "--collector.stat_statements.query_length=20",
        "--no-collector.xlog_location",
        "--disable-settings-metrics",
        "--collection-timeout=30s",
    ];
    let flags = flags.map(str::to_owned);
    let daemon = daemon(&environment, &flags);
    let metrics = daemon.metrics();
    let has = |name: &str| metrics.all(name, &[]).next().is_some();
    assert!(!has("pg_locks_count") && !has("pg_statio_user_tables_heap_blocks_read"));
    assert!(!has("pg_settings_max_connections") && has("pg_stat_user_tables_seq_scan"));
    let idle = ("source", "primary/process_idle");
    eventually(|| daemon.value("poolwatch_source_up", &[idle]) == Some(1.0));
    let texts: Vec<_> = metrics.all("pg_stat_statements_query_id", &[]).collect();
    assert!(!texts.is_empty() && texts.len() <= 5, "{texts:?}");
    assert!(texts.iter().all(|series| series.labels["query"].chars().count() <= 20), "{texts:?}");
    exporter::each(|program| {
        // 0.11.1 has none of these collectors to switch.
        if version(program).starts_with("0.11") {
            return;
        }
        // Five statements are not the same five; and half of 0.19.1 cannot take that password's spaces.
        let flags = exporter::known_flags(program, &flags).into_iter();
        let flags: Vec<_> = flags.filter(|flag| !flag.contains("stat_statements")).collect();
        let exporter = Exporter::start(program, &[("DATA_SOURCE_NAME", &url)], &flags);
        let wrong = exporter.differences(&daemon, true);
        assert!(wrong.is_empty(), "beside {}: {wrong:#?}", exporter.version);
    });
}
