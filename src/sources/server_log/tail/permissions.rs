//! The errors of files that cannot be read, with what to do.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::super::error::Error;

/// The error, with the remedy where it is one of permissions.
pub(super) fn explain(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    if source.kind() != io::ErrorKind::PermissionDenied {
        return Error::Unreadable { path, source };
    }
    Error::Forbidden { remedy: remedy(&path), path }
}

/// A folder on the way to the files that may not be looked into: then nothing is found in it.
pub(super) fn hidden(pattern: &str) -> Option<Error> {
    let plain = |path: &&Path| !path.to_string_lossy().contains(['*', '?', '[']);
    let mut folders: Vec<_> = Path::new(pattern).ancestors().skip(1).filter(plain).collect();
    folders.reverse();
    folders.into_iter().find_map(|folder| match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // To pass through a folder is enough, unless its files are to be found.
            let last = Path::new(pattern).parent() == Some(folder);
            let passes = !last && fs::metadata(folder.join(".")).is_ok();
            (!passes).then(|| explain(folder, error))
        }
        _ => None,
    })
}

fn remedy(path: &Path) -> String {
    let Ok(metadata) = fs::metadata(path) else {
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        return format!("let poolwatch's user look into {}", folder.display());
    };
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let user = user.map_or_else(|| Uid::effective().to_string(), |user| user.name);
    let needed = if metadata.is_dir() { 0o050 } else { 0o040 };
    let open = metadata.mode() & needed == needed;
    let (group, join) = match group(metadata.gid()) {
        Some(group) => (group.clone(), format!("usermod -aG {group} {user} and restart poolwatch")),
        None => (
            "that is not seen from here".to_owned(),
            format!(
                "give poolwatch's unit the group that `ls -ld {}` names outside of it, on Debian \
                 SupplementaryGroups=adm, and start it anew",
                path.display()
            ),
        ),
    };
    match (open, metadata.is_dir()) {
        (true, _) => format!("it is for the group {group}; as root, {join}"),
        (false, true) => format!("as root, chmod g+rx {}, {join}", path.display()),
        (false, false) => format!(
            "it is for its owner alone; as the server's superuser, ALTER SYSTEM SET log_file_mode \
             = '0640' and SELECT pg_reload_conf(), pg_rotate_logfile(); as root, {join}"
        ),
    }
}

/// A group's name. In a user namespace, as systemd's `PrivateUsers=yes` makes one, all groups that it does not
/// know seem to be the same one, and that is never the right one to join.
fn group(gid: u32) -> Option<String> {
    let stands_for_all = read_number("/proc/sys/kernel/overflowgid") == Some(gid);
    if stands_for_all && !knows_all_groups() {
        return None;
    }
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    Some(group.map_or_else(|| gid.to_string(), |group| group.name))
}

/// True in the namespace of the whole machine: from 0 on, as many as there can be.
fn knows_all_groups() -> bool {
    let map = fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn read_number(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
