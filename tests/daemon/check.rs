//! `poolwatch check`: what works, what does not, the remedy, and what the daemon advises.

use std::path::Path;

use poolwatch::demo::Cluster;
use tempfile::TempDir;

use crate::support::{Daemon, eventually, poolwatch};

fn settings(cluster: &Cluster, role: &str, folder: &TempDir) -> String {
    format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{socket: '{}'}}
sampling: {{tables: 4s}}
indexes: {{catalogue: '{}/config/indexes.yml'}}\n",
        cluster.url_as(role, "postgres"),
        folder.path().join("poolwatch.sock").display(),
        env!("CARGO_MANIFEST_DIR"),
    )
}

/// Its exit code, and its output.
pub(crate) fn check(settings: &str, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let file = folder.join("check.yml");
    std::fs::write(&file, settings).unwrap();
    let mut command = poolwatch();
    let output = command.arg("check").arg("--config.file").arg(file).args(arguments).output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

pub(crate) const NOBODY: &str = "--web.listen-address=127.0.0.1:1";

#[test]
fn what_a_role_lacks_comes_with_the_statement_that_gives_it() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE ROLE watch LOGIN").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&cluster, "watch", &folder);
    let (_, text) = check(&settings, folder.path(), &[NOBODY]);
    assert!(text.contains("GRANT pg_monitor TO \"watch\""), "{text}");
    assert!(text.contains("CREATE EXTENSION pg_stat_statements"), "{text}");
    cluster.sql("GRANT pg_monitor TO watch; CREATE EXTENSION pg_stat_statements").unwrap();
    let (code, text) = check(&settings, folder.path(), &[NOBODY]);
    assert!(text.contains("✓ primary/privileges") && !text.contains("GRANT"), "{text}");
    assert!(!text.contains("CREATE EXTENSION") && !text.contains('\x1b'), "{text}");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_database_that_does_not_answer_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgresql:///nowhere?host={}&user=nobody", folder.path().display());
    let settings = format!("servers: {{primary: {{url: '{url}'}}}}\nworkers: {{enabled: false}}\n");
    let (code, text) = check(&settings, folder.path(), &[NOBODY]);
    assert_eq!((code, text.matches("✗").count()), (Some(1), 1), "{text}");
    assert!(text.contains("✗ primary/probe"), "{text}");
}

/// The first two lines of `check` on a server with this address, which all are of what is wrong.
fn refused(url: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("servers: {{primary: {{url: '{url}'}}}}\nworkers: {{enabled: false}}\n");
    let (code, text) = check(&settings, folder.path(), &[NOBODY]);
    let lines: Vec<_> = text.lines().take(3).collect();
    assert_eq!(code, Some(1), "{url}: {text}");
    assert!(lines[0].contains(": 1 does not work, "), "{url}: {text}");
    assert!(
        lines[1].starts_with("✗ primary/probe") && lines[2].starts_with("  → "),
        "{url}: {text}"
    );
    assert!(!text.contains("s3cret"), "{url}: {text}");
    lines[1..].join("\n")
}

#[test]
fn each_way_to_miss_a_server_is_told_with_its_place_and_its_remedy() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE ROLE watch LOGIN PASSWORD 'right'").unwrap();
    let folder = cluster.folder().display().to_string();
    let of_socket = format!("host={folder}");
    for (url, parts) in [
        (
            "postgresql://watch:s3cret@127.0.0.1:1/app".to_owned(),
            ["watch@127.0.0.1:1/app", "Connection refused", "nothing listens at 127.0.0.1:1"],
        ),
        (
            "postgresql://watch:s3cret@no-such-host.invalid/app".to_owned(),
            ["watch@no-such-host.invalid:5432/app", "leads nowhere", "correct the host"],
        ),
        (
            format!("postgresql:///nowhere?{of_socket}&user=watch"),
            ["/.s.PGSQL.5432/nowhere", "does not exist", "correct the database's name"],
        ),
        (
            format!("postgresql:///postgres?{of_socket}&user=nobody"),
            ["nobody@/", "role \"nobody\" does not exist", "CREATE ROLE"],
        ),
    ] {
        let told = refused(&url);
        for part in parts {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
    let rules = cluster.folder().join("data/pg_hba.conf");
    std::fs::write(rules, "local all watch scram-sha-256\nlocal all all trust\n").unwrap();
    cluster.sql("SELECT pg_reload_conf()").unwrap();
    let url = format!("postgresql://watch:s3cret@/postgres?{of_socket}");
    let is_asked = || cluster.sql("SELECT count(*) FROM pg_hba_file_rules").unwrap();
    assert_eq!(is_asked().trim(), "2");
    let told = refused(&url);
    assert!(told.contains("password authentication failed"), "{told}");
    assert!(told.contains("password_file") && told.contains("/.s.PGSQL.5432"), "{told}");
}

#[test]
fn what_is_wrong_stands_first_and_is_counted() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE ROLE watch LOGIN").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&cluster, "watch", &folder);
    let (_, text) = check(&settings, folder.path(), &[NOBODY]);
    let signs: Vec<_> = text.lines().filter_map(|line| line.chars().next()).collect();
    let places = ['✗', '!', '✓', '–'].map(|sign| {
        let places = signs.iter().enumerate().filter(|(_, one)| **one == sign);
        places.map(|(place, _)| place).collect::<Vec<_>>()
    });
    assert!(places[0][0] == 1 && places.concat().is_sorted(), "{text}");
    let (_, json) = check(&settings, folder.path(), &[NOBODY, "--format", "json"]);
    let page: serde_json::Value = serde_json::from_str(&json).unwrap();
    let doubtful = page["summary"]["doubtful"].as_u64().unwrap();
    let sources = page["sources"].as_array().unwrap();
    let counted = sources.iter().filter(|line| line["verdict"] == "doubtful").count();
    assert!(doubtful > 0 && counted as u64 == doubtful, "{json}");
    assert_eq!(sources[0]["verdict"], "bad", "{json}");
}

