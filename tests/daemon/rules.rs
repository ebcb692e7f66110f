//! Rules whose troubles the example's load does not cause: each test causes the real trouble, and
//! the real daemon finds it.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use serde_json::Value;

use crate::application::Application;
use crate::support::{Daemon, eventually};

const INHERIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/fixtures/inherit.conf.py");

/// A daemon over an application that reports to it, with these settings of rules.
#[track_caller]
fn watch(application: &Application, rules: &str) -> Daemon {
    let daemon = application.daemon(&format!("advice: {{{rules}}}"));
    eventually(|| daemon.value("poolwatch_source_up", &[("source", "workers")]) == Some(1.0));
    daemon
}

/// The advice of a rule, as soon as there is one.
#[track_caller]
fn advice_of(daemon: &Daemon, rule: &str) -> Value {
    eventually(|| {
        let page = daemon.get("/health/detailed").json();
        let all = page["advice"].as_array().unwrap().iter();
        all.into_iter().find(|one| one["rule"] == rule).cloned()
    })
}

/// Makes this number of workers use their pools, so that they report.
#[track_caller]
fn use_all(application: &Application, count: usize) {
    eventually(|| application.workers().len() == count);
    for worker in application.workers() {
        assert_eq!(application.ask(worker, "GET", "/api/users/count").status, 200);
    }
}

fn text<'a>(advice: &'a Value, key: &str) -> &'a str {
    advice[key].as_str().unwrap()
}

#[test]
fn a_table_that_is_scanned_is_reported_until_the_remedy_is_followed() {
    let cluster = Cluster::builder().start().unwrap();
    let tables = "CREATE EXTENSION pg_stat_statements;
        CREATE TABLE events (id serial PRIMARY KEY, kind int, \"At\" timestamptz);
        INSERT INTO events (kind, \"At\")
        SELECT n % 500, now() - n * interval '1 minute' FROM generate_series(1, 50000) n;
        ANALYZE events";
    cluster.sql(tables).unwrap();
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}
sampling: {{tables: 4s, statements: 2s}}
advice: {{clear_after: 1s}}
",
        cluster.url("postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    let scan = "SELECT count(*) FROM events WHERE kind = 7 AND \"At\" > now() - interval '9 days'";
    let advised = || {
        cluster.sql(scan).unwrap();
        let page = daemon.get("/health/detailed").json();
        let all = page["advice"].as_array().unwrap().iter();
        all.into_iter().find(|one| one["rule"] == "table_scans").cloned()
    };
    // At first it is not known which statement does it.
    let remedy = eventually(|| {
        let remedy = text(&advised()?, "remedy").to_owned();
        Some(remedy.split_once("CREATE INDEX")?.1.to_owned())
    });
    assert_eq!(remedy, " CONCURRENTLY ON events (kind, \"At\")");
    cluster.sql(&format!("CREATE INDEX {remedy}")).unwrap();
    let cured = Instant::now();
    while let Some(advice) = advised() {
        assert!(cured.elapsed() < Duration::from_mins(3), "{advice}");
        thread::sleep(Duration::from_millis(250));
    }
}

#[test]
fn a_pool_that_is_outgrown_again_and_again_is_reported() {
    let small = [("WORKERS", "1"), ("POOL_SIZE", "1"), ("MAX_OVERFLOW", "19")];
    let application = Application::start_watched(&small);
    let daemon = watch(&application, "");
    let (_load, _output) = application.start_load("healthy", 60);
    let advice = advice_of(&daemon, "overflow_churn");
    assert!(text(&advice, "message").contains("the pool of 1 is outgrown"), "{advice}");
    assert!(text(&advice, "remedy").starts_with("raise pool_size"), "{advice}");
}

#[test]
fn pools_that_may_open_more_than_the_server_accepts_are_reported_with_the_sum() {
    let large = [("WORKERS", "2"), ("POOL_SIZE", "50"), ("MAX_OVERFLOW", "110")];
    let application = Application::start_watched(&large);
    let daemon = watch(&application, "");
    use_all(&application, 2);
    let advice = advice_of(&daemon, "connection_budget");
    let message = text(&advice, "message");
    assert!(message.contains("2 × 160 (web) = 320 connections"), "{advice}");
    assert!(message.contains("grants 297"), "{advice}");
    assert!(text(&advice, "remedy").contains("at most 147 (295 / 2 workers)"), "{advice}");
}

#[test]
fn a_worker_that_finds_its_parents_connection_is_reported() {
    let config = [("WORKERS", "1"), ("GUNICORN_CONFIG", INHERIT)];
    let application = Application::start_watched(&config);
    let daemon = watch(&application, "");
    use_all(&application, 1);
    eventually(|| daemon.value("db_pool_workers", &[("pool", "web")]) >= Some(1.0));
    // What happened before the daemon looked counts for nothing: another worker is forked.
    let first = application.workers()[0];
    assert!(Command::new("sh").args(["-c", &format!("kill {first}")]).status().unwrap().success());
    eventually(|| {
        let workers = application.try_get("/workers")?.json();
        let pids = workers["workers"].as_array()?.iter().map(|one| one["pid"].as_u64());
        pids.into_iter().any(|pid| pid.is_some_and(|pid| pid != u64::from(first))).then_some(())
    });
    eventually(|| application.try_get("/api/users/count").is_some_and(|a| a.status == 200));
    let advice = advice_of(&daemon, "inherited_connections");
    assert_eq!(advice["severity"], "critical", "{advice}");
    assert!(text(&advice, "remedy").contains("engine.dispose(close=False)"), "{advice}");
}

#[test]
fn connections_that_something_closes_while_they_are_idle_are_reported() {
    let application = Application::start_watched(&[("WORKERS", "1")]);
    let daemon = watch(&application, "");
    use_all(&application, 1);
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
          WHERE application_name = '{}' AND state = 'idle'",
        application.name()
    );
    let broken = || daemon.value("db_pool_connections_invalidated_total", &[("pool", "web")]);
    let mut cuts = 0;
    let advice = eventually(|| {
        // Each time what rests is cut off, and the next who asks finds it so.
        let before = broken();
        application.cluster.sql(&cut).unwrap();
        use_all(&application, 1);
        eventually(|| broken() > before);
        cuts += 1;
        let page = daemon.get("/health/detailed").json();
        let all = page["advice"].as_array().unwrap().iter();
        all.into_iter().find(|one| one["rule"] == "broken_connections").cloned()
    });
    assert!(cuts >= 4, "{advice} after {cuts}");
    assert!(text(&advice, "remedy").contains("pool_recycle"), "{advice}");
}

#[test]
fn a_pool_that_is_never_at_rest_and_data_that_grow_are_signs_to_scale() {
    let application = Application::start_watched(&[("WORKERS", "1"), ("POOL_SIZE", "5")]);
    // Before the daemon looks: what it has once seen at rest is not never at rest.
    application.post("/troubles/leak?count=18");
    let rules = "time_to_scale: {min_observed: 20s, gigabytes: 0.001}";
    let daemon = watch(&application, rules);
    let of = |subject: &str| {
        let page = daemon.get("/health/detailed").json();
        let mut all = page["advice"].as_array().unwrap().clone().into_iter();
        all.find(|one| one["rule"] == "time_to_scale" && one["subject"] == subject)
    };
    let pool = eventually(|| of("web"));
    assert!(text(&pool, "message").contains("the pool was never below 90 % (steady)"), "{pool}");
    let server = eventually(|| of("primary"));
    assert!(text(&server, "message").contains("the databases have 0."), "{server}");
}

#[test]
fn a_server_whose_processors_are_busy_is_told() {
    let cluster = Cluster::builder().start().unwrap();
    let settings = format!(
        "servers: {{primary: {{url: '{}'}}}}\nadvice: {{server_cpu: {{above: 0.02}}}}\n\
         sampling: {{server: 1s}}\n",
        cluster.url("postgres")
    );
    let daemon = Daemon::with_settings(&settings).start();
    let is_over = AtomicBool::new(false);
    let advice = thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while !is_over.load(Ordering::Relaxed) && began.elapsed() < Duration::from_mins(4) {
                cluster.sql("SELECT count(*) FROM generate_series(1, 2000000)").unwrap();
            }
        });
        // It is judged by a whole minute.
        let began = Instant::now();
        let advice = loop {
            let page = daemon.get("/health/detailed").json();
            let mut all = page["advice"].as_array().unwrap().clone().into_iter();
            match all.find(|one| one["rule"] == "server_cpu") {
                Some(advice) => break advice,
                None => assert!(began.elapsed() < Duration::from_mins(4), "nothing is told"),
            }
            thread::sleep(Duration::from_millis(250));
        };
        is_over.store(true, Ordering::Relaxed);
        advice
    });
    assert_eq!(text(&advice, "subject"), "primary", "{advice}");
    assert!(text(&advice, "message").contains("processors in the last minute"), "{advice}");
}

