//! A server that does not answer: nothing of it is shown, and it is told once.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

use crate::support::{Daemon, Metrics, Relay, cluster_over_tcp, eventually, sql_over_tcp};

/// Families of poolwatch's own experience, which are there whether a server answers or not.
const OWN: [&str; 6] = [
    "pg_up",
    "pg_session_failure",
    "pg_server_info",
    "pg_exporter_",
    "pg_scrape_collector_",
    "db_pool_",
];

/// A server as it is watched: over TCP, by a role without other privileges.
fn cluster() -> (Cluster, u16) {
    let (cluster, port) = cluster_over_tcp();
    sql_over_tcp(
        &cluster,
        port,
        "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (n int);
         CREATE ROLE watch LOGIN CONNECTION LIMIT 5; GRANT pg_monitor TO watch",
    );
    (cluster, port)
}

fn daemon(port: u16) -> Daemon {
    let url = format!("postgresql://watch@127.0.0.1:{port}/postgres");
    let pool = "pools: {inferred: {activity: {size: 5, max_overflow: 15}}}";
    Daemon::with_settings(&format!(
        "servers: {{primary: {{url: '{url}'}}}}\nworkers: {{enabled: false}}\n{pool}\n"
    ))
    .start()
}

/// The sources of the server by whether they read.
fn sources(metrics: &Metrics, up: f64) -> BTreeSet<String> {
    let all = metrics.all("poolwatch_source_up", &[]).filter(|source| source.value == up);
    let names = all.map(|source| source.labels["source"].clone());
    names.filter(|name| name.starts_with("primary/")).collect()
}

/// Waits until everything reads; returns what does.
fn all_read(daemon: &Daemon) -> BTreeSet<String> {
    eventually(|| {
        let metrics = daemon.metrics();
        let read = sources(&metrics, 1.0);
        let all = daemon.get("/health/detailed").json()["sources"].as_array()?.len();
        // Without the pool of poolwatch itself.
        (read.len() + 1 == all).then_some(read)
    })
}

/// Waits until no figure of the server is shown.
fn nothing_is_shown(daemon: &Daemon) {
    eventually(|| {
        let metrics = daemon.metrics();
        let of_server = |name: &str| name.starts_with("pg_") || name.starts_with("db_statement");
        let shown = metrics.series.iter().any(|series| {
            of_server(&series.name) && !OWN.iter().any(|own| series.name.starts_with(own))
        });
        let inferred = metrics.value("db_pool_checked_in", &[("pool", "inferred")]);
        let up = sources(&metrics, 1.0);
        !shown && inferred.is_none() && up.is_empty() && metrics.value("pg_up", &[]) == Some(0.0)
    });
}

/// A server's processes while they are stopped.
struct Stopped(Vec<String>);

impl Stopped {
    fn new(cluster: &Cluster) -> Self {
        let postmaster = cluster.process().unwrap().to_string();
        signal("STOP", std::slice::from_ref(&postmaster));
        let mut all = children(&postmaster);
        signal("STOP", &all);
        all.push(postmaster);
        Self(all)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

fn signal(name: &str, processes: &[String]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "name=$1; shift; kill -s \"$name\" \"$@\"", "kill", name]).args(processes);
    assert!(shell.status().unwrap().success());
}

fn children(process: &str) -> Vec<String> {
    let file = format!("/proc/{process}/task/{process}/children");
    fs::read_to_string(file).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_stopped_server_leaves_no_figures_and_is_read_anew_at_once() {
    let (cluster, port) = cluster();
    let daemon = daemon(port);
    let read = all_read(&daemon);
    let stopped = Stopped::new(&cluster);
    nothing_is_shown(&daemon);
    assert_eq!(sources(&daemon.metrics(), 0.0), read);
    drop(stopped);
    eventually(|| sources(&daemon.metrics(), 1.0) == read);
}

#[test]
fn lost_packets_leave_no_figures_and_the_server_is_read_anew_at_once() {
    let (_cluster, port) = cluster();
    let relay = Relay::to(port);
    let daemon = daemon(relay.port());
    let read = all_read(&daemon);
    relay.carry(false);
    nothing_is_shown(&daemon);
    relay.carry(true);
    eventually(|| sources(&daemon.metrics(), 1.0) == read);
}

#[test]
fn a_server_that_is_down_is_told_once_and_so_is_that_it_connected() {
    let (mut cluster, port) = cluster();
    cluster.stop(Stop::Fast).unwrap();
    let daemon = daemon(port);
    nothing_is_shown(&daemon);
    // So many times as every source would have been asked.
    let failures = [("source", "primary/probe")];
    eventually(|| daemon.value("poolwatch_source_failures_total", &failures) >= Some(3.0));
    let output = daemon.output();
    assert_eq!(output.matches("level=warn").count(), 1, "{output}");
    assert!(output.contains("source=primary/probe"), "{output}");
    cluster.start().unwrap();
    all_read(&daemon);
    let output = daemon.output();
    assert_eq!(output.matches("message=connected").count(), 1, "{output}");
    assert_eq!(output.matches("level=warn").count(), 1, "{output}");
}

#[test]
fn a_server_that_gives_no_new_session_is_told_once_and_read_on() {
    let (cluster, port) = cluster();
    let daemon = daemon(port);
    let read = all_read(&daemon);
    let limit = |limit: i32| format!("ALTER ROLE watch CONNECTION LIMIT {limit}");
    sql_over_tcp(&cluster, port, &limit(0));
    // One of the two sessions that it keeps is lost.
    sql_over_tcp(
        &cluster,
        port,
        "SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity
         WHERE usename = 'watch'",
    );
    let refused = "the server gives no new session";
    eventually(|| daemon.output().contains(refused));
    let probes = || daemon.value("db_probe_duration_seconds_count", &[]);
    let before = probes();
    eventually(|| probes() >= before.map(|before| before + 5.0));
    assert_eq!(daemon.value("pg_up", &[]), Some(1.0));
    assert!(!sources(&daemon.metrics(), 1.0).is_empty());
    let output = daemon.output();
    assert_eq!(output.matches(refused).count(), 1, "{output}");
    sql_over_tcp(&cluster, port, &limit(5));
    eventually(|| sources(&daemon.metrics(), 1.0) == read);
}
