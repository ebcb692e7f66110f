//! A server that refuses a session is not one that is down: the reason of each is told apart.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::{allow, server};
use crate::support::{Daemon, eventually, skipped};

/// Starts poolwatch in a network of its own, and prints why it has no session of its server.
const ALONE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/daemon/fixtures/alone.py");

/// Every reason that the metric has for a server, with its value, but those that are 0.
fn reasons(daemon: &Daemon, server: &[(&str, &str)]) -> Vec<String> {
    let metrics = daemon.metrics();
    let all = metrics.all("pg_session_failure", server).filter(|series| series.value > 0.0);
    all.map(|series| series.labels["reason"].clone()).collect()
}

/// Waits for a condition; returns false when it never holds.
fn wait(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_mins(3) {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn is_for(daemon: &Daemon, server: &str, reason: &str) {
    let label = [("server", server)];
    let labels = if server.is_empty() { &[] } else { &label[..] };
    let mut last = Vec::new();
    // The server must give no session as long as there is a reason.
    let found = wait(|| {
        last = reasons(daemon, labels);
        last == [reason] && daemon.value("pg_up", labels) == Some(0.0)
    });
    assert!(
        found,
        "{server}: {last:?} in the place of {reason}: {}",
        daemon.get("/health/ready").text()
    );
}

/// Waits until the card about a server has this rule and this severity.
#[track_caller]
fn card_is(daemon: &Daemon, server: &str, rule: &str, severity: &str) {
    let mut last = Value::Null;
    let found = wait(|| {
        last = daemon.get("/health/detailed").json()["troubles"].clone();
        let troubles = last.as_array().unwrap();
        let card = troubles.iter().find(|one| one["subject"] == server);
        card.is_some_and(|card| card["rule"] == rule && card["severity"] == severity)
    });
    assert!(found, "{server}: no {severity} {rule}: {last:#}");
}

#[tokio::test]
async fn each_reason_is_told_apart_and_only_a_server_without_an_answer_is_down() {
    let (mut cluster, address) = server(&[("max_connections", "10")]);
    cluster
        .sql(
            "CREATE ROLE watch LOGIN PASSWORD 's3cret-0'; CREATE ROLE capped LOGIN CONNECTION LIMIT 0;
             CREATE ROLE plain LOGIN; CREATE ROLE barred LOGIN",
        )
        .unwrap();
    cluster.sql("CREATE DATABASE limited CONNECTION LIMIT 0").unwrap();
    cluster.sql("CREATE DATABASE private").unwrap();
    cluster.sql("CREATE DATABASE closed ALLOW_CONNECTIONS false").unwrap();
    cluster.sql("REVOKE CONNECT ON DATABASE private FROM public").unwrap();
    allow(&cluster, "host all watch 0.0.0.0/0 scram-sha-256\nhost all all 0.0.0.0/0 trust");

    access_is_denied(&address.to_string());
    slots_run_out(&mut cluster, address.to_string()).await;
}

fn access_is_denied(address: &str) {
    let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mute = mute.local_addr().unwrap();
    let servers = [
        ("too_many_connections_role", format!("capped@{address}/postgres")),
        ("too_many_connections_database", format!("plain@{address}/limited")),
        ("authentication", format!("watch:wrong@{address}/postgres")),
        ("no_such_database", format!("plain@{address}/nothing")),
        ("closed_database", format!("plain@{address}/closed")),
        ("permission", format!("plain@{address}/private")),
        ("tls", format!("barred@{address}/postgres?sslmode=require")),
        ("connection_refused", format!("plain@{address}:1/postgres")),
        ("unresolved", "plain@nowhere.invalid/postgres".to_owned()),
        ("no_answer", format!("plain@{mute}/postgres?connect_timeout=1")),
    ];
    let settings =
        servers.iter().map(|(name, url)| format!("  {name}: {{url: 'postgresql://{url}'}}\n"));
    let settings =
        format!("servers:\n{}workers: {{enabled: false}}\n", settings.collect::<String>());
    let daemon = Daemon::with_settings(&settings).start();
    for (reason, _) in &servers {
        is_for(&daemon, reason, reason);
    }
    card_is(&daemon, "authentication", "server_denies_access", "warning");
    card_is(&daemon, "too_many_connections_database", "server_refuses", "critical");
    card_is(&daemon, "no_answer", "server_down", "critical");
    let mut ready = Value::Null;
    let found = wait(|| {
        ready = daemon.get("/health/ready").json();
        let databases = ready["database"]["databases"].as_array().unwrap();
        databases.iter().all(|one| one["reason"] == one["name"])
    });
    assert!(found, "{ready:#}");
    assert!(!daemon.metrics().text.contains("wrong"), "no password is shown");
}

/// The slots go one after another, and the server with them.
async fn slots_run_out(cluster: &mut Cluster, address: String) {
    let url = cluster.url("postgres");
    let mut taken = Vec::new();
    for _ in 0..7 {
        taken.push(PgConnection::connect(&url).await.unwrap());
    }
    let settings = format!(
        "servers: {{primary: {{url: 'postgresql://plain@{address}/postgres'}}}}\nworkers: {{enabled: false}}\n"
    );
    let daemon = Daemon::with_settings(&settings).start();
    is_for(&daemon, "", "reserved_connections");
    for _ in 7..10 {
        taken.push(PgConnection::connect(&url).await.unwrap());
    }
    is_for(&daemon, "", "too_many_connections_server");
    let stop = cluster.process().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &stop]).status().unwrap().success());
    is_for(&daemon, "", "shutting_down");
    card_is(&daemon, "primary", "server_refuses", "critical");
    drop(taken);
    is_for(&daemon, "", "connection_refused");
    card_is(&daemon, "primary", "server_down", "critical");
    starts_slowly(cluster, &daemon);
    eventually(|| (daemon.value("pg_up", &[]) == Some(1.0)).then_some(()));
    eventually(|| reasons(&daemon, &[]).is_empty().then_some(()));
}

