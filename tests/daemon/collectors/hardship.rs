//! Servers that make reading hard: locked tables, very many tables, odd names and encodings, a role
//! that may see little.

use std::sync::Arc;
use std::time::{Duration, Instant};

use poolwatch::collectors::{self, Collector};
use poolwatch::demo::Cluster;
use poolwatch::exposition::Chunk;
use poolwatch::metric::Family;
use poolwatch::sources::collector::{CollectorReader, Settings};

use super::busy_servers::{Session, wait};
use super::{database, psql, read};

fn text(families: &[Family]) -> String {
    String::from_utf8(Chunk::encode(families).plain().to_vec()).unwrap()
}

fn named(name: &str) -> &'static Collector {
    Collector::named(name).unwrap()
}

#[tokio::test]
async fn a_locked_table_holds_nothing_up() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE TABLE locked (id int PRIMARY KEY, t text); CREATE TABLE free ()").unwrap();
    let url = cluster.url("postgres");
    let _holder = Session::open(&psql(), &url, "BEGIN; LOCK TABLE locked;");
    let held = "SELECT 1 FROM pg_locks WHERE relation = 'locked'::regclass AND granted";
    wait(held, || !cluster.sql(held).unwrap().is_empty());
    let database = database(&url);
    let began = Instant::now();
    for collector in collectors::ALL {
        let (families, error) = read(&database, collector).await;
        assert_eq!(error, None, "{}", collector.name);
        if collector.name == "stat_user_tables" {
            assert!(text(&families).contains(r#"relname="locked""#));
        }
        if collector.name == "stat_user_tables_size" {
            let shown = text(&families);
            assert!(shown.contains(r#"relname="free""#) && !shown.contains(r#"relname="locked""#));
        }
    }
    assert!(began.elapsed() < Duration::from_mins(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn ten_thousand_tables_are_few_series_and_whole_sums() {
    let cluster = Cluster::builder().setting("max_locks_per_transaction", "1000").start().unwrap();
    for from in (0..10_000).step_by(2500) {
        let until = from + 2499;
        cluster
            .sql(&format!(
                "DO $$ BEGIN FOR n IN {from}..{until} LOOP
                     EXECUTE format('CREATE TABLE t%s (n int)', n);
                 END LOOP; END $$"
            ))
            .unwrap();
    }
    cluster.sql("INSERT INTO t1 VALUES (1); INSERT INTO t9000 VALUES (1), (2)").unwrap();
    let database = database(&cluster.url("postgres"));
    for name in ["stat_user_tables", "statio_user_tables", "stat_user_tables_size", "table_age"] {
        let began = Instant::now();
        let settings = Settings { limit: Some(20), ..Settings::default() };
        let mut reader = CollectorReader::open(Arc::clone(&database), named(name), settings);
        let reading = reader.read().await.unwrap();
        assert!(reading.trouble.is_none() && reading.aggregated > 0, "{name}");
        assert!(reading.families.iter().all(|family| family.len() <= 21), "{name}");
        assert!(began.elapsed() < Duration::from_mins(1), "{name}: {:?}", began.elapsed());
        if name == "stat_user_tables" {
            let shown = text(&reading.families);
            let inserted =
                shown.lines().filter(|line| line.starts_with("pg_stat_user_tables_n_tup_ins{"));
            let sum: f64 =
                inserted.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
            assert!((sum - 3.0).abs() < 0.5, "{shown}");
            assert!(shown.contains(r#"datname="postgres",schemaname="other",relname="other""#));
        }
    }
}

#[tokio::test]
async fn odd_names_and_encodings_are_shown() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0").unwrap();
    cluster.sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0").unwrap();
    let table = "SET client_encoding = 'UTF8'; CREATE TABLE \"Odd \"\"name\\ é\nof two lines\" (\"Id\" serial PRIMARY KEY)";
    cluster.sql_in("latin", table).unwrap();
    cluster
        .sql_in("bytes", "DO $$ BEGIN EXECUTE E'CREATE TABLE \"caf\\xe9\" (n int)'; END $$")
        .unwrap();
    for name in ["latin", "bytes", "postgres"] {
        let database = database(&cluster.url(name));
        let mut shown = String::new();
        for collector in collectors::ALL {
            let (families, error) = read(&database, collector).await;
            assert_eq!(error, None, "{} in {name}", collector.name);
            shown.push_str(&text(&families));
        }
        let expected = match name {
            "latin" => r#"relname="Odd \"name\\ é\nof two lines""#,
            "bytes" => "relname=\"caf\u{fffd}\"",
            _ => "pg_database_connection_limit",
        };
        assert!(shown.contains(expected), "{name} lacks {expected}");
    }
}

#[tokio::test]
async fn statements_are_bounded_and_their_sums_whole() {
    let cluster = Cluster::builder()
        .setting("shared_preload_libraries", "pg_stat_statements")
        .setting("pg_stat_statements.track_utility", "off")
        .start()
        .unwrap();
    // In a schema that no search path names.
    let sql = "CREATE SCHEMA extensions; CREATE EXTENSION pg_stat_statements SCHEMA extensions";
    cluster.sql(sql).unwrap();
    cluster.sql("CREATE DATABASE left_out").unwrap();
    let columns: Vec<_> = (1..=300).map(|n| format!("SELECT 1 AS c{n};\n")).collect();
    cluster.sql(&columns.concat()).unwrap();
    cluster.sql_in("left_out", "SELECT 'secret' AS hidden").unwrap();
    let settings = Settings {
        limit: Some(10),
        include_query: Some(true),
        exclude_databases: vec!["left_out".to_owned()],
        ..Settings::default()
    };
    let database = database(&cluster.url("postgres"));
    let mut reader =
        CollectorReader::open(Arc::clone(&database), named("stat_statements"), settings);
    let calls = |families: &[Family]| {
        let shown = text(families);
        let lines =
            shown.lines().filter(|line| line.starts_with("pg_stat_statements_calls_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    let before = reader.read().await.unwrap();
    assert!(before.trouble.is_none() && before.families.iter().all(|family| family.len() <= 11));
    assert!(calls(&before.families) >= 300.0);
    assert!(!text(&before.families).contains("left_out"));
    let again: String = (1..=300).map(|n| format!("SELECT 1 AS c{n};\n").repeat(n % 7)).collect();
    cluster.sql(&again).unwrap();
    let after = reader.read().await.unwrap();
    let sent = again.lines().count() as f64;
    let grown = calls(&after.families) - calls(&before.families);
    assert!((sent..sent + 20.0).contains(&grown), "{sent} were sent, {grown} were counted");
    assert!(text(&after.families).contains("pg_stat_statements_query_id{queryid="));
}

#[tokio::test]
async fn a_role_with_few_rights_is_told_what_to_do() {
    let cluster = Cluster::builder().start().unwrap();
    cluster
        .sql("CREATE ROLE humble LOGIN; CREATE ROLE monitor LOGIN; GRANT pg_monitor TO monitor")
        .unwrap();
    let monitor = database(&cluster.url_as("monitor", "postgres"));
    for collector in collectors::ALL {
        assert_eq!(read(&monitor, collector).await.1, None, "{}", collector.name);
    }
    let humble = database(&cluster.url_as("humble", "postgres"));
    let mut refused = Vec::new();
    for collector in collectors::ALL {
        if let (_, Some(error)) = read(&humble, collector).await {
            assert!(error.contains("GRANT pg_monitor"), "{}: {error}", collector.name);
            refused.push(collector.name);
        }
    }
    assert_eq!(refused, ["temp_files", "wal"]);
}

#[tokio::test]
async fn a_missing_extension_is_a_hint_and_no_failure() {
    let cluster = Cluster::builder().start().unwrap();
    let database = database(&cluster.url("postgres"));
    let mut reader =
        CollectorReader::open(Arc::clone(&database), named("stat_statements"), Settings::default());
    let reading = reader.read().await.unwrap();
    assert!(reading.trouble.is_none() && reading.hints[0].contains("CREATE EXTENSION"));
}
