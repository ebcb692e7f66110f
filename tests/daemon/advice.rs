//! Advice on the example application: each planted trouble is found, and health is silent.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::application::Application;
use crate::support::{Daemon, eventually, is_busy, skipped};

/// How long a trouble may go on before it is spoken of; on a machine busy with something else the load comes late too.
const WITHIN: Duration = Duration::from_mins(1);
const WITHIN_BUSY: Duration = Duration::from_mins(4);

/// Rules that judge how long things take: where the machine is busy with something else they may well be right.
const TIMED: [&str; 9] = [
    "connection_leak",
    "hot_worker",
    "overflow_churn",
    "pool_exhausted",
    "pool_usage",
    "query_latency",
    "server_cpu",
    "slow_queries",
    "statement_latency",
];

fn watch(application: &Application) -> Daemon {
    let catalogue = concat!(env!("CARGO_MANIFEST_DIR"), "/config/indexes.yml");
    let daemon = application
        .daemon(&format!("indexes: {{catalogue: '{catalogue}'}}\nadvice: {{clear_after: 3s}}"));
    // A worker reports from its first connection on.
    eventually(|| daemon.value("poolwatch_source_up", &[("source", "workers")]) == Some(1.0));
    daemon
}

/// As `watch`, of an application that does not report.
fn watch_from_outside(application: &Application) -> Daemon {
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}
pools: {{web: {{activity: {{application_name: '{}', size: 5, max_overflow: 15, workers: 2}}}}}}
advice: {{clear_after: 3s}}
",
        application.cluster.url_as("poolwatch", "redditbot"),
        application.name(),
    );
    Daemon::with_settings(&settings).start()
}

fn advice(daemon: &Daemon) -> Vec<Value> {
    daemon.get("/health/detailed").json()["advice"].as_array().unwrap().clone()
}

fn rules(daemon: &Daemon) -> BTreeSet<String> {
    advice(daemon).iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
}

/// Runs a phase until these rules have spoken, and returns what all said.
#[expect(clippy::print_stderr, reason = "how long each took, for whoever asks with --nocapture")]
#[track_caller]
fn phase(application: &Application, daemon: &Daemon, name: &str, wanted: &[&str]) -> Vec<Value> {
    let (mut load, output) = application.start_load(name, 240);
    let began = Instant::now();
    let mut said: Vec<Value> = Vec::new();
    let heard = |said: &[Value], rule: &&str| said.iter().any(|one| one["rule"] == **rule);
    while !wanted.iter().all(|rule| heard(&said, rule)) {
        let within = if is_busy() { WITHIN_BUSY } else { WITHIN };
        assert!(began.elapsed() < within, "{name}: {said:#?}\n{}", output.text());
        for one in advice(daemon) {
            if !said.iter().any(|known| known["rule"] == one["rule"]) {
                eprintln!("{name} after {:.0?}: {one}", began.elapsed());
                said.push(one);
            }
        }
        thread::sleep(Duration::from_millis(250));
    }
    load.signal("TERM").unwrap();
    eventually(|| load.ended().unwrap());
    said
}

fn remedy<'a>(said: &'a [Value], rule: &str) -> &'a str {
    let one = said.iter().find(|one| one["rule"] == rule).unwrap();
    one["remedy"].as_str().unwrap()
}

fn message<'a>(said: &'a [Value], rule: &str) -> &'a str {
    let one = said.iter().find(|one| one["rule"] == rule).unwrap();
    assert!(!one["remedy"].as_str().unwrap().is_empty());
    one["message"].as_str().unwrap()
}

/// For longer than usual with `HEALTHY_SECONDS`.
#[track_caller]
fn stay_healthy(application: &Application, daemon: &Daemon) {
    let seconds = std::env::var("HEALTHY_SECONDS").ok();
    let seconds = seconds.map_or(75, |seconds| seconds.parse().unwrap());
    let (mut load, output) = application.start_load("healthy", seconds);
    while load.ended().unwrap().is_none() {
        let mut said = advice(daemon);
        let timed = |one: &Value| TIMED.iter().any(|rule| one["rule"] == **rule);
        if is_busy() && said.iter().any(timed) {
            skipped("that health is silent, of the rules that judge time", "the machine is busy");
            said.retain(|one| !timed(one));
        }
        assert!(said.is_empty(), "{said:#?}\n{}", output.text());
        thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_healthy_application_is_told_nothing() {
    let application = Application::start_apart(&[("WORKERS", "2")]);
    let daemon = watch(&application);
    stay_healthy(&application, &daemon);
    let read = daemon.value("poolwatch_source_up", &[("source", "primary/index_catalogue")]);
    assert_eq!(read, Some(1.0), "what was not looked at says nothing");
}

#[test]
fn without_the_client_an_n_plus_one_is_suspected_and_health_is_silent() {
    let application = Application::start_apart_without_client(&[("WORKERS", "2")]);
    let daemon = watch_from_outside(&application);
    stay_healthy(&application, &daemon);
    let said = phase(&application, &daemon, "n_plus_one", &["n_plus_one_suspected"]);
    let message = message(&said, "n_plus_one_suspected");
    assert!(message.starts_with("an N+1 is suspected: `SELECT … FROM "), "{said:#?}");
    assert!(message.contains(" ORDER BY ") && message.contains(" ran "), "{said:#?}");
}

#[test]
fn each_planted_trouble_is_found_within_a_minute() {
    let application = Application::start_apart(&[("WORKERS", "2")]);
    let daemon = watch(&application);
    let look = |name: &str, wanted: &[&str]| phase(&application, &daemon, name, wanted);

    let said = look("saturation", &["pool_usage", "pool_exhausted", "hot_worker"]);
    assert!(message(&said, "pool_usage").starts_with("20 of 20 connections"), "{said:#?}");
    let said = look("leak", &["connection_leak"]);
    assert!(message(&said, "connection_leak").contains("none came back"), "{said:#?}");
    let said = look("n_plus_one", &["n_plus_one"]);
    assert!(message(&said, "n_plus_one").contains("redditbot/routes/"), "{said:#?}");
    let said = look("unpaginated", &["unpaginated"]);
    assert!(message(&said, "unpaginated").contains("redditbot/routes/"), "{said:#?}");
    let said = look("slow_query", &["slow_queries"]);
    assert!(message(&said, "slow_queries").contains("longer than 1 s"), "{said:#?}");
    let wanted = ["missing_index", "table_scans", "unindexed_foreign_key"];
    let said = look("missing_index", &wanted);
    assert!(message(&said, "missing_index").contains("idx_responses_post_client"), "{said:#?}");
    let scans = message(&said, "table_scans");
    assert!(scans.starts_with("the table ai_responses is read whole"), "{said:#?}");
    assert!(scans.contains("likely by `SELECT … FROM ai_responses WHERE"), "{said:#?}");
    let index = "CREATE INDEX CONCURRENTLY ON ai_responses (post_id)";
    assert!(remedy(&said, "table_scans").ends_with(index), "{said:#?}");
    assert_eq!(remedy(&said, "unindexed_foreign_key"), index, "{said:#?}");
    let series = daemon.metrics();
    let labels = [("rule", "missing_index"), ("subject", "idx_responses_post_client")];
    assert_eq!(series.value("poolwatch_advice", &labels), Some(1.0), "{:?}", rules(&daemon));
}
