//! Programs of several versions: the machine's own, and newer ones that `tools/newer` fetches.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::skipped;

/// Every such program there is: the machine's own, and a newer one where that is old.
pub(crate) fn programs(program: &str) -> Vec<PathBuf> {
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/newer"));
    let listed = script.arg(program).output().unwrap();
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    for line in said.lines().filter(|line| line.contains("cannot be had") && line.contains(program))
    {
        skipped(&format!("every test with a newer {program}"), line);
    }
    let programs: Vec<_> =
        String::from_utf8(listed.stdout).unwrap().lines().map(PathBuf::from).collect();
    assert!(!programs.is_empty(), "there is no {program}");
    programs
}

/// The program's own word for it, such as 3.5.0.
pub(crate) fn version(program: &Path) -> String {
    let said = Command::new(program).arg("--version").output().unwrap();
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    let (_, rest) = said.split_once(" version ").expect(&said);
    rest.split([' ', ',']).next().unwrap().to_owned()
}