#[test]
fn statements_that_are_slow_in_the_server_are_reported_where_no_client_measures() {
    let cluster = Cluster::builder().setting("log_min_duration_statement", "0").start().unwrap();
    let roles = "CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher;
        CREATE EXTENSION pg_stat_statements";
    cluster.sql(roles).unwrap();
    let settings = |more: &str| {
        let url = cluster.url_as("watcher", "postgres");
        format!("servers: {{primary: {{url: '{url}'}}}}\nsampling: {{statements: 1s}}\n{more}")
    };
    let path = cluster.log_file();
    let log = format!("logs: {{path: '{}', prefix: '%m [%p] '}}\n", path.display());
    let estimating = Daemon::with_settings(&settings("")).start();
    let logged = Daemon::with_settings(&settings(&log)).start();
    for (daemon, source) in [(&estimating, "primary/statement_durations"), (&logged, "server_log")]
    {
        eventually(|| daemon.value("poolwatch_source_up", &[("source", source)]) == Some(1.0));
    }
    let slow = "SELECT pg_sleep(0.25);".repeat(12);
    thread::scope(|scope| {
        (0..10).for_each(|_| drop(scope.spawn(|| cluster.sql(&slow).unwrap())));
    });
    for (daemon, by) in
        [(&estimating, "by the figures of pg_stat_statements"), (&logged, "by its log")]
    {
        let advice = advice_of(daemon, "statement_latency");
        assert_eq!(text(&advice, "severity"), "warning", "{advice}");
        assert!(text(&advice, "message").contains(by), "{advice}");
        assert!(
            text(&advice, "message").contains("the threshold for scaling is 200 ms"),
            "{advice}"
        );
    }
}
