//! The usual mistakes in the settings, and what is told of each: where, which key, what was found,
//! and an example of what is right.

use std::path::Path;

use crate::check::NOBODY;
use crate::support::{Daemon, poolwatch};

/// Some mistakes in a file.
const IN_FILE: &[(&str, usize, &[&str])] = &[
    // A key that is misspelt, in each depth.
    ("smapling: {pools: 1s}", 1, &["smapling is not known", "did you mean `sampling`"]),
    ("sampling:\n  poools: 1s", 2, &["sampling.poools", "did you mean `pools`", "`pools: 1s`"]),
    (
        "servers:\n  a:\n    urll: postgresql://h/d",
        3,
        &["servers.a.urll", "did you mean `url`", "`url: postgresql://"],
    ),
    (
        "pools:\n  a:\n    app_heath: {}",
        2,
        &["pools.a", "`app_heath`", "did you mean `app_health`"],
    ),
    ("collectors:\n  stat_databse: {}", 2, &["collectors.stat_databse", "`stat_database`"]),
    ("advice:\n  hot_workr: {times: 3}", 2, &["advice.hot_workr", "`hot_worker: {"]),
    // A value of another kind.
    ("sampling:\n\n  pools: 5", 3, &["sampling.pools", "`5`", "a duration", "`pools: 1s`"]),
    ("sampling:\n  pools: soon", 2, &["sampling.pools", "the text `soon`", "`pools: 1s`"]),
    ("sampling:\n  pools: -1s", 2, &["sampling.pools", "`-1s`", "`pools: 1s`"]),
    ("sampling:\n  pools: [1s]", 2, &["sampling.pools", "a list", "`pools: 1s`"]),
    (
        "sampling:\n  - pools: 1s",
        1,
        &["sampling: found a list, expected a map", "`sampling: {pools"],
    ),
    ("web:\n  listen_addresses: :8001", 2, &["found the text `:8001`", "a list", "[\":8001\"]`"]),
    ("web:\n  listen_addresses: [8001]", 2, &["\"8001\"", "write it as \":8001\""]),
    ("web:\n  listen_addresses: [':http']", 2, &["\":http\"", "write it as \":8001\""]),
    ("web:\n  max_connections: many", 2, &["`many`", "a whole number", "`max_connections: 128`"]),
    ("web:\n  max_connections: -1", 2, &["`-1`", "not negative", "`max_connections: 128`"]),
    ("web:\n  max_requests: 1.5", 2, &["`1.5`", "a whole number", "`max_requests: 40`"]),
    ("web:\n  telemetry_path: metrics", 2, &["web.telemetry_path", "\"metrics\"", "begin with"]),
    ("workers:\n  enabled: perhaps", 2, &["`perhaps`", "true or false", "`enabled: true`"]),
    ("workers:\n  mode: 9999", 2, &["workers.mode", "`9999`", "such as \"0660\""]),
    ("workers:\n  group: nobody-has-it", 1, &["workers", "no group nobody-has-it"]),
    ("workers: yes", 1, &["workers: found the text `yes`, expected a map", "`workers: {enabled"]),
    // What is beyond its limits.
    ("thresholds:\n  warning: 75", 2, &["thresholds.warning (75)", "at most 1", "`warning: 0.75`"]),
    ("thresholds:\n  critical: 1.5", 2, &["thresholds.critical (1.5)", "`critical: 0.90`"]),
    (
        "advice:\n  server_cpu:\n    above: 80",
        3,
        &["advice.server_cpu.above", "`80`", "from 0 to 1", "`above: 0.80`"],
    ),
    ("sampling:\n  sizes: 10s", 2, &["sampling.sizes is 10s", "the least of 5m"]),
    // A word that is none of a few.
    ("log:\n  level: verbose", 2, &["log.level: `verbose`", "error, warn, info, debug, trace"]),
    ("log:\n  format: jsno", 2, &["log.format: `jsno`", "did you mean `json`", "`format: logfmt`"]),
    ("logs:\n  format: csv", 2, &["logs.format", "auto, stderr, csvlog, jsonlog"]),
    (
        "pools:\n  a:\n    app_health:\n      preset: go",
        4,
        &["preset: `go` is not known", "sqlalchemy, go_sql", "`preset: sqlalchemy`"],
    ),
    // A pool without a kind, or with two.
    ("pools:\n  web: {}", 2, &["pools.web must have exactly one of workers, app_health", "none"]),
    ("pools:\n  web:\n    workers: {}\n    activity: {}", 2, &["found activity and workers"]),
    // At the wrong depth.
    ("sampling:\n  slow_query: 1s", 2, &["sampling.slow_query", "there is thresholds.slow_query"]),
    ("max_workers: 10", 1, &["max_workers is not known", "`workers: {max_workers: 2000}`"]),
    ("servers:\n  url: host=h", 2, &["servers.url: found a text, expected a map", "`url: {url:"]),
    // What is missing, or is not there.
    ("servers:\n  a:\n    lock_timeout: 1s", 2, &["servers.a", "url is missing", "postgresql://"]),
    ("pools:\n  a:\n    app_health: {}", 3, &["a.app_health.url is missing", "http://"]),
    ("pools:\n  a:\n    activity: {server: b}", 3, &["pools.a.activity.server: `b`", "none is"]),
    ("indexes:\n  catalogue: /nowhere.yml", 2, &["/nowhere.yml", "cannot read"]),
    // What YAML does not take.
    ("sampling:\n\tpools: 1s", 2, &["a tab indents this line"]),
    ("log: {level: info}\nlog: {level: warn}", 2, &["`log` stands here a second time", "line 1"]),
    ("a:\n  application_name: *", 2, &["`*`", "in quotes", "`application_name: \"*\"`"]),
    ("sampling: [1", 2, &[]),
    ("sampling:\n  pools: 1s\n tables: 1m", 3, &[]),
    ("- databases", 1, &["found a list, expected a map"]),
    ("databases", 1, &["found a text, expected a map"]),
];

