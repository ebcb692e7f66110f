//! The server's log, written by a real server.

mod attribution;
mod hardship;
mod over_sql;
mod rotation;
mod versions;
mod wire;

use std::path::{Path, PathBuf};

use poolwatch::demo::Cluster;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{Daemon, Metrics, eventually, poolwatch, skipped};

const APP: &[(&str, &str)] = &[("datname", "app")];
const DURATIONS: &str = "db_statement_duration_seconds";

/// A server that logs every duration into `data/log`, in these formats, with an application's
/// database and a role for poolwatch.
fn cluster(destinations: &str, more: &[(&str, &str)]) -> Cluster {
    cluster_of(None, destinations, more)
}

fn cluster_of(binaries: Option<&Path>, destinations: &str, more: &[(&str, &str)]) -> Cluster {
    let settings = [
        ("logging_collector", "on"),
        ("log_destination", destinations),
        ("log_filename", "server.log"),
        ("log_rotation_size", "0"),
        ("log_rotation_age", "0"),
        ("log_line_prefix", "%m [%p] %q%u@%d "),
        ("log_min_duration_statement", "0"),
    ];
    let mut builder = Cluster::builder();
    for (name, value) in settings.iter().chain(more) {
        builder = builder.setting(name, value);
    }
    if let Some(binaries) = binaries {
        builder = builder.binaries(binaries);
    }
    let cluster = builder.start().unwrap();
    cluster
        .sql("CREATE DATABASE app; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher")
        .unwrap();
    cluster
}

fn settings(cluster: &Cluster, path: &str) -> String {
    format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         logs: {{path: '{}'}}\n",
        cluster.url_as("watcher", "postgres"),
        folder(cluster).join(path).display()
    )
}

fn folder(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("data/log")
}

/// A daemon that has found the end of the log.
fn follow(cluster: &Cluster, path: &str) -> Daemon {
    let daemon = Daemon::with_settings(&settings(cluster, path)).start();
    eventually(|| daemon.value("poolwatch_source_up", &[("source", "server_log")]) == Some(1.0));
    daemon
}

fn count(metrics: &Metrics) -> Option<f64> {
    metrics.value(&format!("{DURATIONS}_count"), APP)
}

/// Runs so many statements.
fn run(cluster: &Cluster, statements: usize) {
    cluster.sql_in("app", &"SELECT 1 AS counted;\n".repeat(statements)).unwrap();
}

