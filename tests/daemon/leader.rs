//! Several poolwatches of one server, of which one leads.

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

use crate::check::{NOBODY, check};
use crate::pgbouncer::bouncer::Bouncer;
use crate::support::{Daemon, Relay, cluster_over_tcp, eventually, sql_over_tcp};

/// A server over TCP, with the databases `one` and `two` and the documented role.
fn cluster() -> (Cluster, u16) {
    let (cluster, port) = cluster_over_tcp();
    sql_over_tcp(
        &cluster,
        port,
        "CREATE ROLE watch LOGIN CONNECTION LIMIT 20; GRANT pg_monitor TO watch",
    );
    sql_over_tcp(&cluster, port, "CREATE DATABASE one");
    sql_over_tcp(&cluster, port, "CREATE DATABASE two");
    (cluster, port)
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

/// Returns true while it leads and shows what it reads.
fn reads(daemon: &Daemon) -> bool {
    let metrics = daemon.metrics();
    metrics.value("poolwatch_leader", &[]) == Some(1.0)
        && metrics.value("pg_up", &[]) == Some(1.0)
        && metrics.all("pg_stat_database_xact_commit", &[]).next().is_some()
}

/// Returns true while it says that it stands by, and shows nothing of the server.
fn stands_by(daemon: &Daemon) -> bool {
    let metrics = daemon.metrics();
    let of_server = |name: &str| name.starts_with("pg_") || name.starts_with("db_");
    let ready = daemon.get("/health/ready");
    let body = ready.json();
    metrics.value("poolwatch_leader", &[]) == Some(0.0)
        && !metrics.series.iter().any(|series| of_server(&series.name))
        && ready.status == 200
        && (&body["status"], &body["database"]["status"]) == (&"healthy".into(), &"standby".into())
}

#[test]
fn another_leads_when_the_network_of_the_leader_is_cut_and_one_does_when_it_is_back() {
    let (_cluster, port) = cluster();
    let relay = Relay::to(port);
    let first = watcher(&["one"], relay.port());
    eventually(|| reads(&first));
    let second = watcher(&["one"], port);
    eventually(|| stands_by(&second) && reads(&first));

    relay.carry(false);
    eventually(|| reads(&second) && !leads(&first));
    relay.carry(true);
    eventually(|| reads(&second) && stands_by(&first) || reads(&first) && stands_by(&second));
}

#[test]
fn another_leads_when_the_leader_is_killed_and_one_does_when_the_server_starts_again() {
    let (mut cluster, port) = cluster();
    let mut first = watcher(&["one"], port);
    eventually(|| reads(&first));
    let second = watcher(&["one"], port);
    eventually(|| stands_by(&second) && reads(&first));
    let folder = tempfile::tempdir().unwrap();
    eventually(|| {
        let (code, text) = check(&settings(&["one"], port), folder.path(), &[NOBODY]);
        let is_named = text.contains("one/leader") && text.contains("the leader is the poolwatch");
        code == Some(0) && is_named
    });

    first.signal("KILL");
    eventually(|| reads(&second));

    let third = watcher(&["one"], port);
    eventually(|| stands_by(&third) && reads(&second));
    cluster.stop(Stop::Immediate).unwrap();
    eventually(|| {
        let metrics = second.metrics();
        metrics.value("pg_up", &[]) == Some(0.0)
            && metrics.all("pg_stat_database_xact_commit", &[]).next().is_none()
            && !leads(&second)
            && !leads(&third)
    });
    cluster.start().unwrap();
    eventually(|| reads(&second) && stands_by(&third) || reads(&third) && stands_by(&second));
}

#[test]
fn each_of_several_servers_has_a_leader_of_its_own() {
    let (cluster, port) = cluster();
    let first = watcher(&["one"], port);
    eventually(|| reads(&first));
    let second = watcher(&["one", "two"], port);
    let leads = |server: &str| second.value("poolwatch_leader", &[("server", server)]);
    let status = || {
        let databases = second.get("/health/ready").json()["database"]["databases"].clone();
        (databases[0]["status"].clone(), databases[1]["status"].clone())
    };
    eventually(|| {
        status() == ("standby".into(), "connected".into())
            && (leads("one"), leads("two")) == (Some(0.0), Some(1.0))
            && second.value("pg_up", &[("server", "two")]) == Some(1.0)
            && second.value("pg_up", &[("server", "one")]).is_none()
    });
    // The session that holds a lock is lost, and nothing else.
    let of_two = "FROM pg_locks JOIN pg_database ON oid = database
                   WHERE locktype = 'advisory' AND datname = 'two'";
    let holder = || sql_over_tcp(&cluster, port, &format!("SELECT pid {of_two}"));
    let before = eventually(|| Some(holder()).filter(|pid| !pid.is_empty()));
    sql_over_tcp(&cluster, port, &format!("SELECT pg_terminate_backend({before})"));
    eventually(|| ![before.as_str(), ""].contains(&&*holder()) && leads("two") == Some(1.0));
    first.terminate();
    eventually(|| {
        leads("one") == Some(1.0) && second.value("pg_up", &[("server", "one")]) == Some(1.0)
    });
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
