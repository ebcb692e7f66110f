//! Finds the programs of a `PostgreSQL` server, and somebody to run them: it refuses to run as root.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The folder with `postgres` and `initdb`: `PG_BIN`, `pg_config`, Debian's newest, or on the `PATH`.
pub(super) fn find() -> Option<PathBuf> {
    let named = std::env::var_os("PG_BIN").map(PathBuf::from);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&search).collect::<Vec<_>>();
    let candidates = named.into_iter().chain(configured("--bindir")).chain(debian()).chain(on_path);
    candidates.into_iter().find(|folder| has_server(folder))
}

/// Returns whether the server can load this library (`shared_preload_libraries` with an absent one is fatal).
pub(super) fn has_library(binaries: &Path, name: &str) -> bool {
    let told = ask(&binaries.join("pg_config"), "--pkglibdir");
    let beside = binaries
        .parent()
        .into_iter()
        .flat_map(|folder| ["lib", "lib/postgresql"].map(|library| folder.join(library)));
    told.into_iter().chain(beside).any(|folder| folder.join(format!("{name}.so")).exists())
}

/// Nobody else when not root; `postgres`, or else `nobody`, when root.
pub(super) fn other_user_when_root() -> Result<Option<User>, ()> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user_in(&passwd, "postgres").or_else(|| user_in(&passwd, "nobody"));
    user.map(Some).ok_or(())
}

fn has_server(folder: &Path) -> bool {
    ["postgres", "initdb", "pg_ctl", "psql"].iter().all(|program| folder.join(program).exists())
}

fn configured(what: &str) -> Option<PathBuf> {
    ask(Path::new("pg_config"), what)
}

fn ask(pg_config: &Path, what: &str) -> Option<PathBuf> {
    let output = Command::new(pg_config).arg(what).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// Debian's and Ubuntu's servers, newest first.
fn debian() -> Vec<PathBuf> {
    let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut versions: Vec<u32> = entries.filter_map(version).collect();
    versions.sort_unstable_by(|left, right| right.cmp(left));
    let folder = |version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    versions.into_iter().map(folder).collect()
}

fn user_in(passwd: &str, name: &str) -> Option<User> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    Some(User { uid: fields.next()?.ok()?, gid: fields.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "postgres2:x:1:2::/:/sh\npostgres:x:101:104:admin,,,:/var/lib:/bin/bash\n";
        assert_eq!(user_in(passwd, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(user_in(passwd, "nobody"), None);
    }
}
