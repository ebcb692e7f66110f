//! Dashboards and alerts written for `postgres_exporter` find their series: each expression is
//! asked of each version of Prometheus that scrapes the daemon.

use std::fs;
use std::path::Path;

use poolwatch::collectors;
use serde_json::json;

use crate::monitoring::{Monitoring, Webhook};
use crate::support::prometheus::Prometheus;
use crate::support::{Daemon, eventually};

const LISTS: &str = "tests/daemon/compatibility";

/// The expressions that do not answer as their list says.
pub(super) fn unanswered(url: &str) -> Vec<String> {
    let daemon = Daemon::with_settings(&settings(url)).start();
    let monitoring = Monitoring::start(daemon.address(), &Webhook::start());
    eventually(|| has_read_all(&daemon));
    // As late as the rest, and thrice, so that there are rates.
    let scraped = "count_over_time(pg_database_size_bytes{datname=\"app\"}[1m]) >= 3";
    eventually(|| monitoring.all(|prometheus| prometheus.answers(scraped)));
    let lists = lists();
    let of_each = monitoring.prometheuses.iter();
    of_each.flat_map(|prometheus| lists.iter().flat_map(|list| wrong(prometheus, list))).collect()
}

/// Every collector is on. JSON is YAML too.
fn settings(url: &str) -> String {
    let enabled =
        |collector: &&collectors::Collector| (collector.name.to_owned(), json!({"enabled": true}));
    let all: serde_json::Map<_, _> = collectors::ALL.iter().map(enabled).collect();
    json!({
        "servers": {"primary": {"url": url}},
        "sampling": {"server": "1s", "statements": "1s", "tables": "1s"},
        "collectors": all,
    })
    .to_string()
}

fn has_read_all(daemon: &Daemon) -> bool {
    let metrics = daemon.metrics();
    collectors::ALL.iter().all(|collector| {
        let source = format!("primary/{}", collector.name);
        metrics.value("poolwatch_source_up", &[("source", &source)]).is_some()
    })
}

fn lists() -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(LISTS);
    fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// An expression that is marked as absent must be so too.
fn wrong(prometheus: &Prometheus, list: &Path) -> Vec<String> {
    let text = fs::read_to_string(list).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .filter(|line| {
            let (expression, reason) = line.split_once(" # absent: ").unwrap_or((line, ""));
            prometheus.answers(expression) != reason.is_empty()
        })
        .map(|line| {
            let list = list.file_name().unwrap().display();
            format!("Prometheus {}: {list}: {line}", prometheus.version)
        })
        .collect()
}
