//! Why a file cannot be read, in words that say what to do.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::Error;

/// The error, with the remedy where it is one of rights.
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
    let group = Group::from_gid(Gid::from_raw(metadata.gid())).ok().flatten();
    let group = group.map_or_else(|| metadata.gid().to_string(), |group| group.name);
    let needed = if metadata.is_dir() { 0o050 } else { 0o040 };
    let open = metadata.mode() & needed == needed;
    let join = format!("usermod -aG {group} {user} and start poolwatch anew");
    match (open, metadata.is_dir()) {
        (true, _) => format!("it is for the group {group}; as root, {join}"),
        (false, true) => format!("as root, chmod g+rx {}, {join}", path.display()),
        (false, false) => format!(
            "it is for its owner alone; as the server's superuser, ALTER SYSTEM SET log_file_mode \
             = '0640' and SELECT pg_reload_conf(), pg_rotate_logfile(); as root, {join}"
        ),
    }
}
