//! A Rust application's pool, reported to the same socket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use poolwatch::reading::MaxOverflow;
use poolwatch_client::{PoolSettings, SharedPool};

use super::agree;
use crate::pool::CLUSTER;
use crate::support::{Daemon, Metrics, Series};

/// The names under which a pool is shown.
fn families(metrics: &Metrics, pool: &str) -> BTreeSet<String> {
    let of_pool = metrics
        .series
        .iter()
        .filter(|series| series.labels.get("pool").is_some_and(|label| label == pool));
    of_pool.map(|series| series.name.clone()).collect()
}

/// The value of each of these for the pool `rust`, in the end, while the pool's own tasks go on.
async fn becomes<const N: usize>(daemon: &Arc<Daemon>, expected: [(&'static str, f64); N]) {
    let daemon = Arc::clone(daemon);
    let waiting = tokio::task::spawn_blocking(move || {
        agree(|| {
            let metrics = daemon.metrics();
            let exported =
                expected.map(|(name, _)| (name, metrics.value(name, &[("pool", "rust")])));
            (exported, expected.map(|(name, value)| (name, Some(value))))
        });
    });
    waiting.await.unwrap();
}

/// The pool's server and the server that is read are one, by the labels that are joined.
async fn has_one_target(daemon: &Arc<Daemon>) {
    let daemon = Arc::clone(daemon);
    let place = |series: &Series| {
        let label = |name: &str| series.labels.get(name).cloned();
        (label("host"), label("port"))
    };
    let waiting = tokio::task::spawn_blocking(move || {
        agree(|| {
            let metrics = daemon.metrics();
            let server: Vec<_> = metrics.all("pg_server_info", &[]).map(place).collect();
            let is_identified = metrics
                .all("pg_server_info", &[])
                .any(|series| series.labels.contains_key("system_identifier"));
            let is_named = metrics.all("pg_server_info", &[]).all(|series| {
                let (host, port) = place(series);
                series.labels.get("address").cloned()
                    == host.zip(port).map(|(h, p)| format!("{h}:{p}"))
            });
            let to = [("database", "postgres"), ("role", "postgres")];
            let of = |source: &str| {
                let source_label = [("source", source)];
                let pools = metrics.all("db_pool_info", &source_label).filter(|series| {
                    source == "activity"
                        || to.iter().all(|(name, value)| {
                            series.labels.get(*name).is_some_and(|l| l == value)
                        })
                });
                pools.map(place).collect::<Vec<_>>()
            };
            let is_whole = server.len() == 1 && server[0].0.is_some() && is_identified && is_named;
            ((is_whole, of("workers"), of("activity")), (true, server.clone(), server))
        });
    });
    waiting.await.unwrap();
}

/// The JSON of the pool has the target that these labels have.
fn page_has_its_target(daemon: &Daemon, labels: &BTreeMap<String, String>) {
    let page = daemon.get("/health/database/pool").json();
    let rust = page["pools"].as_array().unwrap().iter().find(|one| one["pool"] == "rust");
    let target = &rust.unwrap()["targets"][0];
    for name in ["host", "database", "role"] {
        assert_eq!(target[name].as_str(), Some(labels[name].as_str()), "{name}: {page:#}");
    }
    assert_eq!(target["port"].to_string(), labels["port"], "{page:#}");
}

#[tokio::test]
async fn a_rust_application_is_shown_under_the_same_names() {
    let url = CLUSTER.url("postgres");
    let settings = format!("servers: {{primary: {{url: '{url}'}}}}\n");
    let daemon = Arc::new(Daemon::with_settings(&settings).start());
    let settings = PoolSettings {
        size: 2,
        max_overflow: MaxOverflow::Limited(1),
        // Long enough for a busy machine to open a connection, for one caller waits in vain.
        timeout: Duration::from_secs(3),
        ..PoolSettings::default()
    };
    let shared = SharedPool::new("mine", url.parse().unwrap(), settings);
    shared.report_to(daemon.socket(), "rust");
    let mut acquired = Vec::new();
    for _ in 0..3 {
        acquired.push(shared.acquire().await.unwrap());
    }
    for checkout in &mut acquired {
        sqlx::query("SELECT 1").execute(checkout).await.unwrap();
    }
    assert!(sqlx::query("SELEC 1").execute(&mut acquired[0]).await.is_err());
    assert!(shared.acquire().await.is_err(), "all three are out");
    drop(acquired.pop());

    becomes(
        &daemon,
        [
            ("db_pool_workers", 1.0),
            ("db_pool_size", 2.0),
            ("db_pool_max_overflow", 1.0),
            ("db_pool_capacity", 3.0),
            ("db_pool_checked_out", 2.0),
            ("db_pool_pending", 0.0),
            ("db_pool_utilization_ratio", 2.0 / 3.0),
            ("db_pool_peak_utilization_ratio", 1.0),
            ("db_pool_acquire_duration_seconds_count", 4.0),
            ("db_pool_acquire_timeouts_total", 1.0),
            ("db_pool_acquire_errors_total", 0.0),
            ("db_pool_hold_duration_seconds_count", 1.0),
            ("db_pool_connections_opened_total", 3.0),
            ("db_query_duration_seconds_count", 4.0),
            ("db_query_errors_total", 1.0),
        ],
    )
    .await;
    has_one_target(&daemon).await;
    let metrics = daemon.metrics();
    let info = [("pool", "rust"), ("source", "workers")];
    assert_eq!(metrics.value("db_pool_info", &info), Some(1.0));
    page_has_its_target(&daemon, &metrics.all("db_pool_info", &info).next().unwrap().labels);
    let own = families(&metrics, "poolwatch");
    assert!(own.is_empty(), "poolwatch's own connections are no pool: {own:?}");
    let connections = [("server", "primary"), ("state", "checked_in")];
    assert!(metrics.value("poolwatch_connections", &connections).is_some());

    drop(acquired);
    drop(shared);
    let ended = [("db_pool_workers", 0.0), ("db_pool_hold_duration_seconds_count", 3.0)];
    becomes(&daemon, ended).await;
}

/// The number of holds and of acquires up to so many seconds.
fn up_to(daemon: &Daemon, bound: &str) -> [Option<f64>; 2] {
    let metrics = daemon.metrics();
    let labels = [("pool", "rust"), ("le", bound)];
    ["db_pool_hold_duration_seconds_bucket", "db_pool_acquire_duration_seconds_bucket"]
        .map(|name| metrics.value(name, &labels))
}

/// The clock is moved, for nobody is to wait ten minutes.
#[tokio::test]
async fn holds_and_waits_of_minutes_are_as_long_as_they_were() {
    let url = CLUSTER.url("postgres");
    let settings = format!("servers: {{primary: {{url: '{url}'}}}}\n");
    let daemon = Arc::new(Daemon::with_settings(&settings).start());
    let settings = PoolSettings {
        size: 1,
        max_overflow: MaxOverflow::Limited(0),
        timeout: Duration::from_hours(1),
        recycle: None,
        pre_ping: false,
    };
    let shared = SharedPool::new("mine", url.parse().unwrap(), settings);
    shared.report_to(daemon.socket(), "rust");
    drop(shared.acquire().await.unwrap());
    // A little over each bound: real time may pass too, but not as much as to the next.
    for seconds in [11, 31, 61, 121, 301, 601] {
        let held = shared.acquire().await.unwrap();
        let next = shared.clone();
        let waiting = tokio::spawn(async move { next.acquire().await.map(drop) });
        while shared.reading().figures.pending != Some(1) {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        drop(held);
        waiting.await.unwrap().unwrap();
    }
    let count = [("db_pool_hold_duration_seconds_count", 13.0)];
    becomes(&daemon, count).await;
    // Seven took no time.
    for (bound, expected) in
        [("10", 7.0), ("30", 8.0), ("60", 9.0), ("120", 10.0), ("300", 11.0), ("600", 12.0)]
    {
        assert_eq!(up_to(&daemon, bound), [Some(expected); 2], "up to {bound} s");
    }
}
