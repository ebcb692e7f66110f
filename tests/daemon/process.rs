//! A program that ends with whoever started it.

use std::path::Path;
use std::process::Command;

use poolwatch::demo::ChildProcess;

use crate::support::eventually;

fn lives(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

/// A shell with a child; writes the child's number into the file.
fn family(file: &Path) -> ChildProcess {
    let script = "sleep 600 & echo $! >\"$1.new\"; mv \"$1.new\" \"$1\"; wait";
    let mut shell = Command::new("sh");
    ChildProcess::start(shell.args(["-c", script, "sh"]).arg(file)).expect("sh starts")
}

#[test]
fn a_dropped_program_takes_its_children_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let process = family(&file);
    let child = eventually(|| std::fs::read_to_string(&file).ok());
    assert!(lives(child.trim()));
    drop(process);
    assert!(!lives(child.trim()));
}

#[test]
fn a_program_that_ended_by_itself_is_left_alone() {
    let mut process = ChildProcess::start(Command::new("sh").args(["-c", "exit 3"])).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(3));
    assert!(process.signal("TERM").is_err());
}

#[test]
fn a_program_ends_with_the_process_that_started_it() {
    // This test's own binary, run again as the process that is killed.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    let mut outer = Command::new(std::env::current_exe().unwrap());
    outer.args(["--exact", "process::a_parent_to_be_killed", "--ignored"]);
    let mut outer = ChildProcess::start(outer.env("CHILD_FILE", &file)).unwrap();
    let child = eventually(|| std::fs::read_to_string(&file).ok());
    outer.signal("KILL").unwrap();
    eventually(|| !lives(child.trim()));
}

#[test]
#[ignore = "started and killed by the test above"]
fn a_parent_to_be_killed() {
    let Some(file) = std::env::var_os("CHILD_FILE") else { return };
    let _process = family(Path::new(&file));
    std::thread::sleep(std::time::Duration::from_mins(2));
}