/// Settings without a mistake.
const RIGHT: &[&str] = &[
    "",
    "# nothing is set\n",
    "sampling:\n",
    "workers: {enabled: off}",
    "workers: {enabled: no}\nlog:\n  level: info\n",
    "web: {max_connections: '100', enable_lifecycle: yes}",
    "pools: {web: workers}",
    "pools: {web: {workers: }}",
];

fn check(file: Option<&Path>, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = poolwatch();
    command.arg("--config.check").envs(variables.iter().copied());
    if let Some(file) = file {
        command.arg("--config.file").arg(file);
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8([output.stderr, output.stdout].concat()).unwrap())
}

fn check_text(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, text).unwrap();
    check(Some(&file), &[])
}

#[test]
fn a_header_that_is_written_as_a_key_is_not_repeated() {
    let before = "pools:\n  a:\n    app_health:\n      url: http://h/\n";
    for headers in [
        "      headers: {\"Authorization: Bearer hunter2\"}\n",
        "      headers:\n        \"Authorization: Bearer hunter2\":\n",
        "      headers: {Bearer hunter2: x}\n",
        "      headers: {Authorization: [hunter2]}\n",
        "      header_files: {\"Authorization: hunter2\"}\n",
    ] {
        let (code, told) = check_text(&format!("{before}{headers}"));
        assert!(code == Some(2) && !told.contains("hunter2"), "{told}");
        assert!(told.contains("headers") || told.contains("header_files"), "{told}");
    }
}

