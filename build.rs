//! Tells the program which compiler built it, for `poolwatch_build_info`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = said.ok().and_then(|said| said.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=POOLWATCH_RUSTC={}", version.unwrap_or_default());
}
