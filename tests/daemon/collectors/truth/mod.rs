//! What is read of the views and columns that 19 brings is what `psql` reads.

mod expected;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use poolwatch::collectors::Collector;
use poolwatch::demo::Cluster;
use poolwatch::exposition::Chunk;
use poolwatch::indexes::Inventory;

use self::expected::{Expected, ON_PRIMARY, ON_REPLICA};
use super::busy_servers::BusyServers;
use super::{database, read, servers};
use crate::support::{Metrics, eventually};

/// How long figures may move.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A family: its collector, its labels, and what `psql` reads: a row for each series, its labels and
/// What `psql` reads: each series' labels with its value.
fn selected(cluster: &Cluster, sql: &str) -> BTreeMap<Vec<String>, String> {
    let rows = cluster.sql_in("app", sql).unwrap();
    let row = |row: &str| {
        let mut cells: Vec<_> = row.split('|').map(str::to_owned).collect();
        let value = cells.pop().unwrap();
        (cells, value)
    };
    rows.lines().map(row).collect()
}

/// What of it is otherwise here; of figures that did not move meanwhile.
async fn difference(cluster: &Cluster, expected: &Expected) -> Option<String> {
    let (collector, family, labels, sql) = expected;
    let before = selected(cluster, sql);
    let database = database(&cluster.url("app"));
    let (families, error) = read(&database, Collector::named(collector).unwrap()).await;
    if before != selected(cluster, sql) {
        return Some("it moves".to_owned());
    }
    if before.is_empty() || error.is_some() {
        return Some(format!("{error:?}, nothing to compare"));
    }
    let family = families.iter().find(|one| one.name().ends_with(family));
    let Some(family) = family else { return Some("there is no such family".to_owned()) };
    let text = Chunk::encode([family]).plain().to_vec();
    let metrics = Metrics::parse(&String::from_utf8(text).unwrap());
    let wrong = before.iter().filter(|(values, value)| {
        let pairs = labels.iter().copied().zip(values.iter().map(String::as_str));
        let pairs: Vec<_> = pairs.collect();
        let shown = metrics.all(family.name(), &pairs).map(|series| series.value);
        let value: f64 = value.parse().unwrap();
        !shown.into_iter().all(|shown| (shown - value).abs() <= value.abs() * 1e-9)
            || metrics.all(family.name(), &pairs).next().is_none()
    });
    let wrong: Vec<_> = wrong.collect();
    (!wrong.is_empty()).then(|| format!("{wrong:?} where there is {:?}", metrics.series))
}

#[tokio::test]
async fn what_19_brings_is_what_psql_reads() {
    let Some((major, binaries)) = servers::all().iter().find(|(major, _)| *major == 19) else {
        // It cannot be had; tools/servers has said so.
        return;
    };
    let busy = BusyServers::start(binaries, *major);
    let mut wrong = Vec::new();
    let of_each = [(&busy.primary, ON_PRIMARY), (&busy.replica, ON_REPLICA)];
    for (cluster, all) in of_each {
        for expected in all {
            let deadline = Instant::now() + TIMEOUT;
            let mut found = difference(cluster, expected).await;
            while found.is_some() && Instant::now() < deadline {
                sleep(Duration::from_millis(50));
                found = difference(cluster, expected).await;
            }
            wrong.extend(found.map(|what| format!("{} {}: {what}", expected.0, expected.1)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn an_index_whose_statistics_were_reset_is_known() {
    for (major, binaries) in servers::all() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        let use_it = "CREATE TABLE post (id int); CREATE INDEX one ON post (id);
                      CREATE INDEX two ON post (id); SET enable_seqscan = off;
                      SELECT count(*) FROM post WHERE id = 1";
        cluster.sql(use_it).unwrap();
        let used = "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan > 0";
        let used = eventually(|| Some(cluster.sql(used).unwrap()).filter(|name| !name.is_empty()));
        let reset = "SELECT pg_stat_reset_single_table_counters(indexrelid)
                       FROM pg_stat_user_indexes WHERE idx_scan > 0";
        cluster.sql(reset).unwrap();
        let database = database(&cluster.url("postgres"));
        let mut connection = database.acquire().await.unwrap();
        let inventory = Inventory::read(&mut connection).await.unwrap();
        for index in &inventory.indexes {
            let is_reset = *major >= 19 && index.name == used;
            assert_eq!(index.reset_ago.is_some(), is_reset, "PostgreSQL {major}: {}", index.name);
        }
    }
}
