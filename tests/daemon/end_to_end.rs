//! The whole path: an application's pool fills up, and somebody is paged; it empties, and they are told.

use serde_json::Value;

use crate::application::Application;
use crate::monitoring::{Monitoring, Webhook};
use crate::support::{Daemon, eventually};

fn settings(application: &Application) -> String {
    format!(
        "servers: {{primary: {{url: '{}'}}}}\npools: {{api: {{app_health: {{url: '{}'}}}}}}\n",
        application.cluster.url_as("poolwatch", "redditbot"),
        application.health()
    )
}

#[track_caller]
fn status_is(daemon: &Daemon, status: &str) -> bool {
    daemon.value("db_pool_status", &[("pool", "api"), ("status", status)]) == Some(1.0)
}

/// The page about this pool by this version of Prometheus.
fn page(webhook: &Webhook, status: &str, version: &str) -> Option<Value> {
    let alerts = webhook.alerts("pager", status, "PoolUtilizationCritical");
    alerts
        .into_iter()
        .find(|alert| alert["labels"]["pool"] == "api" && alert["labels"]["prometheus"] == version)
}

#[test]
fn a_pool_at_19_of_20_pages_and_resolves_when_it_empties() {
    let application = Application::start(&[("WORKERS", "1")]);
    let daemon = Daemon::with_settings(&settings(&application)).start();
    let webhook = Webhook::start();
    let monitoring = Monitoring::start(daemon.address(), &webhook);

    let of_api = |name: &str| daemon.value(name, &[("pool", "api")]);
    eventually(|| status_is(&daemon, "healthy"));
    assert_eq!(of_api("db_pool_capacity"), Some(20.0));
    assert_eq!(of_api("db_pool_checked_out"), Some(0.0));
    let is_one = |query: &str| monitoring.all(|prometheus| prometheus.query(query) == Some(1.0));
    eventually(|| is_one("pg_up"));
    eventually(|| is_one(r#"db_pool_status{pool="api",status="healthy"}"#));
    let pages = |status: &str| -> Vec<Value> {
        let of_each = monitoring.prometheuses.iter();
        of_each.filter_map(|prometheus| page(&webhook, status, &prometheus.version)).collect()
    };
    let all = monitoring.prometheuses.len();
    assert!(pages("firing").is_empty());

    application.post("/troubles/leak?count=19");
    eventually(|| status_is(&daemon, "critical"));
    assert_eq!(of_api("db_pool_checked_out"), Some(19.0));
    assert_eq!(of_api("db_pool_busiest_worker_utilization_ratio"), Some(0.95));
    let health = daemon.get("/health/database/pool").json();
    assert_eq!((&health["checked_out"], &health["status"]), (&19.into(), &"critical".into()));
    assert_eq!(daemon.get("/health/ready").status, 200, "a full pool is no reason to be restarted");

    eventually(|| pages("firing").len() == all);
    for page in pages("firing") {
        assert_eq!(page["labels"]["severity"], "critical");
        let description = page["annotations"]["description"].as_str().unwrap();
        assert!(description.contains("pool api") && description.contains("95%"), "{description}");
    }
    assert!(pages("resolved").is_empty());

    application.post("/troubles/release");
    eventually(|| status_is(&daemon, "healthy"));
    eventually(|| pages("resolved").len() == all);
}
