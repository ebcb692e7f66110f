//! The output of commands: plain text, also where it cannot be written or is not read to its end.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use poolwatch::demo::Cluster;

use crate::support::poolwatch;

/// Every command that prints and ends, with what it needs.
fn commands(cluster: &Cluster) -> Vec<Command> {
    let all: [&[&str]; 8] = [
        &["--help"],
        &["help", "check"],
        &["--version"],
        &["--config.check"],
        &["check"],
        &["check", "--format=json"],
        &["indexes"],
        &["indexes", "--format=json"],
    ];
    let command = |arguments: &&[&str]| {
        let mut command = poolwatch();
        command.args(*arguments).env("DATABASE_URL", cluster.url("postgres"));
        command.env("POOLWATCH__WORKERS__SOCKET", cluster.folder().join("poolwatch.sock"));
        command
    };
    all.iter().map(command).collect()
}

#[test]
fn the_help_of_each_command_is_plain_text() {
    let help = |arguments: &[&str]| {
        let output = poolwatch().args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let overview = help(&["--help"]);
    let (_, list) = overview.split_once("\nCommands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() >= 5 && names.contains(&"indexes"), "{names:?}");
    for name in names.iter().filter(|name| **name != "help").chain([&""]) {
        for flag in ["-h", "--help"] {
            let arguments: Vec<_> =
                [*name, flag].into_iter().filter(|one| !one.is_empty()).collect();
            let text = help(&arguments);
            assert!(text.contains("Usage:"), "{name}: {text}");
            for markup in ["`", "**", "](", "[["] {
                assert!(!text.contains(markup), "{name}: {markup} in {text}");
            }
        }
    }
}

/// Each flag stands where it concerns somebody, and the collectors' flags once.
#[test]
fn the_help_of_a_command_has_the_flags_that_concern_it() {
    let help = |arguments: &[&str]| {
        let output = poolwatch().args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = help(&["run", "--help"]);
    for flag in ["--collector.locks", "--web.telemetry-path", "--config.check", "--log.level"] {
        assert!(whole.contains(flag), "{flag} in {whole}");
    }
    assert!(whole.contains("Collectors, as postgres_exporter has them:"), "{whole}");
    for (command, has, has_not) in [
        ("check", "--config.file", "--web.telemetry-path"),
        ("indexes", "--catalogue", "--web.listen-address"),
        ("healthcheck", "--web.listen-address", "--log.format"),
        ("demo", "--breath", "--config.file"),
    ] {
        let text = help(&[command, "--help"]);
        assert!(text.contains(has) && !text.contains(has_not), "{command}: {text}");
        assert!(!text.contains("--collector."), "{command}: {text}");
        assert_eq!(help(&["help", command]), text);
    }
    let overview = help(&["--help"]);
    assert!(!overview.contains("--collector.") && overview.contains("run --help"), "{overview}");
    let accepted = poolwatch().args(["check", "--collector.locks", "--help"]).status().unwrap();
    assert!(accepted.success(), "flags that are not shown are taken as before");
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_and_no_panic() {
    let cluster = Cluster::builder().start().unwrap();
    for mut command in commands(&cluster) {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{command:?}: {said}");
        assert!(
            said.contains("the answer cannot be written: No space left"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn who_reads_only_the_beginning_hears_of_no_error() {
    let cluster = Cluster::builder().start().unwrap();
    for mut command in commands(&cluster) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code().is_some(), "{command:?}: {:?}", ended.status);
        assert!(!said.contains("panicked") && !said.contains("written"), "{command:?}: {said}");
    }
}

#[test]
fn last_words_that_cannot_be_written_are_no_panic() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = poolwatch();
    let ended = command.arg("--config.file=/does/not/exist").stderr(full).status().unwrap();
    assert_eq!(ended.code(), Some(2));
}
