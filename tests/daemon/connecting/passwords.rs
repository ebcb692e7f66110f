//! Passwords: changed, refused, and printed by commands.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::support::{Daemon, eventually, poolwatch};

#[test]
fn fifty_changes_of_the_password_are_followed_under_load() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "host all all all scram-sha-256");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret-0\n").unwrap();
    let daemon = Daemon::with_settings(&format!(
        "servers:\n  primary: {{url: 'postgresql://watch@{address}/postgres', \
         password_file: {}}}\nsampling: {{activity: 100ms, server: 1s, statements: 1s}}\n",
        file.display()
    ))
    .start();
    let readings = || {
        let count = daemon.value("db_probe_duration_seconds_count", &[]).unwrap_or(0.0);
        (daemon.value("pg_up", &[]) == Some(1.0)).then_some(count)
    };
    eventually(readings);
    let mut elapsed = Vec::new();
    for change in 1..=50 {
        let began = Instant::now();
        // First the server, then the file: what is tried between the two is refused.
        cluster
            .sql(&format!(
                "ALTER ROLE watch PASSWORD 's3cret-{change}'; SELECT pg_terminate_backend(pid) \
                 FROM pg_stat_activity WHERE usename = 'watch'"
            ))
            .unwrap();
        std::fs::write(&file, format!("s3cret-{change}\n")).unwrap();
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'watch'";
        eventually(|| cluster.sql(sessions).unwrap().trim() != "0");
        let before = eventually(readings);
        eventually(|| readings().filter(|now| *now > before));
        elapsed.push(began.elapsed());
    }
    // A password that was refused rests for 20 s; another does not.
    elapsed.sort_unstable();
    assert!(elapsed[25] < Duration::from_secs(20), "{elapsed:?}");
    let refused = count(&cluster.log(), "password authentication failed");
    assert!(refused <= 100, "{refused} logins were refused");
    assert!(!daemon.output().contains("s3cret"), "{}", daemon.output());
}

#[test]
fn a_wrong_password_is_seldom_tried_again_and_told_once() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "host all all all scram-sha-256");
    let settings = format!(
        "servers:\n  a: {{url: 'postgresql://watch:wr0ng@{address}/postgres'}}\n  b: {{url: \
         'postgresql://watch:wr0ng@{address}/template1'}}\nworkers: {{enabled: false}}\n\
         pools: {{none: {{workers: {{}}}}}}\nsampling: {{activity: 100ms}}\n"
    );
    let refused = || count(&cluster.log(), "password authentication failed");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, &settings).unwrap();
    let mut check = poolwatch();
    check.arg("check").arg("--config.file").arg(&file).arg("--web.listen-address=127.0.0.1:1");
    let output = check.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(refused(), 1, "one server, one role: {text}");
    assert_eq!(count(&text, "password authentication failed"), 2, "once for each: {text}");
    assert!(!text.contains("wr0ng"), "{text}");
    let daemon = Daemon::with_settings(&settings).start();
    let failures = |source: &str| {
        daemon.value("poolwatch_source_failures_total", &[("source", source)]).unwrap_or(0.0)
    };
    eventually(|| failures("a/probe") >= 8.0 && failures("b/probe") >= 8.0);
    assert!(refused() <= 3, "{} logins", refused());
    assert_eq!(daemon.value("pg_up", &[("server", "a")]), Some(0.0));
    // A password that is right is tried at once.
    daemon.rewrite_settings(&settings.replace("wr0ng", "s3cret-0"));
    let mut daemon = daemon;
    daemon.signal("HUP");
    eventually(|| daemon.value("pg_up", &[("server", "a")]) == Some(1.0));
}

#[tokio::test]
async fn any_password_that_libpq_takes_is_taken() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    // What the preparation of strings refuses, what it changes, and the ordinary.
    for password in ["s3cret\u{7f}x", "\u{627}1", "a\u{ad}b\u{2168}", "p@ss/w:rd", "ordinary"] {
        for method in ["scram-sha-256", "md5", "password"] {
            allow(&cluster, &format!("host all all all {method}"));
            let stored = if method == "md5" { "md5" } else { "scram-sha-256" };
            let change = "SET password_encryption = '{}'; ALTER ROLE watch PASSWORD '{}'";
            let change = change.replacen("{}", stored, 1).replacen("{}", password, 1);
            cluster.sql(&change).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("password");
            std::fs::write(&file, password).unwrap();
            let url = format!("postgresql://watch@{address}/postgres");
            let connected = connect(&json!({"url": url, "password_file": file})).await;
            connected.unwrap_or_else(|error| panic!("{password:?} by {method}: {error}"));
            let wrong =
                json!({"url": format!("postgresql://watch:{}@{address}/postgres", "%7Fwr0ng")});
            let error = connect(&wrong).await.unwrap_err();
            assert!(error.contains("password authentication failed"), "{error}");
            assert!(!error.contains("wr0ng") && !error.contains('\u{7f}'), "{error}");
        }
    }
}

