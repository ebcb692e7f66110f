//! A server of each supported version, fetched once a test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use poolwatch::postgres::NEWEST;

/// The supported versions that can be had here, each with the folder of its programs.
pub(crate) fn all() -> &'static [(u32, PathBuf)] {
    static SERVERS: OnceLock<Vec<(u32, PathBuf)>> = OnceLock::new();
    SERVERS.get_or_init(fetch)
}

fn fetch() -> Vec<(u32, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(root.join("tools/servers")).status().unwrap();
    assert!(status.success(), "tools/servers failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let folder = |major| (major, target.join(format!("servers/{major}/bin")));
    let chosen = std::env::var("POSTGRES").ok().and_then(|major| major.parse::<u32>().ok());
    let there = (13..=NEWEST).map(folder).filter(|(_, folder)| folder.join("postgres").exists());
    let there = there.filter(|(major, _)| chosen.is_none_or(|chosen| chosen == *major));
    let servers: Vec<_> = there.collect();
    assert!(!servers.is_empty(), "no server can be had: neither by npm nor Debian's");
    servers
}
