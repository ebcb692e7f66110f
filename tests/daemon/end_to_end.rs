//! The whole path: an application's pool fills up, and somebody is paged; it empties, and they are told.

use serde_json::Value;

use crate::application::Application;
use crate::monitoring::{Monitoring, Webhook};
use crate::support::{Daemon, eventually};

fn settings(application: &Application) -> String {
    format!(
        "databases: {{primary: {{url: '{}'}}}}\npools: {{api: {{app_health: {{url: '{}'}}}}}}\n",
        application.cluster.url_as("poolwatch", "redditbot"),
        application.health()
    )
}

#[track_caller]
fn status_is(daemon: &Daemon, status: &str) -> bool {
    daemon.value("db_pool_status", &[("pool", "api"), ("status", status)]) == Some(1.0)
}

/// The pages about this pool.
fn pages(webhook: &Webhook, status: &str) -> Option<Value> {
    let alerts = webhook.alerts("pager", status, "PoolUtilizationCritical");
    alerts.into_iter().find(|alert| alert["labels"]["pool"] == "api")
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
    eventually(|| monitoring.query("pg_up") == Some(1.0));
    eventually(|| monitoring.query(r#"db_pool_status{pool="api",status="healthy"}"#) == Some(1.0));
    assert_eq!(pages(&webhook, "firing"), None);

    application.post("/troubles/leak?count=19");
    eventually(|| status_is(&daemon, "critical"));
    assert_eq!(of_api("db_pool_checked_out"), Some(19.0));
    assert_eq!(of_api("db_pool_busiest_worker_utilization_ratio"), Some(0.95));
    let health = daemon.get("/health/database/pool").json();
    assert_eq!((&health["checked_out"], &health["status"]), (&19.into(), &"critical".into()));
    assert_eq!(daemon.get("/health/ready").status, 200, "a full pool is no reason to be restarted");

    let page = eventually(|| pages(&webhook, "firing"));
    assert_eq!(page["labels"]["severity"], "critical");
    let description = page["annotations"]["description"].as_str().unwrap();
    assert!(description.contains("pool api") && description.contains("95%"), "{description}");
    assert_eq!(pages(&webhook, "resolved"), None);

    application.post("/troubles/release");
    eventually(|| status_is(&daemon, "healthy"));
    eventually(|| pages(&webhook, "resolved"));
}
