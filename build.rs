//! Tells the program which compiler built it and from which commit, for `--version` and `poolwatch_build_info`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    println!("cargo::rerun-if-env-changed=POOLWATCH_REVISION");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = output(Command::new(rustc).arg("--version"));
    let version = said.and_then(|said| said.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=POOLWATCH_RUSTC={}", version.unwrap_or_default());
    let told = std::env::var("POOLWATCH_REVISION").ok();
    let told = told.filter(|revision| !["", "unknown"].contains(&revision.as_str()));
    let revision = told.or_else(of_repository).unwrap_or_default();
    println!("cargo::rustc-env=POOLWATCH_REVISION={revision}");
}

/// The commit of the repository that this is the top of, if it is one: a copy of the sources inside another
/// repository has none.
fn of_repository() -> Option<String> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?).canonicalize().ok()?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // Each of these changes with the commit, or with what is built.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    let sources = ["src", "Cargo.toml", "Cargo.lock", "build.rs"];
    for watched in [log.as_str()].iter().chain(&sources).filter(|path| here.join(path).exists()) {
        println!("cargo::rerun-if-changed={watched}");
    }
    let changes = git(&[&["status", "--porcelain", "--"][..], &sources].concat())?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-modified") })
}

fn git(arguments: &[&str]) -> Option<String> {
    output(Command::new("git").args(arguments))
}

/// What a program prints, when it can be run and succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