/// Statements of the extended protocol: each prepared once, run again and again.
async fn run_extended(cluster: &Cluster, sleeps: &[f64]) {
    let mut connection = PgConnection::connect(&cluster.url("app")).await.unwrap();
    for seconds in sleeps {
        let query = sqlx::query("SELECT pg_sleep($1)\n  -- and more\n").bind(*seconds);
        connection.execute(query).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// The milliseconds that the server logged of these statements; each begins in the line of its
/// duration.
fn logged(cluster: &Cluster) -> Vec<f64> {
    let text = std::fs::read(folder(cluster).join("server.log")).unwrap();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| line.contains("SELECT pg_sleep"));
    let figures = lines.filter_map(|line| line.split_once("duration: ")?.1.split_once(" ms"));
    figures.map(|(figure, _)| figure.parse().unwrap()).collect()
}

#[tokio::test]
async fn one_workload_is_the_same_in_every_format() {
    let cluster = cluster("stderr,csvlog,jsonlog", &[]);
    let daemons = ["server.log", "server.csv", "server.json"].map(|path| follow(&cluster, path));
    let simple = "BEGIN; SELECT pg_sleep(0.002);
        SELECT pg_sleep(0.12), 'a \"quote\"', E'a\\nline';
        COMMIT; SET work_mem = '1MB'; CREATE TABLE t (id int);";
    cluster.sql_in("app", simple).unwrap();
    run_extended(&cluster, &[0.003, 0.004, 0.21, 0.001]).await;
    for failing in
        ["SELECT 1 / 0", "SELECT * FROM nowhere", "SET statement_timeout = 50; SELECT pg_sleep(9)"]
    {
        cluster.sql_in("app", failing).unwrap_err();
    }
    cluster.sql_in("nowhere", "SELECT 1").unwrap_err();
    let truth: f64 = logged(&cluster).iter().sum::<f64>() / 1000.0;
    for (daemon, states) in daemons.iter().zip([false, true, true]) {
        eventually(|| count(&daemon.metrics()) == Some(6.0));
        eventually(|| {
            daemon.value("pg_connections_refused_total", &[("reason", "no_such_database")])
                == Some(1.0)
        });
        let metrics = daemon.metrics();
        let below = [("datname", "app"), ("le", "0.1")];
        assert_eq!(metrics.value(&format!("{DURATIONS}_bucket"), &below), Some(4.0));
        let sum = metrics.value(&format!("{DURATIONS}_sum"), APP).unwrap();
        assert!((sum - truth).abs() < 1e-6, "{sum} s, not {truth} s");
        let errors = |class| {
            metrics.value("db_statement_errors_total", &[("datname", "app"), ("class", class)])
        };
        let expected = if states {
            ["22", "42", "57"].map(|class| (class, 1.0)).to_vec()
        } else {
            vec![("", 3.0)]
        };
        for (class, expected) in expected {
            assert_eq!(errors(class), Some(expected), "class {class:?}");
        }
        let timeout = [("datname", "app"), ("reason", "statement_timeout")];
        assert_eq!(metrics.value("db_statement_cancellations_total", &timeout), Some(1.0));
        assert_eq!(metrics.value("db_statement_duration_counted_from_seconds", &[]), Some(0.0));
        let rejected = metrics.all("poolwatch_log_messages_rejected_total", &[]);
        assert_eq!(rejected.map(|series| series.value).sum::<f64>(), 0.0, "{}", metrics.text);
        let own = metrics.value(&format!("{DURATIONS}_count"), &[("datname", "postgres")]);
        assert_eq!(own, None, "poolwatch's own statements");
        let body = daemon.get("/health/detailed").json();
        assert_eq!(body["logged_statement_latency"][0]["count"], 6, "{body}");
        assert!(!daemon.metrics().text.contains("pg_sleep"), "no text of a statement is shown");
    }
}

#[test]
fn a_sample_stands_for_all_statements() {
    let sampled = [
        ("log_min_duration_statement", "-1"),
        ("log_min_duration_sample", "0"),
        ("log_statement_sample_rate", "0.2"),
    ];
    let cluster = cluster("csvlog", &sampled);
    let daemon = follow(&cluster, "server.csv");
    run(&cluster, 400);
    cluster.sql_in("app", "SET log_min_duration_statement = 0; SELECT 2 AS last").unwrap();
    let text = || std::fs::read_to_string(folder(&cluster).join("server.csv")).unwrap();
    eventually(|| text().contains("AS last"));
    // poolwatch's own are there too.
    let lines = text().matches(" AS counted").count() + 1;
    assert!((30..=150).contains(&lines), "{lines} of 401 were logged");
    eventually(|| count(&daemon.metrics()) == Some(5.0 * lines as f64));
}

#[test]
fn durations_apart_from_their_statements_are_counted_where_the_log_names_the_command() {
    let apart = [("log_min_duration_statement", "-1"), ("log_duration", "on")];
    let cluster = cluster("stderr,csvlog", &apart);
    let [text, csv] = ["server.log", "server.csv"].map(|path| follow(&cluster, path));
    run(&cluster, 3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run_extended(&cluster, &[0.001, 0.002]));
    eventually(|| count(&csv.metrics()) == Some(5.0));
    assert_eq!(csv.value("db_statement_duration_counted_from_seconds", &[]), Some(0.0));
    let without_statement = [("reason", "no_statement")];
    eventually(|| {
        text.value("poolwatch_log_messages_rejected_total", &without_statement) >= Some(8.0)
    });
    assert_eq!(count(&text.metrics()), None);
    cluster.sql_in("app", "SET log_statement = 'all'; SELECT 1 AS counted").unwrap();
    eventually(|| count(&text.metrics()) == Some(1.0));
}

fn check(settings: &str, runner: Option<&[&str]>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, settings).unwrap();
    let mut command = poolwatch();
    if let Some([program, arguments @ ..]) = runner {
        let inner = command.get_program().to_owned();
        command = std::process::Command::new(program);
        command.args(arguments).arg(inner);
    }
    command.args(["check", "--web.listen-address=127.0.0.1:1", "--config.file"]).arg(&file);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn check_says_what_is_followed_and_what_is_lacking() {
    let cluster = cluster("stderr,csvlog", &[("log_min_duration_statement", "-1")]);
    let (code, text) = check(&settings(&cluster, "server.*"), None);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("✓ server_log") && text.contains("server.csv (csvlog)"), "{text}");
    assert!(text.contains("logs of several formats"), "{text}");
    assert!(text.contains("log_min_duration_statement = '100ms'"), "{text}");
    let (code, text) = check(&settings(&cluster, "nothing-*.log"), None);
    assert_eq!(code, Some(1));
    let place = format!("it writes in {}", folder(&cluster).display());
    assert!(text.contains("✗ server_log") && text.contains(&place), "{text}");
}

/// As with `PrivateUsers=yes`: groups that the namespace does not know all look like one.
#[test]
fn a_group_that_a_user_namespace_hides_is_not_the_one_to_join() {
    let root = std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root {
        return skipped("a_group_that_a_user_namespace_hides", "only root gives a file away");
    }
    let unshare = ["unshare", "--user", "--map-root-user"];
    let made = std::process::Command::new(unshare[0]).args(&unshare[1..]).arg("true").status();
    if !made.is_ok_and(|status| status.success()) {
        return skipped(
            "a_group_that_a_user_namespace_hides",
            "no user namespace can be made here",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("server.log");
    std::fs::write(&log, "").unwrap();
    std::os::unix::fs::chown(&log, Some(65533), Some(4)).unwrap();
    std::fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let settings = format!("workers: {{enabled: false}}\nlogs: {{path: '{}'}}\n", log.display());
    let (_, text) = check(&settings, Some(&unshare));
    assert!(text.contains("SupplementaryGroups=adm") && !text.contains("usermod"), "{text}");
}

/// Root reads everything, unless it gives up that right.
#[test]
fn who_may_not_read_the_log_is_told_how_to_get_permission() {
    let cluster = cluster("stderr", &[("log_file_mode", "0640")]);
    let root = std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let set = |what: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(folder(&cluster).join(what), mode).unwrap();
    };
    let weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"];
    let checked = || check(&settings(&cluster, "*.log"), root.then_some(&weak[..])).1;
    let may_pass = |folder: &Path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder, mode).unwrap();
    };
    if root {
        may_pass(cluster.folder());
        may_pass(&cluster.folder().join("data"));
        set("", 0o755);
        let text = checked();
        assert!(text.contains("it is for the group") && text.contains("usermod -aG"), "{text}");
    }
    set("server.log", if root { 0o600 } else { 0 });
    let text = checked();
    assert!(text.contains("✗ server_log") && text.contains("log_file_mode = '0640'"), "{text}");
    set("", if root { 0o700 } else { 0 });
    let text = checked();
    set("", 0o700);
    assert!(text.contains("chmod g+rx") && text.contains("usermod -aG"), "{text}");
}
