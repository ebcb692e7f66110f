//! Unusual servers: with functions missing, extensions of an earlier version, a slow disk, text
//! in no encoding; and several at once.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poolwatch::collectors::Collector;
use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;
use poolwatch::metric::Family;
use poolwatch::sources::statements::{Excluded, Statements};

use super::{database, read, read_all, servers};
use crate::support::{Daemon, eventually};

/// What managed servers refuse, and what each returns.
const REFUSED: [(&str, &str); 4] = [
    ("pg_last_wal_receive_lsn()", "pg_lsn"),
    ("pg_last_wal_replay_lsn()", "pg_lsn"),
    ("pg_last_xact_replay_timestamp()", "timestamptz"),
    ("pg_ls_waldir(OUT name text, OUT size int8, OUT modification timestamptz)", "SETOF record"),
];

/// Puts another function in the place of one of the server's own, for all who name it.
fn replace(cluster: &Cluster, function: &str, returns: &str, body: &str) {
    let signature = function.split_once("(OUT").map_or(function, |(name, _)| name);
    let signature = if signature.contains('(') { signature } else { &format!("{signature}()") };
    let name = signature.split_once('(').unwrap().0;
    let sql = format!(
        "SET allow_system_table_mods = on;
         ALTER FUNCTION pg_catalog.{signature} RENAME TO original_{name};
         CREATE FUNCTION pg_catalog.{function} RETURNS {returns} LANGUAGE plpgsql AS $$
             BEGIN {body} END $$"
    );
    cluster.sql(&sql).unwrap();
}

fn up(daemon: &Daemon, collector: &str) -> Option<f64> {
    let source = format!("primary/{collector}");
    daemon.value("poolwatch_source_up", &[("source", &source)])
}

#[tokio::test]
async fn functions_that_a_server_refuses_hide_nothing_else() {
    let cluster = Cluster::builder().start().unwrap();
    let url = cluster.url("postgres");
    let (before, errors) = read_all(&url).await;
    assert!(errors.is_empty(), "{errors:?}");
    for (function, returns) in REFUSED {
        let refuse = "RAISE feature_not_supported USING MESSAGE = 'not supported here';";
        replace(&cluster, function, returns, refuse);
    }
    // It says that it is a replica, of which those functions are asked.
    replace(&cluster, "pg_is_in_recovery()", "bool", "RETURN true;");
    let (after, errors) = read_all(&url).await;
    let complaining: BTreeSet<_> =
        errors.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(complaining, BTreeSet::from(["replication", "wal"]), "{errors:#?}");
    assert!(errors.iter().all(|line| line.contains("the server refuses")), "{errors:?}");
    let lost: Vec<_> = before.difference(&after).collect();
    let refused = ["pg_replication_lag_seconds", "pg_wal_segments", "pg_wal_size_bytes"];
    assert_eq!(lost, refused, "of one that fails the rest is shown");
}

/// Statements with bytes that are no text, and an application that says so of itself.
fn leave_bytes(cluster: &Cluster) {
    cluster.sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0").unwrap();
    let odd = "DO $$ BEGIN EXECUTE E'SELECT 1 AS \"caf\\xe9\"'; END $$";
    cluster.sql_in("bytes", odd).unwrap();
}

#[tokio::test]
async fn a_statement_in_no_encoding_hides_no_figures() {
    let builder = Cluster::builder().setting("shared_preload_libraries", "pg_stat_statements");
    let cluster = builder.setting("pg_stat_statements.track", "all").start().unwrap();
    cluster.sql("CREATE EXTENSION pg_stat_statements").unwrap();
    leave_bytes(&cluster);
    cluster.sql_in("bytes", "CREATE EXTENSION pg_stat_statements").unwrap();
    let statement = "SELECT query FROM pg_stat_statements";
    assert!(cluster.sql(statement).is_err(), "else this test proves nothing");
    for name in ["postgres", "bytes"] {
        let url = cluster.url(name);
        let mut timed = Statements::open(database(&url), Excluded::default(), 0);
        timed.read().await.unwrap();
        cluster.sql("SELECT pg_sleep(0.01)").unwrap();
        assert!(!timed.read().await.unwrap().families[0].is_empty(), "{name}");
        let (names, errors) = read_all(&url).await;
        assert!(errors.is_empty(), "{name}: {errors:?}");
        assert!(names.contains("pg_stat_statements_calls_total"), "{name}");
    }
}

