//! Who holds the connections: named by route, file and line, from the application to the advice.

use serde_json::Value;

use crate::application::Application;
use crate::support::{Daemon, eventually};

/// Routes that take a connection and return it.
const ROUTES: &[&str] = &[
    "/api/posts",
    "/api/posts/count",
    "/api/posts/of-client?client_id=1",
    "/api/posts/of-subreddit",
    "/api/users",
    "/api/users/count",
    "/api/configs",
    "/api/configs/count",
    "/api/responses/best",
    "/api/responses/quality?client_id=1",
    "/api/responses/of-post?post_id=1",
    "/api/analytics/daily?client_id=1",
    "/api/analytics/client-events?client_id=1",
    "/api/analytics/recent",
    "/health/detailed",
    "/troubles",
];
const LEAK: &str = "POST /troubles/leak";

fn pool(daemon: &Daemon) -> Value {
    daemon.get("/health/database/pool").json()["pools"][0].clone()
}

fn endpoint(pool: &Value, name: &str) -> Option<Value> {
    let endpoints = pool["endpoints"].as_array()?;
    endpoints.iter().find(|endpoint| endpoint["endpoint"] == name).cloned()
}

#[test]
fn a_leak_in_one_of_many_routes_is_named_with_its_route_file_and_line() {
    let application = Application::start_watched(&[("WORKERS", "1")]);
    let daemon = application.daemon("thresholds: {held_too_long: 2s}\n");
    for route in ROUTES {
        assert_eq!(application.get(route).status, 200, "{route}");
    }
    application.post("/troubles/leak?count=17");

    eventually(|| pool(&daemon)["holds"].is_array());
    let shown = pool(&daemon);
    let hold = &shown["holds"][0];
    assert_eq!((&hold["endpoint"], &hold["state"]), (&LEAK.into(), &"idle".into()), "{shown:#}");
    let location = hold["where"].as_str().unwrap();
    assert!(location.starts_with("redditbot/troubles.py:"), "{location}");
    assert!(hold["statement"].as_str().unwrap().contains("FROM clients"), "{hold}");
    assert_eq!(endpoint(&shown, LEAK).unwrap()["checked_out"], 17);
    for route in ROUTES {
        let name = format!("GET {}", route.split('?').next().unwrap());
        let returned = endpoint(&shown, &name).unwrap_or_else(|| panic!("{name}: {shown:#}"));
        assert_eq!(returned["checked_out"], 0, "{name}");
    }

    let labels = [("pool", "web"), ("endpoint", LEAK)];
    assert_eq!(daemon.value("db_pool_endpoint_checked_out", &labels), Some(17.0));
    assert_eq!(daemon.value("db_pool_endpoint_checkouts_total", &labels), Some(17.0));
    let held = || daemon.value("db_pool_endpoint_held_seconds_total", &labels);
    let before = held().unwrap();
    eventually(|| held().is_some_and(|now| now > before));

    let expected = format!("17 of 17 connections are held by `{LEAK}` at {location}");
    let advised = |rule: &str| {
        let advice = daemon.get("/health/detailed").json()["advice"].clone();
        let advice = advice.as_array().unwrap().clone();
        advice
            .into_iter()
            .any(|one| one["rule"] == rule && one["message"].as_str().unwrap().contains(&expected))
    };
    eventually(|| advised("connection_leak"));
    eventually(|| advised("pool_usage"));
    assert!(daemon.get("/").text().contains("redditbot/troubles.py:"));

    application.post("/troubles/release");
    eventually(|| !pool(&daemon)["holds"].is_array());
}
