//! A server of each supported version, fetched once a test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use poolwatch::postgres::NEWEST;

use crate::support::skipped;

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
    // By their real path, which the server's own user can reach: tools/servers sees to it.
    let real = |(major, folder): (u32, PathBuf)| Some((major, folder.canonicalize().ok()?));
    let servers: Vec<_> = there.filter_map(real).collect();
    for major in (13..=NEWEST)
        .filter(|major| chosen.is_none() && servers.iter().all(|(there, _)| there != major))
    {
        let test = format!("every test that runs on each PostgreSQL, on {major}");
        skipped(&test, "it cannot be had here; tools/servers says why");
    }
    assert!(!servers.is_empty(), "no server can be had: neither by npm nor Debian's");
    servers
}