#[test]
fn each_mistake_in_a_file_is_told_with_its_line_and_what_is_right() {
    let mut wrong = Vec::new();
    for (text, line, parts) in IN_FILE {
        let (code, told) = check_text(text);
        let place = format!("poolwatch.yml, line {line}: ");
        let complete = parts.iter().all(|part| told.contains(part));
        if code != Some(2) || !told.contains(&place) || !complete {
            wrong.push(format!("{text:?}, {line}, {parts:?}:\n    {code:?} {told}"));
        }
    }
    assert!(IN_FILE.len() >= 30 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_mistake_is_taken() {
    for text in RIGHT {
        let (code, told) = check_text(text);
        assert_eq!(code, Some(0), "{text:?}: {told}");
    }
}

#[test]
fn a_wrong_variable_is_blamed_and_not_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, "sampling: {pools: 2s}\n").unwrap();
    for (variable, value, parts) in [
        ("POOLWATCH__SAMPLING__POOLS", "5", &["`5`", "`POOLWATCH__SAMPLING__POOLS=1s`"][..]),
        ("POOLWATCH__SMAPLING__POOLS", "1s", &["smapling is not known", "`sampling`"]),
        ("POOLWATCH__SAMPLING__POOOLS", "1s", &["sampling.poools is not known", "`pools`"]),
        ("POOLWATCH__WEB__MAX_CONNECTIONS", "-1", &["`-1`", "_CONNECTIONS=128`"]),
        ("POOLWATCH__LOG__LEVEL", "loud", &["`loud`", "error, warn, info"]),
        ("POOLWATCH__POOLS__A__ACTIVITY__SERVER", "b", &["pools.a.activity.server"]),
        ("POOLWATCH__THRESHOLDS__WARNING", "75", &["thresholds.warning (75)"]),
        ("POOLWATCH__SAMPLING_POOLS", "1s", &["POOLWATCH__SAMPLING__POOLS"]),
        ("POOLWATCH__WORKERS__GROUP", "nobody-has-it", &["no group nobody-has-it"]),
        ("LOG_LEVEL", "loud", &["`loud`", "error, warn, info"]),
    ] {
        let (code, told) = check(Some(&file), &[(variable, value)]);
        assert_eq!(code, Some(2), "{variable}: {told}");
        let complete = parts.iter().all(|part| told.contains(part));
        assert!(
            told.contains(&format!("poolwatch: {variable}: ")) && complete,
            "{variable}: {told}"
        );
    }
}

#[test]
fn a_variable_that_lacks_underscores_is_pointed_out() {
    for (variable, meant) in [
        ("POOLWATCH_SAMPLING_POOLS", "POOLWATCH__SAMPLING__POOLS"),
        ("POOLWATCH_SERVERS_MY_DB_URL", "POOLWATCH__SERVERS__MY_DB__URL"),
        ("POOLWATCH_LOG_LEVEL", "POOLWATCH__LOG__LEVEL"),
    ] {
        let (code, told) = check(None, &[(variable, "1s")]);
        let warning = format!("warning: the variable {variable} is not read; {meant} is");
        assert!(code == Some(0) && told.contains(&warning), "{code:?} {told}");
    }
    // A client's, and one that Kubernetes sets for a service of that name.
    let others = [("POOLWATCH_SOCKET", "/x"), ("POOLWATCH_SERVICE_PORT", "8001")];
    let (code, told) = check(None, &others);
    assert!(code == Some(0) && !told.contains("warning"), "{code:?} {told}");
}

#[test]
fn an_old_name_is_warned_of_by_each_command_and_in_the_log() {
    let old = "advice: {query_latency: {least: 50}}\nworkers: {enabled: false}\n";
    let warning =
        "line 1: advice.query_latency.least is now called advice.query_latency.min_samples";
    let (code, told) = check_text(old);
    assert!(code == Some(0) && told.contains(warning), "{code:?} {told}");
    let daemon = Daemon::with_settings(old).start();
    assert!(daemon.output().contains(warning), "{}", daemon.output());
    let mut command = poolwatch();
    command.args(["check", NOBODY, "--config.file"]).arg(daemon.settings_file());
    let checked = command.output().unwrap();
    let told = String::from_utf8(checked.stderr).unwrap();
    assert!(told.contains(warning), "{told}");
}