/// It replays its log until it is told to take writes, and lets nobody in meanwhile.
fn starts_slowly(cluster: &mut Cluster, daemon: &Daemon) {
    let data = cluster.folder().join("data");
    cluster.configure(&[("hot_standby".to_owned(), "off".to_owned())]).unwrap();
    fs::write(data.join("standby.signal"), "").unwrap();
    thread::scope(|scope| {
        let starting = scope.spawn(|| cluster.start());
        is_for(daemon, "", "starting_up");
        card_is(daemon, "primary", "server_refuses", "critical");
        fs::write(data.join("promote"), "").unwrap();
        let pids = fs::read_to_string(data.join("postmaster.pid")).unwrap();
        let postmaster = pids.lines().next().unwrap();
        assert!(Command::new("kill").args(["-USR1", postmaster]).status().unwrap().success());
        // Ready late, which may be too late for it to be told so: the caller waits for the server.
        drop(starting.join().unwrap());
    });
}

/// A network namespace has no route to anywhere.
#[test]
fn a_server_to_which_there_is_no_route_is_told_apart() {
    let test = "a_server_to_which_there_is_no_route";
    let unshare = ["--user", "--map-root-user", "--net"];
    let made = Command::new("unshare").args(unshare).arg("true").status();
    if !made.is_ok_and(|status| status.success()) {
        return skipped(test, "no network namespace can be made here");
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("poolwatch.yml");
    let text = "servers: {primary: {url: 'postgresql://plain@192.0.2.1/postgres'}}\nworkers: {enabled: false}\n";
    fs::write(&settings, text).unwrap();
    let mut alone = Command::new("unshare");
    alone.args(unshare).args(["python3", ALONE, env!("CARGO_BIN_EXE_poolwatch")]).arg(&settings);
    let output = alone.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(printed.trim(), "no_route", "{}", String::from_utf8_lossy(&output.stderr));
}
