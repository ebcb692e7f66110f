//! The estimate of how long statements take, against what the server logs of each.

use std::fmt::Write as _;
use std::thread;

use poolwatch::demo::Cluster;
use poolwatch::sources::statements::LOGGED_FROM;

use crate::support::{Daemon, Metrics, eventually};

const FAMILY: &str = "db_statement_duration_estimated_seconds";
const APP: &[(&str, &str)] = &[("datname", "app")];
const SESSIONS: usize = 6;
/// What ran before anybody looked.
const BEFORE: &str = "SELECT pg_sleep(0.5)";

fn cluster() -> Cluster {
    let cluster = Cluster::builder().setting("log_min_duration_statement", "0").start().unwrap();
    prepare(&cluster);
    cluster
}

fn prepare(cluster: &Cluster) {
    cluster
        .sql(
            "CREATE DATABASE app; CREATE EXTENSION pg_stat_statements;
             CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher",
        )
        .unwrap();
}

fn daemon(cluster: &Cluster) -> Daemon {
    Daemon::with_settings(&format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         sampling: {{statements: 1s}}\n",
        cluster.url_as("watcher", "postgres")
    ))
    .start()
}

/// Seconds that one session's statements sleep: of one a slope, of one two humps, and of one much
/// the same. None is near 100 ms.
fn sleeps(session: usize) -> Vec<(&'static str, f64)> {
    let slope = (0..20).map(|step| 0.011 + 0.0095 * f64::from(step));
    let humps = (0..20).map(|step| if step % 5 == 0 { 0.22 } else { 0.012 });
    let same = (0..60).map(|step| 0.004 + 0.0001 * f64::from(step));
    let all = slope.map(|seconds| ("", seconds));
    let all = all.chain(humps.map(|seconds| (", 1", seconds)));
    let mut all: Vec<_> = all.chain(same.map(|seconds| (", 1, 1", seconds))).collect();
    let length = all.len();
    all.rotate_left(session * length / SESSIONS);
    all
}

/// Runs what a session sleeps, between transaction control and pings that are not to count.
fn run(cluster: &Cluster, session: usize) {
    let mut text = "SELECT 1; BEGIN; SET LOCAL work_mem = '1MB'; COMMIT;\n".to_owned();
    for (more, seconds) in sleeps(session) {
        writeln!(text, "SELECT pg_sleep({seconds}){more};").unwrap();
    }
    cluster.sql_in("app", &text).unwrap();
}

fn count(metrics: &Metrics) -> Option<f64> {
    metrics.value(&format!("{FAMILY}_count"), APP)
}

fn share_above(metrics: &Metrics, bound: &str) -> f64 {
    let labels = [("datname", "app"), ("le", bound)];
    let below = metrics.value(&format!("{FAMILY}_bucket"), &labels).unwrap();
    1.0 - below / count(metrics).unwrap()
}

fn within_total(metrics: &Metrics, threshold: &str, bound: &str) -> f64 {
    let labels = [("datname", "app"), ("threshold", threshold), ("bound", bound)];
    metrics.value("db_statement_duration_within_total", &labels).unwrap()
}

/// What the statements that slept took, in seconds, shortest first: on a busy machine longer than
/// they slept.
fn logged(cluster: &Cluster) -> Vec<f64> {
    let log = cluster.log();
    let lines = log.lines().filter(|line| line.contains(" ms  statement: SELECT pg_sleep("));
    let lines = lines.filter(|line| !line.ends_with(BEFORE));
    let durations = lines.filter_map(|line| line.split("duration: ").nth(1)?.split(' ').next());
    let mut durations: Vec<f64> = durations.map(|ms| ms.parse::<f64>().unwrap() / 1000.0).collect();
    durations.sort_unstable_by(f64::total_cmp);
    durations
}

#[test]
fn shares_are_those_that_the_server_logs() {
    let cluster = cluster();
    cluster.sql_in("app", BEFORE).unwrap();
    let daemon = daemon(&cluster);
    eventually(|| count(&daemon.metrics()) == Some(0.0));
    let cluster = &cluster;
    thread::scope(|scope| {
        (0..SESSIONS).for_each(|session| drop(scope.spawn(move || run(cluster, session))));
    });
    let sent = (0..SESSIONS).flat_map(sleeps).count();
    eventually(|| logged(cluster).len() == sent);
    eventually(|| count(&daemon.metrics()) == Some(sent as f64));
    let (all, metrics) = (logged(cluster), daemon.metrics());
    for (bound, seconds) in [("0.1", 0.1), ("0.2", 0.2), ("1", 1.0)] {
        let truth = all.iter().filter(|elapsed| **elapsed > seconds).count() as f64 / sent as f64;
        let apart = 100.0 * (share_above(&metrics, bound) - truth);
        assert!(apart.abs() < 2.0, "above {bound} s: {apart:+.2} points from {truth}");
        let within = all.iter().filter(|elapsed| **elapsed <= seconds).count() as f64;
        let [lower, upper] = ["lower", "upper"].map(|side| within_total(&metrics, bound, side));
        assert!(lower <= within && within <= upper, "within {bound} s: {lower} {within} {upper}");
        assert!(upper - lower < 0.2 * sent as f64, "within {bound} s: {lower} to {upper}");
    }
    let sum = metrics.value(&format!("{FAMILY}_sum"), APP).unwrap();
    let total: f64 = all.iter().sum();
    assert!((sum / total - 1.0).abs() < 0.05, "{sum} s of {total} s");
    let body = daemon.get("/health/detailed").json();
    let latency = body["estimated_statement_latency"].as_array().unwrap();
    let app = latency.iter().find(|one| one["datname"] == "app").unwrap();
    let p95 = app["p95_seconds"].as_f64().unwrap();
    let truth = all[sent * 95 / 100];
    assert!((p95 / truth - 1.0).abs() < 0.15, "{p95} s, not {truth} s: {body}");
}

