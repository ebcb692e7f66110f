//! The log read through the server counts what is counted on the server's own machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;

use super::{cluster, count, folder, follow, run};
use crate::support::{Daemon, Metrics, eventually, poolwatch};

/// The time within which both have counted what was written, on a machine busy with other tests.
const TIMEOUT: Duration = Duration::from_mins(2);
/// What both readers count alike; the time that reading takes is their own.
const FAMILIES: [&str; 3] = ["db_statement_", "pg_connections_refused", "pg_log_"];
const GRANT: &str = "GRANT EXECUTE ON FUNCTION pg_ls_logdir(), \
                     pg_read_binary_file(text, bigint, bigint, boolean) TO ";

fn settings(cluster: &Cluster, path: &str) -> String {
    format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         logs: {{over: sql, path: '{path}'}}\n",
        cluster.url_as("watcher", "postgres"),
    )
}

fn is_read(daemon: &Daemon) -> bool {
    daemon.value("poolwatch_source_up", &[("source", "server_log")]) == Some(1.0)
}

/// A daemon that reads through the server, and one that reads the files.
fn both(cluster: &Cluster, path: &str) -> [Daemon; 2] {
    cluster.sql(&format!("{GRANT} watcher")).unwrap();
    let remote = Daemon::with_settings(&settings(cluster, path)).start();
    eventually(|| is_read(&remote));
    [remote, follow(cluster, path)]
}

/// What was counted, series by series. A sum's last digit depends on the order of its parts.
fn counted(metrics: &Metrics) -> Vec<String> {
    let of_log = |line: &&str| FAMILIES.iter().any(|family| line.starts_with(family));
    let rounded = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        format!("{series} {:.9}", value.parse::<f64>().unwrap())
    };
    metrics.text.lines().filter(of_log).map(rounded).collect()
}

/// Waits until both have counted so many statements, and compares all that they count.
#[track_caller]
fn compare(daemons: &[Daemon; 2], statements: f64) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let [remote, local] = daemons.each_ref().map(Daemon::metrics);
        let counts = [count(&remote), count(&local)];
        let [remote, local] = [counted(&remote), counted(&local)];
        if counts == [Some(statements); 2] && remote == local {
            return;
        }
        assert!(Instant::now() < deadline, "{counts:?}, not {statements}: {remote:#?} {local:#?}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn rotation_and_a_restart_of_the_server_are_counted_as_on_its_own_machine() {
    for destination in ["stderr", "csvlog", "jsonlog"] {
        let name = ("log_filename", "server-%Y%m%d-%H%M%S.log");
        let mut cluster = cluster(destination, &[name]);
        let daemons = both(&cluster, "server-*");
        let files = || fs::read_dir(folder(&cluster)).unwrap().count();
        run(&cluster, 50);
        let before = files();
        // Within a second the name is the same.
        eventually(|| {
            cluster.sql("SELECT pg_rotate_logfile()").unwrap();
            files() > before
        });
        run(&cluster, 50);
        cluster.sql_in("app", "SELECT 1 / 0").unwrap_err();
        cluster.sql_in("nowhere", "SELECT 1").unwrap_err();
        compare(&daemons, 100.0);
        run(&cluster, 50);
        cluster.restart(Stop::Fast).unwrap();
        run(&cluster, 50);
        compare(&daemons, 200.0);
    }
}

#[test]
fn a_file_that_is_renamed_copied_or_truncated_is_counted_once() {
    let cluster = cluster("stderr", &[]);
    let daemons = both(&cluster, "server.log*");
    let now = folder(&cluster).join("server.log");
    let old = |end: &str| folder(&cluster).join(format!("server.log.{end}"));
    run(&cluster, 50);
    fs::rename(&now, old("1")).unwrap();
    run(&cluster, 50);
    cluster.sql("SELECT pg_rotate_logfile()").unwrap();
    eventually(|| now.exists());
    run(&cluster, 50);
    compare(&daemons, 150.0);
    let written = |log: &Path| fs::read_to_string(log).unwrap().matches(" AS counted").count();
    run(&cluster, 50);
    eventually(|| written(&now) == 100);
    fs::copy(&now, old("2")).unwrap();
    fs::set_permissions(old("2"), Permissions::from_mode(0o644)).unwrap();
    // What the server itself may not read does not keep it from giving the others.
    fs::write(old("3"), "another's\n").unwrap();
    fs::set_permissions(old("3"), Permissions::from_mode(0o000)).unwrap();
    fs::OpenOptions::new().write(true).open(&now).unwrap().set_len(0).unwrap();
    run(&cluster, 50);
    compare(&daemons, 250.0);
    // What was read of it is lost with nothing.
    fs::OpenOptions::new().write(true).open(&now).unwrap().set_len(0).unwrap();
    run(&cluster, 50);
    compare(&daemons, 300.0);
}

#[test]
fn a_log_larger_than_a_step_is_read_in_steps() {
    let cluster = cluster("csvlog", &[]);
    let daemons = both(&cluster, "server.csv");
    let long = format!("SELECT 1 AS counted /* {} */;\n", "x".repeat(50_000));
    cluster.sql_in("app", &long.repeat(100)).unwrap();
    compare(&daemons, 100.0);
}

#[test]
fn a_role_without_the_privilege_is_told_the_statement_that_gives_it() {
    let cluster = cluster("csvlog", &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    fs::write(&file, settings(&cluster, "server.csv")).unwrap();
    let output = poolwatch().arg("check").arg("--config.file").arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let grant = text.split_once("GRANT EXECUTE ON FUNCTION pg_ls_logdir(),");
    let remedy = grant.unwrap_or_else(|| panic!("{text}")).1;
    let functions = remedy.split_once(" TO its role").unwrap().0;
    let words: Vec<_> = functions.split_whitespace().collect();
    let sql = format!("GRANT EXECUTE ON FUNCTION pg_ls_logdir(), {} TO watcher", words.join(" "));
    let daemon = Daemon::with_settings(&settings(&cluster, "server.csv")).start();
    eventually(|| daemon.value("poolwatch_source_up", &[("source", "server_log")]) == Some(0.0));
    cluster.sql(&sql).unwrap();
    eventually(|| is_read(&daemon));
    run(&cluster, 10);
    eventually(|| count(&daemon.metrics()) == Some(10.0));
}
