//! What each version of Prometheus makes of a scrape: the same, with no complaint.

use std::collections::BTreeMap;
use std::path::Path;

use poolwatch::demo::Cluster;
use serde_json::json;

use crate::support::prometheus::{self, Prometheus};
use crate::support::{Daemon, Metrics, eventually};

/// With native histograms Prometheus asks for protobuf first, without for `OpenMetrics`.
const FLAGS: [&[&str]; 2] = [&[], &["--enable-feature=native-histograms"]];

/// A daemon that has read all it will.
fn daemon(cluster: &Cluster) -> Daemon {
    let daemon = Daemon::with_settings(&format!(
        "servers: {{primary: {{url: '{}'}}}}\npools: {{a: {{activity: {{size: 5, max_overflow: 15}}}}}}\n",
        cluster.url("postgres"),
    ))
    .start();
    eventually(|| {
        let page = daemon.get("/health/detailed").json();
        let sources = page["sources"].as_array().unwrap().clone();
        sources.iter().all(|source| source["status"] != "unknown")
    });
    daemon
}

/// Nothing is set that a Prometheus could fall back on when it cannot tell the format.
fn scraping(program: &Path, flags: &[&str], daemon: &Daemon) -> Prometheus {
    let settings = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs":
            [{"job_name": "poolwatch", "static_configs": [{"targets": [daemon.address()]}]}],
    });
    Prometheus::start(program, flags, &settings)
}

/// The kind of every family on the page.
fn kinds(page: &Metrics) -> BTreeMap<String, String> {
    let heads = page.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let kinds = heads.map(|head| head.split_once(' ').unwrap());
    kinds.map(|(name, kind)| (name.to_owned(), kind.replace("untyped", "unknown"))).collect()
}

/// The bounds of a histogram, as a Prometheus has them.
fn bounds(prometheus: &Prometheus) -> Vec<String> {
    let of = [("match[]", "db_probe_duration_seconds_bucket")];
    let found = prometheus.ask("label/le/values", &of);
    found.as_array().unwrap().iter().map(|bound| bound.as_str().unwrap().to_owned()).collect()
}

/// How many samples of scrapes were refused, by Prometheus' own account, for each reason.
fn refused(prometheus: &Prometheus) -> Vec<Option<f64>> {
    let metrics = prometheus.metrics();
    let reasons = ["duplicate_timestamp", "out_of_bounds", "out_of_order"];
    let name = |reason| format!("prometheus_target_scrapes_sample_{reason}_total");
    reasons.iter().map(|reason| metrics.value(&name(reason), &[])).collect()
}

/// A histogram's bounds as numbers.
fn numbers(prometheus: &Prometheus) -> Vec<f64> {
    let mut numbers: Vec<f64> =
        bounds(prometheus).iter().map(|bound| bound.parse().unwrap()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// Everything on the page arrives, under its kind.
#[track_caller]
fn assert_scrapes(prometheus: &Prometheus, daemon: &Daemon) {
    eventually(|| prometheus.query("up") == Some(1.0));
    eventually(|| prometheus.kinds() == kinds(&daemon.metrics()));
    eventually(|| {
        let samples = u32::try_from(daemon.metrics().series.len()).unwrap();
        prometheus.query("scrape_samples_scraped") == Some(f64::from(samples))
    });
}

#[track_caller]
fn assert_content(prometheus: &Prometheus) {
    eventually(|| {
        let target = &prometheus.ask("targets", &[])["activeTargets"][0];
        target["health"] == "up" && target["lastError"] == ""
    });
    assert_eq!(prometheus.complaints(), Vec::<String>::new(), "{}", prometheus.version);
    assert_eq!(refused(prometheus), [Some(0.0); 3], "{}", prometheus.version);
}

/// Since 3 a bound is a float in every format; the rules ask for both.
#[track_caller]
fn assert_bounds(prometheus: &Prometheus) {
    let one = if prometheus.major() < 3 { "1" } else { "1.0" };
    assert!(bounds(prometheus).iter().any(|bound| bound == one), "{}", prometheus.version);
    let query = r#"count(db_probe_duration_seconds_bucket{le=~"1|1[.]0"})"#;
    assert_eq!(prometheus.query(query), Some(1.0), "{}", prometheus.version);
}

#[test]
fn every_prometheus_scrapes_the_same_and_complains_of_nothing() {
    let cluster = Cluster::builder().start().unwrap();
    let daemon = daemon(&cluster);
    for flags in FLAGS {
        let all = prometheus::start_each(|program| scraping(program, flags, &daemon));
        for prometheus in &all {
            assert_scrapes(prometheus, &daemon);
            assert_content(prometheus);
            assert_bounds(prometheus);
            assert_eq!(numbers(prometheus), numbers(&all[0]), "{}", prometheus.version);
        }
    }
}
