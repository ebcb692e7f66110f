//! The daemon while the database is down, full, or silent.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

use crate::support::{Daemon, eventually};

fn settings(url: &str) -> String {
    format!(
        "servers: {{primary: {{url: '{url}'}}}}\n\
         workers: {{enabled: false}}\n\
         sampling: {{server: 1s, tables: 1s}}\n\
         pools: {{inferred: {{activity: {{size: 5, max_overflow: 15}}}}}}\n"
    )
}

fn up(daemon: &Daemon, source: &str) -> Option<f64> {
    daemon.value("poolwatch_source_up", &[("source", source)])
}

/// A client that holds a connection.
fn hold(cluster: &Cluster) -> Child {
    let mut psql = Command::new("psql")
        .args(["-X", "-q", &cluster.url("postgres")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    psql.stdin.as_mut().unwrap().write_all(b"BEGIN; SELECT 1;\n").unwrap();
    psql
}

fn release(holders: Vec<Child>) {
    for mut child in holders {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn it_starts_with_the_database_down_and_recovers() {
    let mut cluster = Cluster::builder().start().unwrap();
    let url = cluster.url("postgres");
    cluster.stop(Stop::Fast).unwrap();
    let daemon = Daemon::with_settings(&settings(&url)).start();
    eventually(|| daemon.value("pg_up", &[]) == Some(0.0));
    let metrics = daemon.metrics();
    assert_eq!(metrics.value("poolwatch_source_up", &[("source", "primary/activity")]), Some(0.0));
    assert_eq!(metrics.value("db_pool_checked_in", &[("pool", "inferred")]), None);
    assert_eq!(daemon.get("/health/ready").status, 503);
    assert_eq!(daemon.get("/-/ready").status, 200, "the daemon itself is ready");
    cluster.start().unwrap();
    eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
    eventually(|| daemon.get("/health/ready").status == 200);
    eventually(|| up(&daemon, "primary/stat_database") == Some(1.0));
}

#[test]
fn a_restart_of_the_server_is_survived_and_leaves_no_stale_figures() {
    let mut cluster = Cluster::builder().start().unwrap();
    let daemon = Daemon::with_settings(&settings(&cluster.url("postgres"))).start();
    let commits = [("datname", "postgres")];
    eventually(|| daemon.value("pg_stat_database_xact_commit", &commits));
    cluster.stop(Stop::Immediate).unwrap();
    eventually(|| daemon.value("pg_stat_database_xact_commit", &commits).is_none());
    eventually(|| daemon.value("pg_up", &[]) == Some(0.0));
    cluster.start().unwrap();
    eventually(|| daemon.value("pg_stat_database_xact_commit", &commits));
    assert!(
        daemon.value("poolwatch_source_failures_total", &[("source", "primary/probe")]) > Some(0.0)
    );
}

#[test]
fn a_terminated_session_is_replaced() {
    let cluster = Cluster::builder().start().unwrap();
    let daemon = Daemon::with_settings(&settings(&cluster.url("postgres"))).start();
    let own = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poolwatch'";
    eventually(|| cluster.sql(own).unwrap().trim() == "2");
    cluster
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'poolwatch'")
        .unwrap();
    eventually(|| {
        daemon.value("poolwatch_connections_opened_total", &[("server", "primary")]) >= Some(4.0)
    });
    eventually(|| {
        up(&daemon, "primary/activity") == Some(1.0) && up(&daemon, "primary/probe") == Some(1.0)
    });
    eventually(|| cluster.sql(own).unwrap().trim() == "2");
}

#[test]
fn it_still_reads_when_the_server_refuses_everyone_else() {
    let cluster = Cluster::builder().setting("max_connections", "8").start().unwrap();
    cluster.sql("CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch").unwrap();
    let daemon = Daemon::with_settings(&settings(&cluster.url_as("watch", "postgres"))).start();
    let inferred = [("pool", "inferred")];
    let opened = [("server", "primary")];
    eventually(|| daemon.value("poolwatch_connections_opened_total", &opened) == Some(2.0));
    let holders: Vec<Child> = (0..8).map(|_| hold(&cluster)).collect();
    // Eight connections in all, two of them poolwatch's.
    eventually(|| daemon.value("db_pool_checked_out", &inferred) == Some(6.0));
    assert!(cluster.sql("SELECT 1").is_err(), "the server is full");
    let before = daemon.value("pg_stat_database_xact_commit", &[("datname", "postgres")]);
    eventually(|| {
        daemon.value("pg_stat_database_xact_commit", &[("datname", "postgres")]) > before
    });
    assert_eq!(daemon.value("pg_up", &[]), Some(1.0));
    release(holders);
    eventually(|| daemon.value("db_pool_checked_out", &inferred) == Some(0.0));
}

#[test]
fn a_server_that_accepts_and_never_answers_stops_nothing_else() {
    let cluster = Cluster::builder().start().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let daemon = Daemon::with_settings(&format!(
        "servers:\n  primary: {{url: '{}'}}\n  silent: {{url: 'postgresql://u@127.0.0.1:{port}/d'}}\n\
         workers: {{enabled: false}}\nsampling: {{server: 1s}}\n",
        cluster.url("postgres")
    ))
    .start();
    eventually(|| daemon.value("pg_up", &[("server", "silent")]) == Some(0.0));
    assert_eq!(daemon.value("pg_up", &[("server", "primary")]), Some(1.0));
    let probes = || daemon.value("db_probe_duration_seconds_count", &[("server", "primary")]);
    let before = probes().unwrap();
    eventually(|| probes() >= Some(before + 3.0));
    assert_eq!(daemon.get("/health/ready").status, 200, "one database answers");
}

#[test]
fn it_never_has_more_than_two_connections() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE TABLE locked ()").unwrap();
    let daemon = Daemon::with_settings(&settings(&cluster.url("postgres"))).start();
    let own = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poolwatch'";
    eventually(|| daemon.value("db_probe_duration_seconds_count", &[]) >= Some(2.0));
    for _ in 0..20 {
        let open: u32 = cluster.sql(own).unwrap().trim().parse().unwrap();
        assert!(open <= 2, "{open}");
    }
}

#[test]
fn a_role_without_rights_is_told_so_and_shows_no_zero() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE ROLE nobody_much LOGIN").unwrap();
    let holders = vec![hold(&cluster)];
    let daemon =
        Daemon::with_settings(&settings(&cluster.url_as("nobody_much", "postgres"))).start();
    eventually(|| up(&daemon, "primary/activity") == Some(0.0));
    assert_eq!(daemon.value("db_pool_checked_out", &[("pool", "inferred")]), None);
    assert!(daemon.output().contains("GRANT pg_monitor TO"), "{}", daemon.output());
    assert_eq!(daemon.value("pg_up", &[]), Some(1.0));
    release(holders);
}
