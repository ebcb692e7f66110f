//! The budget of series: what docs/topology.md says of a sidecar is what Prometheus gets.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use poolwatch::sources::workers::{SERIES_OF_ENDPOINT, SERIES_OF_POOL};

use crate::application::Application;
use crate::support::{Daemon, Metrics, eventually};

/// The figures of the table, by the words of its rows.
fn documented(row: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/topology.md");
    let text = std::fs::read_to_string(path).unwrap();
    let start = format!("| {row} | ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start)).expect(row);
    line.split(' ').next().unwrap().parse().expect(row)
}

fn sidecar(settings: &str, application: Option<&Application>) -> Daemon {
    let daemon = Daemon::with_settings(settings).argument("--role=sidecar");
    match application {
        Some(application) => daemon
            .variable("POOLWATCH__WORKERS__SOCKET", application.socket().to_str().unwrap())
            .start(),
        None => daemon.start(),
    }
}

/// The series that are always there: without those of advice, which come and go.
fn all(metrics: &Metrics) -> usize {
    metrics.series.iter().filter(|series| series.name != "poolwatch_advice").count()
}

/// Those of the pool alone, and those of its endpoints with the number of these.
fn of_pool(metrics: &Metrics, pool: &str) -> (usize, usize, usize) {
    let label = [("pool", pool)];
    let of_pool = metrics.series.iter().filter(|one| one.labels.get("pool") == Some(&pool.into()));
    let of_pool = of_pool.filter(|one| one.name != "poolwatch_advice");
    let (of_endpoints, own): (Vec<_>, Vec<_>) =
        of_pool.partition(|one| one.labels.contains_key("endpoint"));
    let endpoints: BTreeSet<_> = of_endpoints.iter().map(|one| &one.labels["endpoint"]).collect();
    let further = metrics.all("db_pool_app_workers", &label).count().saturating_sub(1);
    (own.len() - further, of_endpoints.len(), endpoints.len())
}

#[test]
#[expect(clippy::print_stderr, reason = "it is shown where the test fails")]
fn a_sidecar_has_as_many_series_as_the_document_says() {
    let alone = documented("a sidecar without workers");
    let pool = documented("each pool");
    let endpoint = documented("each endpoint of a pool");
    assert_eq!((pool, endpoint), (SERIES_OF_POOL, SERIES_OF_ENDPOINT));
    let empty = sidecar("", None);
    // However many workers a pool has.
    let application = Application::start_watched(&[("WORKERS", "2")]);
    let daemon = sidecar("workers: {ttl: 60s}", Some(&application));
    eventually(|| all(&empty.metrics()) == alone);
    let mut last = String::new();
    eventually(|| {
        let _ = application.try_get("/api/users/count");
        let metrics = daemon.metrics();
        let (own, of_endpoints, endpoints) = of_pool(&metrics, "web");
        let workers = metrics.value("db_pool_workers", &[("pool", "web")]);
        let found = (workers, own, of_endpoints, all(&metrics), endpoints > 0);
        let of_all = alone + pool + endpoints * endpoint;
        let expected = (Some(2.0), pool, endpoints * endpoint, of_all, true);
        if last != format!("{found:?}") {
            last = format!("{found:?}");
            eprintln!(
                "(workers, of the pool, of endpoints, all, endpoints): {last}, not {expected:?}"
            );
        }
        found == expected
    });
}

#[test]
fn endpoints_beyond_the_budget_are_summed_and_counted() {
    let budget = SERIES_OF_POOL + 3 * SERIES_OF_ENDPOINT;
    let daemon = sidecar(&format!("workers: {{max_series: {budget}, ttl: 60s}}"), None);
    let endpoint =
        |number: u64| format!(r#"{{"name":"GET /{number}","out":1,"checkouts":7,"held":1.5}}"#);
    let endpoints: Vec<_> = (0..20).map(endpoint).collect();
    let report = format!(
        r#"{{"v":1,"inst":"a","seq":1,"pools":[{{"name":"web","size":5,"max_overflow":15,"checked_out":20,"endpoints":[{}]}}]}}"#,
        endpoints.join(",")
    );
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(report.as_bytes(), daemon.socket()).unwrap();
    let summed = |metrics: &Metrics| {
        metrics.value("poolwatch_series_dropped_total", &[("reason", "summed")])
    };
    let metrics = eventually(|| {
        let metrics = daemon.metrics();
        (summed(&metrics) > Some(0.0)).then_some(metrics)
    });
    let rest = [("pool", "web"), ("endpoint", "other")];
    let checkouts = metrics.value("db_pool_endpoint_checkouts_total", &rest);
    assert_eq!(checkouts, Some(18.0 * 7.0), "two have names of their own");
    assert_eq!(summed(&metrics), Some(18.0 * SERIES_OF_ENDPOINT as f64));
    let (own, of_endpoints, _) = of_pool(&metrics, "web");
    assert!(own + of_endpoints <= budget, "{own} and {of_endpoints}: {budget}");
}