/// Durations of the database's statements in the server's log, in seconds.
fn logged_in(cluster: &Cluster, file: &str) -> Vec<f64> {
    let text = std::fs::read(cluster.folder().join(file)).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines =
        text.lines().filter(|line| line.contains(",\"app\",") && line.contains("duration: "));
    let durations = lines.filter_map(|line| line.split("duration: ").nth(1)?.split(' ').next());
    durations.map(|ms| ms.parse::<f64>().unwrap() / 1000.0).collect()
}

/// Waits until the statistics were read for so many seconds more.
fn sampled_for(daemon: &Daemon, seconds: f64) {
    let labels = [("source", "primary/statement_durations")];
    let last = || daemon.value("poolwatch_source_last_success_timestamp_seconds", &labels);
    let first = eventually(last);
    eventually(|| last().is_some_and(|last| last >= first + seconds));
}

#[test]
fn where_the_log_has_the_slow_statements_the_bounds_are_exact() {
    let file = "data/log/server.csv";
    let settings = [
        ("logging_collector", "on"),
        ("log_destination", "csvlog"),
        ("log_filename", "server.log"),
        ("log_rotation_size", "0"),
        ("log_min_duration_statement", "100ms"),
    ];
    let builder =
        settings.iter().fold(Cluster::builder(), |one, (name, value)| one.setting(name, value));
    let cluster = builder.start().unwrap();
    prepare(&cluster);
    cluster.sql_in("app", BEFORE).unwrap();
    let daemon = Daemon::with_settings(&format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         sampling: {{statements: 1s}}\nlogs: {{path: '{}'}}\n",
        cluster.url_as("watcher", "postgres"),
        cluster.folder().join(file).display()
    ))
    .start();
    eventually(|| count(&daemon.metrics()) == Some(0.0));
    let before = logged_in(&cluster, file).len();
    sampled_for(&daemon, 4.0);
    let shared = &cluster;
    thread::scope(|scope| {
        (0..SESSIONS).for_each(|session| drop(scope.spawn(move || run(shared, session))));
    });
    let slower = |seconds| {
        let all = logged_in(&cluster, file).split_off(before);
        all.iter().filter(|elapsed| **elapsed > seconds).count() as f64
    };
    // Fast ones run on, so that what was shown before all was known is outgrown.
    eventually(|| {
        cluster.sql_in("app", &"SELECT pg_sleep(0), 7;\n".repeat(20)).unwrap();
        let metrics = daemon.metrics();
        let is_exact = |(name, seconds)| {
            let truth = count(&metrics).unwrap() - slower(seconds);
            ["lower", "upper"].iter().all(|side| within_total(&metrics, name, side) == truth)
        };
        [("0.1", 0.1), ("0.2", 0.2), ("1", 1.0)].into_iter().all(is_exact)
    });
    assert!(slower(0.1) > slower(0.2) && slower(0.2) > 0.0);
    eventually(|| {
        let truth = slower(0.2) / count(&daemon.metrics())?;
        let body = daemon.get("/health/detailed").json();
        let all = body["estimated_statement_latency"].as_array()?;
        let app = all.iter().find(|one| one["datname"] == "app")?;
        let shares = app["share_above"].as_array()?;
        let share = shares.iter().find(|share| share["threshold_seconds"] == 0.2)?;
        let is = |key: &str| share[key].as_f64().is_some_and(|it| (it - truth).abs() < 1e-5);
        (is("lower") && is("upper") && is("estimate")).then_some(())
    });
}

