//! The socket's file: made with the right owner and permissions, taken over from a poolwatch that died,
//! removed at the end.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Group;

use super::error::{Error, PATH_LIMIT};
use super::settings::Settings;

/// A socket and the file that it can be found by.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) datagrams: UnixDatagram,
    file: File,
}

/// The socket's file, removed at the end if it still is the same.
#[derive(Debug)]
struct File {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Socket {
    pub(super) fn open(settings: &Settings) -> Result<Self, Error> {
        let path = settings.path();
        if path.as_os_str().len() > PATH_LIMIT {
            return Err(Error::PathTooLong(path.to_owned()));
        }
        make_folder(path)?;
        make_room(path)?;
        let bind = |source| Error::Bind { path: path.to_owned(), source };
        let datagrams = UnixDatagram::bind(path).map_err(bind)?;
        // From here on the file goes again when something fails.
        let file = File::from_path(path).map_err(bind)?;
        set_permissions(path, settings)?;
        // The sender's pid is then the kernel's word instead of its own.
        setsockopt(&datagrams, sockopt::PassCred, &true)
            .map_err(|error| Error::Receive(error.into()))?;
        Ok(Self { datagrams, file })
    }

    /// Gives the file another group or other permissions.
    pub(super) fn set_permissions(settings: &Settings) -> Result<(), Error> {
        set_permissions(settings.path(), settings)
    }

    /// True while the socket can be found by its path.
    pub(super) fn is_in_place(&self) -> bool {
        self.file.is_in_place()
    }
}

fn make_folder(path: &Path) -> Result<(), Error> {
    let Some(folder) = path.parent().filter(|folder| *folder != OsStr::from_bytes(b"")) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|source| Error::Folder { path: folder.to_owned(), source })
}

/// Removes a socket that nobody listens on any more.
fn make_room(path: &Path) -> Result<(), Error> {
    let fail = |source| Error::TakeOver { path: path.to_owned(), source };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    match listens(path) {
        Ok(true) => Err(Error::Taken(path.to_owned())),
        Ok(false) => fs::remove_file(path).map_err(fail),
        Err(error) => Err(fail(error)),
    }
}

fn listens(path: &Path) -> io::Result<bool> {
    match UnixDatagram::unbound()?.connect(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
        // A stream's socket with somebody behind it.
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EPROTOTYPE as i32) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Whoever may write in the folder may put a link in the socket's place, to a file that would then
/// be given away: so what is there is opened, without following links, and looked at first.
fn set_permissions(path: &Path, settings: &Settings) -> Result<(), Error> {
    let fail = |source| Error::Permissions { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits())
        .open(path)
        .map_err(fail)?;
    if !file.metadata().map_err(fail)?.file_type().is_socket() {
        return Err(Error::NotASocket(path.to_owned()));
    }
    // By its descriptor, for a file that is opened so can be changed in no other way.
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Some(group) = group(settings)? {
        chown(&link, None, Some(group.gid.as_raw())).map_err(fail)?;
    }
    fs::set_permissions(link, Permissions::from_mode(settings.mode)).map_err(fail)
}

/// The group that the settings name.
fn group(settings: &Settings) -> Result<Option<Group>, Error> {
    let fail = |error: nix::Error| Error::Permissions {
        path: settings.path().to_owned(),
        source: error.into(),
    };
    let Some(name) = &settings.group else { return Ok(None) };
    let group = Group::from_name(name).map_err(fail)?;
    group.map(Some).ok_or_else(|| Error::NoGroup(name.clone()))
}

/// Finds the faults of the settings before there is a socket.
pub(super) fn check(settings: &Settings) -> Result<(), Error> {
    let path = settings.path();
    if path.as_os_str().len() > PATH_LIMIT {
        return Err(Error::PathTooLong(path.to_owned()));
    }
    group(settings).map(drop)
}

impl File {
    fn from_path(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    fn is_in_place(&self) -> bool {
        let same = |now: Metadata| (now.dev(), now.ino()) == (self.device, self.inode);
        fs::symlink_metadata(&self.path).is_ok_and(same)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if self.is_in_place() {
            // A file that stays is taken over at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn at(path: impl Into<PathBuf>) -> Settings {
        Settings::default().at(path.into())
    }

    #[test]
    fn the_folder_is_made_and_the_socket_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/poolwatch/p.sock");
        let socket = Socket::open(&Settings { mode: 0o620, ..at(&path) }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
        assert!(socket.is_in_place());
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_socket_that_nobody_listens_on_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        drop(UnixDatagram::bind(&path).unwrap());
        let first = Socket::open(&at(&path)).unwrap();
        assert!(matches!(Socket::open(&at(&path)), Err(Error::Taken(_))));
        drop(first);
        let listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(Socket::open(&at(&path)), Err(Error::Taken(_))));
        drop(listener);
        assert!(Socket::open(&at(&path)).is_ok());
    }

    #[test]
    fn a_link_in_its_place_gives_no_other_file_away() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let other = folder.path().join("other.sock");
        let _other = UnixDatagram::bind(&other).unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
        for target in [&file, &other] {
            std::os::unix::fs::symlink(target, &link).unwrap();
            let refused = set_permissions(&link, &Settings { mode: 0o666, ..at(&link) });
            assert!(matches!(refused, Err(Error::NotASocket(_))), "{refused:?}");
            assert_eq!(fs::metadata(target).unwrap().permissions().mode() & 0o777, 0o600);
            fs::remove_file(&link).unwrap();
        }
    }

    #[test]
    fn a_fault_of_the_path_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Socket::open(&at(&file)), Err(Error::NotASocket(_))));
        assert!(file.exists());
        assert!(matches!(Socket::open(&at(file.join("p.sock"))), Err(Error::Folder { .. })));
        let long = folder.path().join("x".repeat(200));
        assert!(matches!(Socket::open(&at(long)), Err(Error::PathTooLong(_))));
        assert!(matches!(Socket::open(&at("/proc/p.sock")), Err(Error::Bind { .. })));
        let path = folder.path().join("p.sock");
        let settings = Settings { group: Some("no-such-group".into()), ..at(&path) };
        let error = Socket::open(&settings).unwrap_err();
        assert!(error.to_string().contains("no-such-group"), "{error}");
        assert!(!path.exists(), "and nothing is left behind");
    }

    #[test]
    fn a_socket_removed_by_others_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        let socket = Socket::open(&at(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!socket.is_in_place());
        let other = UnixDatagram::bind(&path).unwrap();
        assert!(!socket.is_in_place());
        drop(socket);
        assert!(path.exists(), "another's file is left alone");
        drop(other);
    }
}