#[tokio::test]
async fn an_extension_older_than_its_server_is_read() {
    for (major, binaries) in servers::all() {
        let builder = Cluster::builder().binaries(binaries);
        let builder = builder.setting("shared_preload_libraries", "pg_stat_statements");
        let cluster = builder.start().unwrap();
        let listed = "SELECT version FROM pg_available_extension_versions
                       WHERE name = 'pg_stat_statements' AND string_to_array(version, '.')::int[] >= '{1,4}'";
        let listed = cluster.sql(listed).unwrap();
        assert!(listed.lines().count() >= 4, "PostgreSQL {major} has only {listed}");
        for version in listed.lines() {
            let create = format!("CREATE EXTENSION pg_stat_statements VERSION '{version}'");
            cluster.sql(&create).unwrap();
            let database = database(&cluster.url("postgres"));
            let collector = Collector::named(Collector::STATEMENTS).unwrap();
            let (families, error) = read(&database, collector).await;
            assert_eq!(error, None, "PostgreSQL {major}, {version}");
            let shown = |family: &Family| family.name() == "pg_stat_statements_seconds_total";
            assert!(families.iter().any(shown), "PostgreSQL {major}, {version}");
            let timed = Statements::open(database, Excluded::default(), 0).read().await;
            assert!(timed.unwrap().trouble.is_none(), "PostgreSQL {major}, {version}");
            cluster.sql("DROP EXTENSION pg_stat_statements").unwrap();
        }
    }
}

