//! Whose session a message is of, in every kind of log that people have.

use std::fs;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::wire::Wire;
use super::{APP, Cluster, DURATIONS, check, cluster, count, folder, follow, run, settings};
use crate::support::{Daemon, eventually};

/// A session of an application's that stays.
async fn session(cluster: &Cluster, role: &str, name: &str) -> PgConnection {
    let options: PgConnectOptions = cluster.url_as(role, "app").parse().unwrap();
    PgConnection::connect_with(&options.application_name(name)).await.unwrap()
}

async fn select(session: &mut PgConnection, statements: usize) {
    for _ in 0..statements {
        session.execute("SELECT 1 AS counted").await.unwrap();
    }
}

fn rejected(daemon: &Daemon, reason: &str) -> f64 {
    daemon.value("poolwatch_log_messages_rejected_total", &[("reason", reason)]).unwrap()
}

fn rejected_in_all(daemon: &Daemon) -> f64 {
    let metrics = daemon.metrics();
    metrics.all("poolwatch_log_messages_rejected_total", &[]).map(|series| series.value).sum()
}

/// Nothing of poolwatch's own, which it runs all the time, is counted anywhere.
fn only_the_application_is_counted(daemon: &Daemon) {
    for database in ["", "postgres"] {
        let own = daemon.value(&format!("{DURATIONS}_count"), &[("datname", database)]);
        assert_eq!(own, None, "in {database:?}");
    }
}

/// The daemon's own log about it.
fn logs(daemon: &Daemon, what: &str) {
    eventually(|| daemon.output().replace("\\'", "'").contains(what));
}

#[test]
fn a_verbose_log_is_understood() {
    let verbose = [("log_error_verbosity", "verbose")];
    let cluster = cluster("stderr", &verbose);
    let daemon = follow(&cluster, "server.log");
    run(&cluster, 3);
    cluster.sql_in("app", "SELECT 1 / 0").unwrap_err();
    eventually(|| count(&daemon.metrics()) == Some(3.0));
    let class = [("datname", "app"), ("class", "22")];
    eventually(|| daemon.value("db_statement_errors_total", &class) == Some(1.0));
    assert_eq!(rejected_in_all(&daemon), 0.0);
}

#[test]
fn a_message_that_begins_like_an_sqlstate_is_a_text() {
    let cluster = cluster("stderr", &[]);
    let daemon = follow(&cluster, "server.log");
    let raises = "DO $$ BEGIN RAISE EXCEPTION 'E1001: no such account'; END $$";
    cluster.sql_in("app", raises).unwrap_err();
    let class = [("datname", "app"), ("class", "")];
    eventually(|| daemon.value("db_statement_errors_total", &class) == Some(1.0));
}

/// Prefixes that people have, which tell of a session in which database it is.
const PREFIXES: [&str; 8] = [
    "%t-%r:%u@%d:[%p]:",
    "%t-%c-%u-%d-%a ",
    "%m|%-20u|%-20d|%20a|%-8p|%-12v|",
    "%p %-24u%-24d%-24a%e ",
    r#"{"ts":"%m","pid":%p,"user":"%u","db":"%d","app":"%a"} "#,
    r#"{"timestamp":"%m","user":"%u","dbname":"%d","pid":%p,"error_severity":""#,
    "%s [%p] %q%u@%d/%a x=%x ",
    "<%n %d %u %b> ",
];

#[tokio::test]
async fn prefixes_that_people_have_are_understood() {
    let cluster = cluster("stderr", &[]);
    cluster.sql("CREATE ROLE application LOGIN").unwrap();
    let mut app = session(&cluster, "application", "my app").await;
    for prefix in PREFIXES {
        cluster.sql(&format!("ALTER SYSTEM SET log_line_prefix = '{prefix}'")).unwrap();
        cluster.sql("SELECT pg_reload_conf()").unwrap();
        let shown = || cluster.sql("SHOW log_line_prefix").unwrap();
        eventually(|| shown().trim() == prefix.trim());
        // It is recognized by how it begins.
        fs::write(folder(&cluster).join("server.log"), b"").unwrap();
        let daemon = follow(&cluster, "server.log");
        select(&mut app, 5).await;
        app.execute("SELECT 1 / 0").await.unwrap_err();
        let errors = || {
            let metrics = daemon.metrics();
            metrics.all("db_statement_errors_total", APP).map(|series| series.value).sum::<f64>()
        };
        eventually(|| count(&daemon.metrics()) == Some(5.0) && errors() == 1.0);
        only_the_application_is_counted(&daemon);
        assert_eq!(rejected_in_all(&daemon), 0.0, "{prefix}: {}", daemon.metrics().text);
    }
}

