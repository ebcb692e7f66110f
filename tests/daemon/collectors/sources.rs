//! What is read of a server by more than a table of SQL.

use std::sync::Arc;
use std::time::Duration;

use poolwatch::collectors::{self, Scope};
use poolwatch::demo::Cluster;
use poolwatch::exposition::Chunk;
use poolwatch::sources::collector::Settings;
use poolwatch::sources::database_sizes::DatabaseSizes;
use poolwatch::sources::other_databases::{OtherDatabases, VisitedCollector};
use poolwatch::sources::server_cpu::ServerCpu;
use poolwatch::sources::statements::{Excluded, Statements};
use poolwatch::sources::wait_events::WaitEvents;

use super::busy_servers::{Session, wait};
use super::{database, psql, servers};

fn text(families: &[poolwatch::metric::Family]) -> String {
    String::from_utf8(Chunk::encode(families).plain().to_vec()).unwrap()
}

pub(super) fn wanted() -> Vec<VisitedCollector> {
    let of_each = collectors::ALL.iter().filter(|collector| collector.scope == Scope::Database);
    let wanted = of_each.map(|collector| VisitedCollector {
        collector,
        settings: Settings::default(),
        interval: Duration::from_mins(1),
    });
    wanted.collect()
}

#[tokio::test]
async fn every_database_is_visited_and_left() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE DATABASE \"Odd \"\"name\"\" é\"").unwrap();
    for number in 0..14 {
        cluster.sql(&format!("CREATE DATABASE d{number}")).unwrap();
        cluster.sql_in(&format!("d{number}"), "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    }
    let mut others = OtherDatabases::open(database(&cluster.url("postgres")), wanted());
    for _ in 0..7 {
        others.read().await.unwrap();
    }
    let reading = others.read().await.unwrap();
    assert!(reading.trouble.is_none(), "{:?}", reading.trouble);
    let shown = text(&reading.families);
    for number in 0..14 {
        let series = format!("pg_stat_user_tables_seq_scan{{datname=\"d{number}\"");
        assert!(shown.contains(&series), "{shown}");
    }
    assert!(shown.contains(r#"pg_indexes_invalid{datname="Odd \"name\" é"}"#), "{shown}");
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poolwatch' \
                   AND datname <> 'postgres'";
    // The end of a session takes the runtime that this test is run by.
    let mut tries = 0;
    while cluster.sql(left).unwrap() != "0" {
        assert!(tries < 300, "not all are left");
        tries += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.sql("DROP DATABASE d3").unwrap();
    let shown = text(&others.read().await.unwrap().families);
    assert!(!shown.contains("\"d3\""), "a database that is gone is still shown");
}

#[tokio::test]
async fn small_databases_are_measured_in_one_turn_of_slow_readings() {
    let cluster = Cluster::builder().start().unwrap();
    for number in 0..8 {
        cluster.sql(&format!("CREATE DATABASE d{number}")).unwrap();
    }
    let database = database(&cluster.url("postgres"));
    let mut source = DatabaseSizes::open(Arc::clone(&database));
    // All others want their turn again as soon as they had it.
    let mut turns = 0;
    let others = async {
        loop {
            drop(database.slow_lane().await);
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    let reading = tokio::select! {
        reading = source.read() => reading.unwrap(),
        () = others => unreachable!("they never end"),
    };
    assert!(reading.trouble.is_none(), "{:?}", reading.trouble);
    assert_eq!(text(&reading.families).matches("datname=").count(), 11, "{turns} turns");
    // One before and one after, and a few more where the machine is busy.
    assert!(turns < 8, "{turns} turns of others while eleven databases were measured");
}

#[tokio::test]
async fn a_wait_is_sampled() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE TABLE locked ()").unwrap();
    let url = cluster.url("postgres");
    let _holder = Session::open(&psql(), &url, "BEGIN; LOCK TABLE locked;");
    let held = "SELECT 1 FROM pg_locks WHERE relation = 'locked'::regclass AND granted";
    wait(held, || !cluster.sql(held).unwrap().is_empty());
    let _waiter = Session::open(&psql(), &url, "SELECT * FROM locked;");
    let mut source = WaitEvents::open(database(&url));
    let series = r#"pg_wait_sampled_seconds_total{wait_event_type="Lock",wait_event="relation"}"#;
    for _ in 0..100 {
        let shown = text(&source.read().await.unwrap().families);
        let line = shown.lines().find(|line| line.starts_with(series));
        let seconds = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        if seconds.is_some_and(|seconds| seconds > 0.1) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never sampled");
}

#[tokio::test]
async fn the_servers_cpu_time_includes_sessions_that_ended() {
    let cluster = Cluster::builder().start().unwrap();
    let database = database(&cluster.url("postgres"));
    let mut source = ServerCpu::open(Arc::clone(&database));
    let cpu = |shown: &str| {
        let line = shown.lines().find(|line| line.starts_with("pg_server_cpu_seconds_total"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    let before = cpu(&text(&source.read().await.unwrap().families)).unwrap();
    cluster.sql("SELECT count(*) FROM generate_series(1, 4000000)").unwrap();
    let shown = text(&source.read().await.unwrap().families);
    assert!(cpu(&shown).unwrap() >= before + 0.1, "{before} and then {shown}");
    assert!(shown.contains("pg_server_cpu_cores "), "{shown}");
}

#[tokio::test]
async fn statements_are_timed_on_every_version() {
    for (major, binaries) in servers::all() {
        let builder = Cluster::builder().binaries(binaries);
        let builder = builder.setting("shared_preload_libraries", "pg_stat_statements");
        let cluster = builder.start().unwrap();
        cluster
            .sql(
                "CREATE EXTENSION pg_stat_statements; CREATE SCHEMA apart;
                 ALTER EXTENSION pg_stat_statements SET SCHEMA apart;
                 CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher;
                 GRANT USAGE ON SCHEMA apart TO watcher;
                 CREATE FUNCTION slow() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(0.3)'",
            )
            .unwrap();
        let url = cluster.url_as("watcher", "postgres");
        let mut source = Statements::open(database(&url), Excluded::default(), 0);
        let reading = source.read().await.unwrap();
        assert!(reading.hints.is_empty(), "PostgreSQL {major}: {:?}", reading.hints);
        cluster.sql("BEGIN; SELECT pg_sleep(0.15); SELECT 1; COMMIT; SELECT slow()").unwrap();
        let shown = text(&source.read().await.unwrap().families);
        for (bound, count) in [("0.1", 0), ("0.2", 1), ("0.3", 1), ("0.5", 2)] {
            let bucket = format!("{{datname=\"postgres\",le=\"{bound}\"}} {count}\n");
            assert!(shown.contains(&bucket), "PostgreSQL {major}: {shown}");
        }
    }
}
