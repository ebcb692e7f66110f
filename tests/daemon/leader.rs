//! Several poolwatches of one server, of which one leads.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

use crate::check::{NOBODY, check};
use crate::pgbouncer::bouncer::Bouncer;
use crate::support::{Daemon, Relay, eventually, free_port, is_busy};

/// The time within which another leads, on a machine that is not busy.
const TAKEOVER: Duration = Duration::from_secs(30);

/// A server over TCP, with the databases `one` and `two` and the documented role.
fn cluster() -> (Cluster, u16) {
    let port = free_port();
    let cluster = Cluster::builder()
        .setting("listen_addresses", "127.0.0.1")
        .setting("port", &port.to_string())
        .start();
    let cluster = cluster.unwrap();
    sql(&cluster, port, "CREATE ROLE watch LOGIN CONNECTION LIMIT 8; GRANT pg_monitor TO watch");
    sql(&cluster, port, "CREATE DATABASE one");
    sql(&cluster, port, "CREATE DATABASE two");
    (cluster, port)
}

fn sql(cluster: &Cluster, port: u16, statement: &str) -> String {
    let url = format!("{}&port={port}", cluster.url("postgres"));
    let psql = Command::new("psql").args(["-XAtq", &url, "-c", statement]).output().unwrap();
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    String::from_utf8(psql.stdout).unwrap()
}

/// The sessions of poolwatch.
fn sessions(cluster: &Cluster, port: u16) -> BTreeSet<String> {
    let all = "SELECT pid FROM pg_stat_activity WHERE usename = 'watch'";
    sql(cluster, port, all).lines().map(str::to_owned).collect()
}

/// Watchers of databases by their names in the settings.
fn settings(databases: &[&str], port: u16) -> String {
    let server = |name: &&str| {
        let url = format!("postgresql://watch@127.0.0.1:{port}/{name}");
        format!("  {name}: {{url: '{url}', leader_election: true}}\n")
    };
    let servers: String = databases.iter().map(server).collect();
    format!("role: watcher\nservers:\n{servers}")
}

fn watcher(databases: &[&str], port: u16) -> Daemon {
    Daemon::with_settings(&settings(databases, port)).start()
}

fn leads(daemon: &Daemon) -> bool {
    daemon.value("poolwatch_leader", &[]) == Some(1.0)
}

/// Waits until it leads and reads.
#[track_caller]
fn reads(daemon: &Daemon) {
    eventually(|| {
        let metrics = daemon.metrics();
        metrics.value("poolwatch_leader", &[]) == Some(1.0)
            && metrics.value("pg_up", &[]) == Some(1.0)
            && metrics.all("pg_stat_database_xact_commit", &[]).next().is_some()
    });
}

/// Waits until it shows that it stands by, and nothing of the server.
#[track_caller]
fn stands_by(daemon: &Daemon) {
    eventually(|| {
        let metrics = daemon.metrics();
        let of_server = |name: &str| name.starts_with("pg_") || name.starts_with("db_");
        metrics.value("poolwatch_leader", &[]) == Some(0.0)
            && !metrics.series.iter().any(|series| of_server(&series.name))
            && daemon.get("/health/ready").json()["database"]["status"] == "standby"
    });
}

#[track_caller]
fn in_time(since: Instant) {
    let elapsed = since.elapsed();
    assert!(elapsed < TAKEOVER || is_busy(), "another leads after {elapsed:?}");
}

#[test]
fn another_leads_when_the_network_of_the_leader_is_cut_and_never_both() {
    let (cluster, port) = cluster();
    let relay = Relay::to(port);
    let first = watcher(&["one"], relay.port());
    reads(&first);
    let second = watcher(&["one"], port);
    stands_by(&second);
    // Those of attempts are over at once.
    let (before, after) = (sessions(&cluster, port), sessions(&cluster, port));
    assert!(before.intersection(&after).count() <= 4, "{before:?} and {after:?}");
    assert_eq!(second.value("poolwatch_connections_opened_total", &[]), Some(0.0));
    let ready = second.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"healthy".into()));
    assert!(!second.output().contains("level=warn"), "{}", second.output());

    let cut = Instant::now();
    relay.carry(false);
    eventually(|| leads(&second).then(|| assert!(!leads(&first), "both lead")));
    in_time(cut);
    reads(&second);
    relay.carry(true);
    stands_by(&first);
    assert!(leads(&second));
}