/// The server's own prefix, and that of Azure: the process is all they tell.
#[tokio::test]
async fn a_prefix_without_names_is_made_up_for_by_asking_the_server() {
    for prefix in ["%m [%p] ", "%t-%c-"] {
        let cluster = cluster("stderr", &[("log_line_prefix", prefix)]);
        let daemon = follow(&cluster, "server.log");
        let mut app = session(&cluster, "postgres", "my app").await;
        select(&mut app, 7).await;
        eventually(|| count(&daemon.metrics()) == Some(7.0));
        only_the_application_is_counted(&daemon);
    }
}

#[test]
fn what_nobody_can_attribute_is_rejected_with_a_hint() {
    let cluster = cluster("stderr", &[("log_line_prefix", "%t-%r:")]);
    let daemon = follow(&cluster, "server.log");
    run(&cluster, 4);
    eventually(|| rejected(&daemon, "no_session") >= 4.0);
    only_the_application_is_counted(&daemon);
    logs(&daemon, "log_line_prefix = '%m [%p] %q%u@%d '");
}

/// asyncpg says no name, and people let poolwatch use the application's role.
#[tokio::test]
async fn a_role_that_the_application_uses_too_hides_nothing_of_it() {
    let cluster = cluster("stderr,csvlog,jsonlog", &[]);
    let daemons = ["server.log", "server.csv", "server.json"].map(|path| follow(&cluster, path));
    let mut app = session(&cluster, "watcher", "").await;
    select(&mut app, 6).await;
    for daemon in &daemons {
        eventually(|| count(&daemon.metrics()) == Some(6.0));
        only_the_application_is_counted(daemon);
    }
    let (_, text) = check(&settings(&cluster, "server.log"), None);
    assert!(text.contains("log_line_prefix = '%m [%p] %q%u@%d %a '"), "{text}");
}

#[test]
fn a_portal_fetched_in_batches_is_one_statement() {
    let cluster = cluster("stderr,csvlog", &[]);
    let daemons = ["server.log", "server.csv"].map(|path| follow(&cluster, path));
    let mut wire = Wire::connect(&cluster, "postgres", "app").unwrap();
    wire.query("BEGIN");
    let slowly = "SELECT n, pg_sleep(0.06) FROM generate_series(1, 6) AS n";
    wire.fetch("c", slowly, 2, 4);
    wire.query("COMMIT");
    for daemon in &daemons {
        eventually(|| count(&daemon.metrics()) == Some(1.0));
        let sum = daemon.value(&format!("{DURATIONS}_sum"), APP).unwrap();
        assert!(sum > 0.36, "{sum} s for six rows of 60 ms");
    }
}

#[test]
fn line_ends_in_names_invent_no_database() {
    let cluster = cluster("stderr", &[]);
    let daemon = follow(&cluster, "server.log");
    for number in 0..130 {
        // No longer than the names that older servers keep.
        let user = format!("\n2026-01-31 23:59:59 UTC [7] a@f{number:03} ERROR:  x\n");
        assert!(Wire::connect(&cluster, &user, "app").is_err());
    }
    cluster.sql("CREATE DATABASE later").unwrap();
    cluster.sql_in("later", "SELECT 1 AS counted").unwrap();
    run(&cluster, 4);
    eventually(|| count(&daemon.metrics()) == Some(4.0));
    let later = [("datname", "later")];
    eventually(|| daemon.value(&format!("{DURATIONS}_count"), &later) == Some(1.0));
    let text = daemon.metrics().text;
    assert!(!text.contains("datname=\"f0") && !text.contains("datname=\"other\""), "{text}");
    assert!(rejected_in_all(&daemon) >= 130.0);
    logs(&daemon, "log_destination = 'csvlog'");
}
