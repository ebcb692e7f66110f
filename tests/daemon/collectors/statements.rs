//! Sources with statements of their own: each version takes all of them, and on a server newer than any that was tested
//! what is missing costs no more than itself.

use std::collections::BTreeMap;

use poolwatch::demo::Cluster;
use poolwatch::indexes::Catalogue;
use poolwatch::reading::Reading;
use poolwatch::sources::Source;
use poolwatch::sources::activity::{self, Activity};
use poolwatch::sources::database_sizes::DatabaseSizes;
use poolwatch::sources::indexes::IndexReader;
use poolwatch::sources::other_databases::OtherDatabases;
use poolwatch::sources::probe::Probe;
use poolwatch::sources::server_cpu::ServerCpu;
use poolwatch::sources::server_log;
use poolwatch::sources::statements::{Excluded, Statements};
use poolwatch::sources::wait_events::WaitEvents;

use super::newer::Newer;
use super::sources::wanted;
use super::{database, servers};
use crate::support::{Daemon, eventually};

/// What may be missing by itself: columns of functions and of views, and functions.
const COLUMNS: &str = "
SET allow_system_table_mods = on;
UPDATE pg_proc SET proargnames = array_replace(array_replace(proargnames, 'query_start', 'began'), 'wait_event', 'event')
 WHERE proname = 'pg_stat_get_activity';
UPDATE pg_proc SET proargnames = array_replace(proargnames, 'rows', 'tuples') WHERE proname = 'pg_stat_statements';
ALTER VIEW pg_stat_activity RENAME COLUMN backend_start TO began;
ALTER VIEW pg_stat_progress_create_index RENAME TO pg_stat_progress_index;
ALTER FUNCTION pg_stat_get_db_tuples_inserted(oid) RENAME TO pg_stat_get_db_inserted;
ALTER FUNCTION pg_stat_get_numscans(oid) RENAME TO pg_stat_get_scans";

/// What a source is nothing without.
const VIEWS: &str = "
SET allow_system_table_mods = on;
ALTER FUNCTION pg_stat_get_activity(int) RENAME TO pg_stat_get_sessions;
ALTER VIEW pg_stat_activity RENAME TO pg_stat_sessions;
ALTER FUNCTION pg_database_size(oid) RENAME TO pg_database_bytes;
ALTER VIEW pg_roles RENAME COLUMN rolsuper TO is_superuser;
ALTER TABLE pg_extension RENAME COLUMN extversion TO version;
ALTER TABLE pg_am RENAME COLUMN amname TO name";

/// Every source that asks the server something, but those of the collectors' tables.
fn sources(cluster: &Cluster, url: &str) -> Vec<(&'static str, Source)> {
    let database = || database(url);
    let log = server_log::Settings {
        path: Some(cluster.log_file().display().to_string()),
        ..server_log::Settings::default()
    };
    let log = log.open(Some(database()), None).unwrap();
    let pools = vec![("app".to_owned(), activity::Settings::default())];
    let indexes = IndexReader::open(database(), Catalogue::default());
    let statements = Statements::open(database(), Excluded::default(), 0);
    vec![
        ("probe", Source::Probe(Probe::open(database()))),
        ("activity", Source::Activity(Activity::open(database(), pools))),
        ("wait_events", Source::WaitEvents(WaitEvents::open(database()))),
        ("database_size", Source::DatabaseSizes(DatabaseSizes::open(database()))),
        ("other_databases", Source::OtherDatabases(OtherDatabases::open(database(), wanted()))),
        ("statement_durations", Source::Statements(Box::new(statements))),
        ("server_cpu", Source::ServerCpu(ServerCpu::open(database()))),
        ("server_log", Source::ServerLog(Box::new(log))),
        ("indexes", Source::Indexes(Box::new(indexes))),
    ]
}

/// What each says the second time, when what grew meanwhile is there too.
async fn read(cluster: &Cluster, url: &str) -> BTreeMap<&'static str, Reading> {
    let mut sources = sources(cluster, url);
    let mut readings = BTreeMap::new();
    for _ in 0..2 {
        for (name, source) in &mut sources {
            let reading = source.read_caught().await;
            let reading = reading.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert!(reading.trouble.is_none(), "{name}: {:?}", reading.trouble);
            readings.insert(*name, reading);
        }
        cluster.sql("SELECT count(*) FROM post").unwrap();
    }
    readings
}

fn has(reading: &Reading, family: &str) -> bool {
    reading.families.iter().any(|one| one.name() == family && !one.is_empty())
}