#[tokio::test]
async fn a_command_gives_the_password_and_is_asked_again_when_it_is_refused() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "host all all all scram-sha-256");
    let folder = tempfile::tempdir().unwrap();
    let (token, calls) = (folder.path().join("token"), folder.path().join("calls"));
    std::fs::write(&token, "s3cret-0\nmore\n").unwrap();
    let line = format!("echo >> {}; cat {}", calls.display(), token.display());
    let url = format!("postgresql://watch@{address}/postgres");
    let database =
        settings(&json!({"url": url, "password_command": line, "password_max_age": "1h"}));
    let database = database.open("test").unwrap();
    let called = || std::fs::read_to_string(&calls).map_or(0, |text| text.len());
    let one = database.acquire().await.unwrap();
    let two = database.acquire().await.unwrap();
    assert_eq!(called(), 1, "its answer holds for a while");
    cluster.sql("ALTER ROLE watch PASSWORD 's3cret-1'").unwrap();
    std::fs::write(&token, "s3cret-1").unwrap();
    for mut connection in [one, two] {
        connection.invalidate();
        drop(connection);
    }
    // An answer is worth asking for again when it is older than a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    database.acquire().await.unwrap();
    assert_eq!(called(), 2);
    let failing = json!({"url": url, "password_command": ["sh", "-c", "echo s3cret; exit 7"]});
    let error = connect(&failing).await.unwrap_err();
    assert!(error.contains("exit status: 7") && !error.contains("s3cret"), "{error}");
}

/// The processes whose numbers a command wrote that run still.
fn running(numbers: &Path) -> Vec<String> {
    let numbers = std::fs::read_to_string(numbers).unwrap_or_default();
    let runs = |number: &&str| {
        // One that ended and was not waited for has no arguments any more.
        std::fs::read(format!("/proc/{number}/cmdline")).is_ok_and(|line| !line.is_empty())
    };
    numbers.lines().filter(runs).map(str::to_owned).collect()
}

/// As the programs of the clouds, which are scripts themselves.
const HANGS: &str = "echo $$ >> @; sleep 3600 & echo $! >> @; wait";

#[tokio::test]
async fn a_password_command_that_hangs_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = folder.path().join("numbers");
    let line = HANGS.replace('@', &numbers.display().to_string());
    let url = "postgresql://watch@127.0.0.1:1/postgres";
    let hanging = json!({"url": url, "password_command": line, "password_command_timeout": "1s"});
    let error = connect(&hanging).await.unwrap_err();
    assert!(error.contains("no end of `sh` within 1s"), "{error}");
    assert_eq!(std::fs::read_to_string(&numbers).unwrap().lines().count(), 2);
    eventually(|| running(&numbers).is_empty());
}

#[test]
fn a_password_command_ends_with_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = folder.path().join("numbers");
    let line = HANGS.replace('@', &numbers.display().to_string());
    let yaml = format!(
        "servers: {{primary: {{url: 'postgresql://watch@127.0.0.1:1/postgres', \
         password_command: '{line}', password_command_timeout: 1h}}}}\n"
    );
    let daemon = Daemon::with_settings(&yaml).start();
    eventually(|| running(&numbers).len() == 2);
    daemon.terminate();
    eventually(|| running(&numbers).is_empty());
}

#[test]
fn a_password_command_that_fails_is_not_run_at_each_reading() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let line = format!("echo >> {}; exit 1", calls.display());
    let yaml = format!(
        "servers: {{primary: {{url: 'postgresql://watch@127.0.0.1:1/postgres', \
         password_command: '{line}'}}}}\n\
         sampling: {{activity: 1s, server: 1s, statements: 1s}}\n"
    );
    let daemon = Daemon::with_settings(&yaml).start();
    let failures = |source: &str| {
        daemon.value("poolwatch_source_failures_total", &[("source", source)]).unwrap_or(0.0)
    };
    eventually(|| failures("primary/probe") >= 5.0);
    let called = std::fs::read_to_string(&calls).unwrap().len();
    // Once at the start, and a few times more where all this took minutes.
    assert!(called <= 3, "{called} runs");
}