#[test]
fn a_slow_disk_costs_one_waiting_query() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE DATABASE other; CREATE TABLE t (n int)").unwrap();
    for function in ["pg_database_size(oid)", "pg_table_size(regclass)"] {
        replace(&cluster, function, "bigint", "PERFORM pg_sleep(600); RETURN 1;");
    }
    let settings = format!(
        "servers: {{primary: {{url: '{}', statement_timeout: 2s}}}}\n\
         sampling: {{server: 1s, tables: 1s}}\n",
        cluster.url("postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%_size(%'
                      AND state = 'active' AND application_name = 'poolwatch'";
    eventually(|| cluster.sql(waiting).unwrap() == "1");
    let probes = || daemon.value("db_probe_duration_seconds_count", &[]).unwrap();
    let before = probes();
    eventually(|| {
        let queries: u32 = cluster.sql(waiting).unwrap().parse().unwrap();
        assert!(queries <= 1, "{queries} wait for the disk");
        up(&daemon, "database_size") == Some(0.0)
            && up(&daemon, "stat_user_tables_size") == Some(0.0)
    });
    assert!(probes() > before, "others wait for the disk too");
    eventually(|| up(&daemon, "stat_user_tables") == Some(1.0));
    let metrics = daemon.metrics();
    assert!(metrics.all("pg_database_size_bytes", &[]).next().is_none());
    let failed: Vec<_> =
        metrics.all("poolwatch_source_up", &[]).filter(|s| s.value == 0.0).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
}

#[test]
fn a_session_that_the_server_leaves_hanging_stops_nothing_else() {
    let cluster = Cluster::builder().start().unwrap();
    let settings = format!(
        "servers: {{primary: {{url: '{}', statement_timeout: 1s}}}}\n\
         sampling: {{server: 1s, tables: 1s}}\n",
        cluster.url("postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    let own = "SELECT pid FROM pg_stat_activity WHERE application_name = 'poolwatch'";
    eventually(|| cluster.sql(own).unwrap().lines().count() == 2);
    // At rest, and still so once it was stopped: then it holds nothing that others need.
    let resting = "state = 'idle' AND wait_event = 'ClientRead'";
    let stopped = eventually(|| {
        let longest = format!("{own} AND {resting} ORDER BY state_change LIMIT 1");
        let pid = Pid::from_raw(cluster.sql(&longest).unwrap().parse().ok()?);
        kill(pid, Signal::SIGSTOP).unwrap();
        let still = cluster.sql(&format!("{own} AND {resting} AND pid = {pid}")).unwrap();
        if still.is_empty() {
            kill(pid, Signal::SIGCONT).unwrap();
            return None;
        }
        Some(pid)
    });
    let failures = |metrics: &crate::support::Metrics| {
        metrics.all("poolwatch_source_failures_total", &[]).map(|series| series.value).sum::<f64>()
    };
    eventually(|| failures(&daemon.metrics()) > 0.0);
    // The session is given up, another takes its place, and everything is read again.
    eventually(|| {
        let metrics = daemon.metrics();
        let mut all = metrics.all("poolwatch_source_up", &[]);
        metrics.value("pg_up", &[]) == Some(1.0) && all.all(|series| series.value == 1.0)
    });
    let sessions = cluster.sql(own).unwrap().lines().count();
    kill(stopped, Signal::SIGCONT).unwrap();
    assert!(sessions <= 3, "{sessions} sessions, of which one hangs");
}

#[test]
fn several_servers_are_told_apart_and_one_that_is_down_hides_no_other() {
    let mut clusters: Vec<_> = (0..2).map(|_| Cluster::builder().start().unwrap()).collect();
    let mut settings = "servers:\n".to_owned();
    for (at, cluster) in clusters.iter().enumerate() {
        writeln!(settings, "  server{at}: {{url: '{}'}}", cluster.url("postgres")).unwrap();
    }
    settings += "sampling: {server: 1s, tables: 1s}\n";
    let daemon = Daemon::with_settings(&settings).start();
    let shown = |server: &str, name: &str| {
        daemon.value(name, &[("server", server), ("datname", "postgres")])
    };
    let name = "pg_stat_database_numbackends";
    eventually(|| shown("server0", name).is_some() && shown("server1", name).is_some());
    let metrics = daemon.metrics();
    let of_servers = metrics.series.iter().filter(|s| s.name.starts_with("pg_"));
    let without: BTreeSet<_> = of_servers
        .filter(|s| !s.labels.contains_key("server"))
        .filter(|s| !s.name.starts_with("pg_scrape_") && !s.name.starts_with("pg_exporter_"))
        .map(|s| s.name.as_str())
        .collect();
    assert!(without.is_empty(), "{without:?}");
    clusters[1].stop(Stop::Fast).unwrap();
    eventually(|| daemon.value("pg_up", &[("server", "server1")]) == Some(0.0));
    eventually(|| shown("server1", name).is_none());
    assert_eq!(daemon.value("pg_up", &[("server", "server0")]), Some(1.0));
    let before = daemon.value(
        "poolwatch_source_last_success_timestamp_seconds",
        &[("source", "server0/stat_database")],
    );
    eventually(|| {
        let source = [("source", "server0/stat_database")];
        daemon.value("poolwatch_source_last_success_timestamp_seconds", &source) > before
    });
    assert!(shown("server0", name).is_some());
}

/// A role, a database, a table and an index whose names are no text in any encoding.
#[test]
fn names_in_no_encoding_hide_nothing() {
    let builder = Cluster::builder().setting("shared_preload_libraries", "pg_stat_statements");
    let cluster = builder.start().unwrap();
    cluster.sql("CREATE EXTENSION pg_stat_statements").unwrap();
    cluster.sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0").unwrap();
    let name = r#""caf\xe9""#;
    let statements = [
        format!("CREATE ROLE {name} LOGIN"),
        format!("CREATE DATABASE {name} TEMPLATE template0 OWNER {name}"),
        format!("CREATE TABLE {name} ({name} int)"),
        format!("CREATE INDEX {name}_index ON {name} ({name})").replace("\"_index", "_index\""),
        format!("INSERT INTO {name} SELECT generate_series(1, 10000); ANALYZE {name}"),
        format!("SET ROLE {name}; SELECT 1 AS {name}; RESET ROLE"),
    ];
    for statement in statements {
        for one in statement.split("; ") {
            cluster.sql_in("bytes", &format!("SELECT E'{one}' \\gexec")).unwrap();
        }
    }
    for database in ["postgres", "bytes"] {
        let settings = format!(
            "servers: {{primary: {{url: '{}'}}}}\nsampling: {{server: 1s, tables: 1s, statements: 1s}}\n",
            cluster.url(database)
        );
        let daemon = Daemon::with_settings(&settings).start();
        let read = |source: &str| {
            let name = "poolwatch_source_last_success_timestamp_seconds";
            daemon.value(name, &[("source", source)]).is_some()
        };
        let sources =
            ["primary/other_databases", "primary/index_catalogue", "primary/database_size"];
        eventually(|| sources.iter().all(|source| read(source)) || is_failing(&daemon));
        let metrics = daemon.metrics();
        let failed: Vec<_> =
            metrics.all("poolwatch_source_up", &[]).filter(|one| one.value == 0.0).collect();
        assert!(failed.is_empty(), "{database}: {failed:?}\n{}", daemon.output());
        let odd = [("datname", "caf\u{fffd}")];
        assert!(metrics.all("pg_database_size_bytes", &odd).next().is_some(), "{database}");
    }
}

fn is_failing(daemon: &Daemon) -> bool {
    daemon.metrics().all("poolwatch_source_up", &[]).any(|one| one.value == 0.0)
}