#[test]
fn a_log_that_may_lack_statements_is_not_taken_for_all_of_them() {
    let settings = [("log_min_duration_statement", "100ms"), ("log_destination", "csvlog,stderr")];
    let builder =
        settings.iter().fold(Cluster::builder(), |one, (name, value)| one.setting(name, value));
    let cluster = builder.start().unwrap();
    prepare(&cluster);
    let from = |destination: &str| {
        cluster.sql(&LOGGED_FROM.replace("$1", &format!("'{destination}'"))).unwrap()
    };
    let is = |expected: &str| eventually(|| from("csvlog").trim() == expected);
    is("0.1");
    assert_eq!(from("jsonlog").trim(), "", "the server does not write to it");
    for change in [
        "ALTER SYSTEM SET log_min_duration_statement = -1",
        "ALTER SYSTEM SET log_destination = 'stderr'",
        "ALTER SYSTEM SET pg_stat_statements.track_utility = off",
        "ALTER SYSTEM SET pg_stat_statements.track = none",
        "ALTER ROLE watcher SET log_min_duration_statement = '5s'",
        "ALTER DATABASE app SET lc_messages = 'C'",
    ] {
        // A sample of all statements is not all of them.
        cluster.sql("ALTER SYSTEM SET log_min_duration_sample = 0").unwrap();
        cluster.sql(change).unwrap();
        cluster.sql("SELECT pg_reload_conf()").unwrap();
        is("");
        cluster.sql("ALTER SYSTEM RESET ALL").unwrap();
        cluster.sql("ALTER ROLE watcher RESET ALL").unwrap();
        cluster.sql("ALTER DATABASE app RESET ALL").unwrap();
        cluster.sql("SELECT pg_reload_conf()").unwrap();
        is("0.1");
    }
}

#[test]
fn what_is_forgotten_is_counted_on_and_what_failed_is_not() {
    let cluster = cluster();
    let daemon = daemon(&cluster);
    cluster.sql_in("app", "SELECT pg_sleep(0.02), 1").unwrap();
    eventually(|| count(&daemon.metrics()).is_some());
    let before = count(&daemon.metrics()).unwrap();
    let twice = "SELECT pg_sleep(0.15); SELECT pg_sleep(0.3);";
    cluster.sql_in("app", twice).unwrap();
    eventually(|| count(&daemon.metrics()) == Some(before + 2.0));
    cluster.sql("SELECT pg_stat_statements_reset()").unwrap();
    cluster.sql_in("app", "SET statement_timeout = 200; SELECT pg_sleep(5)").unwrap_err();
    cluster.sql_in("app", twice).unwrap();
    eventually(|| count(&daemon.metrics()) == Some(before + 4.0));
    let metrics = daemon.metrics();
    let above = share_above(&metrics, "0.2") * count(&metrics).unwrap();
    assert!((above - 2.0).abs() < 0.01, "two of four took 0.3 s, not {above}");
}

#[test]
fn a_role_that_may_not_see_is_told_so() {
    let cluster = cluster();
    cluster.sql("CREATE ROLE blind LOGIN").unwrap();
    cluster.sql_in("app", "SELECT pg_sleep(0.01)").unwrap();
    let mut check = crate::support::poolwatch();
    let output =
        check.arg("check").env("DATABASE_URL", cluster.url_as("blind", "postgres")).output();
    let report = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(report.contains("GRANT pg_read_all_stats"), "{report}");
}

#[test]
fn the_statements_that_take_most_time_have_series_of_their_own_up_to_the_limit() {
    const BY_STATEMENT: &str = "db_statement_duration_by_statement_estimated_seconds";
    let cluster = cluster();
    let daemon = Daemon::with_settings(&format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         sampling: {{statements: 1s}}\ncollectors: {{statement_durations: {{limit: 2}}}}\n",
        cluster.url_as("watcher", "postgres")
    ))
    .start();
    let counts = |metrics: &Metrics| {
        let name = format!("{BY_STATEMENT}_count");
        let series = metrics.all(&name, APP);
        series.map(|one| (one.labels["queryid"].clone(), one.value)).collect::<Vec<_>>()
    };
    let run = || {
        let sleeps = "SELECT pg_sleep(0.03); SELECT pg_sleep(0.02), 1; SELECT pg_sleep(0.01), 1, 1";
        cluster.sql_in("app", sleeps).unwrap();
    };
    let first = eventually(|| {
        run();
        let counts = counts(&daemon.metrics());
        (counts.len() == 2).then_some(counts)
    });
    let now = eventually(|| {
        run();
        let counts = counts(&daemon.metrics());
        let grown = |(one, before): (&(String, f64), &(String, f64))| one.1 > before.1 + 5.0;
        counts.iter().zip(&first).all(grown).then_some(counts)
    });
    let names = |counts: &[(String, f64)]| {
        counts.iter().map(|(query_id, _)| query_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&now), names(&first));
    // Each is counted from when it is among the first, and no call is below what it sleeps.
    for (query_id, _) in &now {
        let labels = [("queryid", query_id.as_str()), ("le", "0.005")];
        let below = daemon.value(&format!("{BY_STATEMENT}_bucket"), &labels);
        assert_eq!(below, Some(0.0), "{query_id}");
    }
}
