//! The metrics of a live daemon, as Prometheus' own checker sees them.

use std::path::Path;
use std::process::{Command, Stdio};

use poolwatch::collectors::COMPATIBLE_NAMES;
use poolwatch::demo::Cluster;

use crate::support::{Daemon, eventually, prometheus};

/// What `promtool check metrics` complains of, a line each.
fn lint(promtool: &Path, text: &str) -> Vec<String> {
    let mut promtool = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    String::from_utf8(printed).unwrap().lines().map(str::to_owned).collect()
}

/// The settings are named as the server names them.
fn is_kept(name: &str) -> bool {
    COMPATIBLE_NAMES.contains(&name) || name.starts_with("pg_settings_")
}

#[test]
fn promtool_complains_of_nothing_but_the_names_kept_for_compatibility() {
    let cluster = Cluster::builder().start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::with_settings(&format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{socket: '{}'}}\n\
         pools: {{a: {{activity: {{size: 5, max_overflow: 15}}}}}}\n",
        cluster.url("postgres"),
        folder.path().join("poolwatch.sock").display()
    ))
    .start();
    eventually(|| daemon.value("pg_stat_database_xact_commit", &[("datname", "postgres")]));
    eventually(|| daemon.value("db_pool_capacity", &[("pool", "a")]));
    let text = daemon.metrics().text;
    for promtool in prometheus::promtools() {
        let other: Vec<_> = lint(promtool, &text)
            .into_iter()
            .filter(|line| !line.split(' ').next().is_some_and(is_kept))
            .collect();
        assert!(other.is_empty(), "{}: {other:#?}", promtool.display());
        assert!(!lint(promtool, "a_gauge 1\n").is_empty(), "promtool reports errors at all");
    }
}

#[test]
fn a_scrape_reaches_no_database() {
    let cluster = Cluster::builder().start().unwrap();
    let daemon = Daemon::with_settings(&format!(
        "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
         sampling: {{pools: 1h, activity: 1h, statements: 1h, server: 1h, tables: 1h}}\n",
        cluster.url("postgres")
    ))
    .start();
    eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
    eventually(|| {
        let detailed = daemon.get("/health/detailed").json();
        let sources = detailed["sources"].as_array().unwrap().clone();
        sources.iter().all(|source| source["status"] != "unknown")
    });
    let calls = || {
        let last =
            "SELECT max(query_start) FROM pg_stat_activity WHERE application_name = 'poolwatch'";
        cluster.sql(last).unwrap()
    };
    let before = calls();
    for path in ["/metrics", "/", "/health/ready", "/health/detailed", "/health/database/pool"] {
        (0..20).for_each(|_| drop(daemon.get(path)));
    }
    assert_eq!(calls(), before);
}