#[test]
fn another_leads_when_the_leader_is_killed_and_one_does_when_the_server_starts_again() {
    let (mut cluster, port) = cluster();
    let mut first = watcher(&["one"], port);
    reads(&first);
    let second = watcher(&["one"], port);
    stands_by(&second);
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = check(&settings(&["one"], port), folder.path(), &[NOBODY]);
    assert!(text.contains("one/leader") && text.contains("the leader is the poolwatch"), "{text}");
    assert_eq!(code, Some(0), "{text}");

    let killed = Instant::now();
    first.signal("KILL");
    eventually(|| leads(&second));
    in_time(killed);
    reads(&second);

    let third = watcher(&["one"], port);
    stands_by(&third);
    cluster.stop(Stop::Immediate).unwrap();
    eventually(|| second.value("pg_up", &[]) == Some(0.0));
    assert!(!leads(&second) && !leads(&third));
    let shown = second.metrics().all("pg_stat_database_xact_commit", &[]).count();
    assert_eq!(shown, 0, "who lost its session shows nothing any more");
    cluster.start().unwrap();
    let started = Instant::now();
    eventually(|| leads(&second) || leads(&third));
    in_time(started);
    let (leader, other) = if leads(&second) { (second, third) } else { (third, second) };
    reads(&leader);
    stands_by(&other);
}

#[test]
fn each_of_several_servers_has_a_leader_of_its_own() {
    let (cluster, port) = cluster();
    let first = watcher(&["one"], port);
    reads(&first);
    let second = watcher(&["one", "two"], port);
    let leads = |server: &str| second.value("poolwatch_leader", &[("server", server)]);
    eventually(|| leads("two") == Some(1.0));
    eventually(|| leads("one") == Some(0.0));
    eventually(|| second.value("pg_up", &[("server", "two")]) == Some(1.0));
    assert_eq!(second.value("pg_up", &[("server", "one")]), None);
    // The session that holds a lock is lost, and nothing else.
    let of_two = "FROM pg_locks JOIN pg_database ON oid = database
                   WHERE locktype = 'advisory' AND datname = 'two'";
    let holder = || sql(&cluster, port, &format!("SELECT pid {of_two}"));
    let before = holder();
    sql(&cluster, port, &format!("SELECT pg_terminate_backend(pid) {of_two}"));
    eventually(|| ![before.as_str(), ""].contains(&&*holder()));
    eventually(|| leads("two") == Some(1.0));
    first.terminate();
    eventually(|| leads("one") == Some(1.0));
    eventually(|| second.value("pg_up", &[("server", "one")]) == Some(1.0));
}

#[test]
fn nobody_leads_through_a_pooler_and_that_is_said() {
    let bouncer = Bouncer::of_one("pool_mode = transaction");
    let url = bouncer.url("one", "app");
    let settings =
        format!("role: watcher\nservers: {{primary: {{url: '{url}', leader_election: true}}}}\n");
    let daemon = Daemon::with_settings(&settings).start();
    let reason = "no leader can be elected through a pooler";
    eventually(|| {
        let text = daemon.get("/health/ready").text();
        text.contains(reason) && daemon.output().contains(reason)
    });
    let metrics = daemon.metrics();
    assert_eq!(metrics.value("poolwatch_leader", &[]), Some(0.0));
    assert_eq!(metrics.value("pg_up", &[]), None);
    let troubles = daemon.get("/health/detailed").json()["troubles"].to_string();
    assert!(troubles.contains(reason), "{troubles}");
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = check(&settings, folder.path(), &[NOBODY]);
    assert!(code == Some(1) && text.contains("✗ primary/address"), "{text}");
}