#[tokio::test]
async fn every_version_takes_the_statements_of_every_source() {
    for (major, binaries) in servers::all() {
        let builder = Cluster::builder().binaries(binaries);
        let builder = builder.setting("shared_preload_libraries", "pg_stat_statements");
        let cluster = builder.start().unwrap();
        cluster
            .sql(
                "CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE DATABASE other;
                 CREATE EXTENSION pg_stat_statements; CREATE TABLE post (id int PRIMARY KEY);
                 INSERT INTO post SELECT generate_series(1, 10000); ANALYZE post",
            )
            .unwrap();
        let readings = read(&cluster, &cluster.url_as("watcher", "postgres")).await;
        for (name, reading) in &readings {
            let lacks = reading.hints.iter().find(|hint| hint.contains("newer than any"));
            assert_eq!(lacks, None, "PostgreSQL {major}: {name}");
        }
        // Nor is one swallowed.
        let log = cluster.log();
        assert!(!log.contains("ERROR:"), "PostgreSQL {major}: {log}");
        assert!(readings["indexes"].indexes.as_ref().is_some_and(|all| !all.tables.is_empty()));
        assert!(has(&readings["statement_durations"], "db_statement_duration_estimated_seconds"));
    }
}

#[tokio::test]
async fn a_column_that_a_newer_server_lacks_costs_a_source_that_column() {
    let server = Newer::start();
    server.cluster.sql(COLUMNS).unwrap();
    let readings = read(&server.cluster, &server.url()).await;
    let sessions = readings["activity"].sessions.as_ref().unwrap();
    assert!(sessions.connections > 0 && sessions.max_connections.is_some(), "{sessions:?}");
    assert_eq!((sessions.oldest_statement_seconds, sessions.waiting_for_lock), (None, None));
    assert_eq!(readings["activity"].pools.len(), 1);
    assert!(readings["wait_events"].families.is_empty(), "of which nobody knows the events");
    assert!(has(&readings["database_size"], "pg_database_size_bytes"));
    assert!(has(&readings["other_databases"], "pg_stat_user_tables_n_live_tup"));
    let statements = &readings["statement_durations"];
    assert!(has(statements, "db_statement_duration_estimated_seconds"));
    assert!(statements.top.as_ref().is_some_and(|top| !top.statements.is_empty()));
    assert!(readings["server_cpu"].families.is_empty());
    let indexes = readings["indexes"].indexes.as_ref().unwrap();
    assert!(indexes.tables.is_empty() && indexes.unused.is_empty(), "{indexes:?}");
    assert_eq!(indexes.invalid.len(), 1);
    for (name, missing) in [
        ("activity", "query_start"),
        ("wait_events", "wait_event"),
        ("database_size", "pg_stat_get_db_tuples_inserted"),
        ("other_databases", "pg_stat_get_db_tuples_inserted"),
        ("statement_durations", "rows"),
        ("server_cpu", "backend_start"),
        ("indexes", "pg_stat_get_numscans"),
        ("indexes", "pg_stat_progress_create_index"),
    ] {
        let hints = readings[name].hints.join("\n");
        assert!(hints.contains(missing) && hints.contains("newer than any"), "{name}: {hints}");
    }
    assert!(has(&readings["server_log"], "poolwatch_log_messages_rejected_total"));
}

#[tokio::test]
async fn a_source_that_is_nothing_without_a_view_is_not_down_for_it() {
    let server = Newer::start();
    server.cluster.sql(VIEWS).unwrap();
    let readings = read(&server.cluster, &server.url()).await;
    for (name, reading) in &readings {
        let hints = reading.hints.join("\n");
        let has_hint = hints.contains("newer than any this was tested with");
        assert_eq!(has_hint, *name != "probe", "{name}: {hints}");
        let is_without = reading.families.iter().all(poolwatch::metric::Family::is_empty)
            && reading.sessions.is_none()
            && reading.indexes.is_none()
            && reading.pools.is_empty();
        assert!(is_without || *name == "server_log", "{name}: {reading:?}");
    }
}

#[test]
fn what_a_newer_server_lacks_for_a_source_is_told_once_and_is_no_alert() {
    let server = Newer::start();
    server.cluster.sql(VIEWS).unwrap();
    let daemon = Daemon::with_settings(&server.settings()).start();
    let names = ["pg_stat_get_activity", "pg_database_size", "rolsuper", "extversion"];
    let all_up = || {
        let metrics = daemon.metrics();
        let mut all = metrics.all("poolwatch_source_up", &[]);
        metrics.value("pg_up", &[]) == Some(1.0) && all.all(|source| source.value == 1.0)
    };
    let all_logged = || names.iter().all(|name| daemon.output().contains(name));
    eventually(|| all_logged() && all_up());
    let reads = || {
        let last = "poolwatch_source_last_success_timestamp_seconds";
        daemon.value(last, &[("source", "primary/wait_events")]).unwrap_or(0.0)
    };
    let before = reads();
    eventually(|| reads() > before + 2.0);
    let (log, text) = (daemon.output(), server.check());
    for line in log.lines().filter(|line| line.contains("newer than any this was tested with")) {
        let (_, what) = line.split_once(' ').unwrap();
        assert_eq!(log.matches(what).count(), 1, "{what}: {log}");
    }
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
    assert!(!text.contains('✗'), "{text}");
}