/// As with a unit, which alone has the password.
#[test]
fn what_the_daemon_reads_is_no_fault_though_whoever_checks_cannot() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE ROLE watch LOGIN PASSWORD 'right'; GRANT pg_monitor TO watch").unwrap();
    let rules = cluster.folder().join("data/pg_hba.conf");
    std::fs::write(rules, "local all watch scram-sha-256\nlocal all all trust\n").unwrap();
    cluster.sql("SELECT pg_reload_conf()").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&cluster, "watch", &folder);
    let (code, text) = eventually(|| {
        let (code, text) = check(&settings, folder.path(), &[NOBODY]);
        text.contains("password").then_some((code, text))
    });
    assert!(text.contains("✗ primary/probe") && text.contains("password_file"), "{text}");
    assert_eq!(code, Some(1), "{text}");
    let password = folder.path().join("password");
    std::fs::write(&password, "right\n").unwrap();
    let daemon = Daemon::with_settings(&settings)
        .variable("POOLWATCH__SERVERS__PRIMARY__PASSWORD_FILE", password.to_str().unwrap())
        .start();
    eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
    let log = daemon.output();
    assert!(log.contains("watching") && log.contains("connected"), "{log}");
    assert!(log.contains("watch@") && !log.contains("right"), "{log}");
    let listens = format!("--web.listen-address={}", daemon.address());
    let (code, text) = check(&settings, folder.path(), &[&listens]);
    let excused =
        text.contains("✓ primary/probe") && text.contains("the running poolwatch reads it");
    assert!(excused && text.starts_with("as ") && code == Some(0), "{code:?} {text}");
}

#[test]
fn the_statements_that_matter_are_told_without_their_literals() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE ROLE watch LOGIN; GRANT pg_monitor TO watch").unwrap();
    cluster.sql("CREATE EXTENSION pg_stat_statements").unwrap();
    cluster.sql("SELECT pg_sleep(0.2), 'hunter2'").unwrap();
    cluster.sql("CREATE ROLE other PASSWORD 'hunter2'").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&cluster, "watch", &folder);
    let (_, text) = check(&settings, folder.path(), &[NOBODY]);
    assert!(text.contains("SELECT pg_sleep($1), $2") && !text.contains("hunter2"), "{text}");
    let (_, text) = check(&settings, folder.path(), &[NOBODY, "--format", "json"]);
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    let top = &page["opinion"]["top_statements"][0];
    assert_eq!((&top["sql"], &top["calls"]), (&"SELECT pg_sleep($1), $2".into(), &1.into()));
    assert!(top["mean_seconds"].as_f64().unwrap() > 0.19 && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_advice_is_the_running_daemons_else_that_of_a_glance() {
    let cluster = Cluster::builder().start().unwrap();
    let table = "CREATE TABLE matched_posts
                 (client_id int, reviewed bool, subreddit text, created_at timestamptz)";
    cluster.sql(table).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&cluster, "postgres", &folder);
    let (_, text) = check(&settings, folder.path(), &[NOBODY]);
    assert!(text.contains("at a glance") && text.contains("missing_index"), "{text}");
    assert!(text.contains("→ poolwatch indexes --apply"), "{text}");
    let socket = folder.path().join("poolwatch.sock");
    let daemon = Daemon::with_settings(&settings)
        .variable("POOLWATCH__WORKERS__SOCKET", socket.to_str().unwrap())
        .start();
    eventually(|| daemon.metrics().all("poolwatch_advice", &[]).next().is_some());
    let listens = format!("--web.listen-address={}", daemon.address());
    let (code, text) = check(&settings, folder.path(), &[&listens]);
    assert_eq!(code, Some(0), "a socket that the daemon listens on is no fault: {text}");
    assert!(text.contains("a running poolwatch listens at"), "{text}");
    assert!(text.contains(&format!("the daemon at {} advises:", daemon.address())), "{text}");
    let file = folder.path().join("check.yml");
    let (_, text) = check(&settings, folder.path(), &[&listens, "--format", "json"]);
    let page: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(page["opinion"]["advice"][0]["rule"], "missing_index", "{text}");
    let heeded = poolwatch().args(["indexes", "--apply", "--config.file"]).arg(&file).output();
    let said = String::from_utf8(heeded.unwrap().stdout).unwrap();
    assert_eq!(said.matches(" built in ").count(), 3, "{said}");
    eventually(|| daemon.metrics().all("poolwatch_advice", &[]).next().is_none());
}
