//! What becomes of an answer that cannot be written, or that nobody reads to its end.

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
