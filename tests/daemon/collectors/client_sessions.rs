//! Whose sessions a server has: the sum is what the server counts, whoever asks.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use poolwatch::collectors::Collector;
use poolwatch::demo::Cluster;
use poolwatch::exposition::Chunk;
use poolwatch::sources::collector::{CollectorReader, Settings};

use super::busy_servers::{Session, wait};
use super::{database, servers};
use crate::support::{Metrics, free_address};

const NAMED: &[(&str, &str)] = &[
    ("web \"1\"", "BEGIN; SELECT 1;"),
    ("web 2", "SELECT 1;"),
    ("web 3", "SELECT 1;"),
    ("a, b/c", "SELECT 1;"),
];

/// What the role sees, with series for so many groups; as soon as those are gone that `psql` had
/// to set this up.
async fn read(url: &str, limit: u32, sessions: f64) -> Metrics {
    let collector = Collector::named("client_sessions").unwrap();
    let settings = Settings { limit: Some(limit), ..Settings::default() };
    let mut reader = CollectorReader::open(database(url), collector, settings);
    let mut tries = 0;
    loop {
        let reading = reader.read().await.unwrap();
        assert!(reading.trouble.is_none(), "{:?}", reading.trouble);
        let text = Chunk::encode(&reading.families).plain().to_vec();
        let metrics = Metrics::parse(&String::from_utf8(text).unwrap());
        if sum(&metrics) == sessions {
            return metrics;
        }
        tries += 1;
        assert!(tries < 300, "they do not add up to {sessions}: {:#?}", metrics.series);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Four sessions of two roles, two of them over TCP, as soon as all are idle.
fn occupied(cluster: &Cluster, binaries: &Path, address: Ipv4Addr) -> Vec<Session> {
    cluster.sql("CREATE ROLE app LOGIN; CREATE ROLE blind LOGIN;").unwrap();
    cluster.sql("CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher").unwrap();
    let psql = binaries.join("psql");
    let socket = cluster.folder().display().to_string();
    let open = |(at, (name, sql)): (usize, &(&str, &str))| {
        let host = if at % 2 == 0 { address.to_string() } else { socket.clone() };
        let role = if at == 3 { "postgres" } else { "app" };
        let url = format!("host={host} user={role} dbname=postgres application_name='{name}'");
        Session::open(&psql, &url, sql)
    };
    let sessions = NAMED.iter().enumerate().map(open).collect();
    let idle = "SELECT count(*) FROM pg_stat_activity
                 WHERE state LIKE 'idle%' AND application_name <> 'psql'";
    wait("all are idle", || cluster.sql(idle).unwrap() == NAMED.len().to_string());
    sessions
}

fn sum(metrics: &Metrics) -> f64 {
    metrics.all("pg_client_sessions", &[]).map(|series| series.value).sum()
}

#[tokio::test]
async fn sessions_add_up_to_those_of_the_server_on_every_version() {
    for (major, binaries) in servers::all() {
        let address = free_address();
        let builder = Cluster::builder().binaries(binaries);
        let cluster = builder.setting("listen_addresses", &address.to_string()).start().unwrap();
        let _sessions = occupied(&cluster, binaries, address);
        let all = NAMED.len() as f64;
        let url = |role: &str| cluster.url_as(role, "postgres");
        let metrics = read(&url("watcher"), 50, all).await;
        let first = [
            ("datname", "postgres"),
            ("client_addr", "127.0.0.1"),
            ("application_name", "web \"1\""),
            ("usename", "app"),
            ("state", "idle in transaction"),
        ];
        for name in ["sessions", "oldest_seconds", "longest_idle_seconds"] {
            let shown = metrics.value(&format!("pg_client_{name}"), &first);
            assert!(shown.is_some(), "PostgreSQL {major}: {name} {:#?}", metrics.series);
        }
        let transaction = metrics.value("pg_client_longest_transaction_seconds", &first);
        assert!(transaction.is_some_and(|age| age >= 0.0), "{:#?}", metrics.series);
        let idle = [("application_name", "web 2"), ("client_addr", "local"), ("state", "idle")];
        assert_eq!(metrics.value("pg_client_sessions", &idle), Some(1.0), "{:#?}", metrics.series);
        // One that is idle in a transaction has a series even where there is room for one.
        let few = read(&url("watcher"), 1, all).await;
        assert_eq!(few.value("pg_client_sessions", &first), Some(1.0), "{:#?}", few.series);
        assert_eq!(few.value("pg_client_sessions", &[("state", "other")]), Some(all - 1.0));
        // A role that may not see what others do still counts them, by application and role.
        let blind = read(&url("blind"), 50, all).await;
        let of_web = [("application_name", "web \"1\""), ("usename", "app")];
        assert_eq!(blind.value("pg_client_sessions", &of_web), Some(1.0), "{:#?}", blind.series);
        assert!(blind.all("pg_client_longest_idle_seconds", &[]).next().is_none());
    }
}
