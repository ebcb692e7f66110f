//! The errors of the workers' socket.

use std::path::PathBuf;

/// The longest path of a socket in bytes, on Linux.
pub(super) const PATH_LIMIT: usize = 107;

/// The reason why the socket could not be opened or is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of the socket is missing and cannot be made.
    #[error("cannot make the folder {}: make it and give poolwatch's user permission to write there, or set workers.socket to a place that it may write", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the socket {}: give poolwatch's user permission to write in its folder, or set workers.socket to another place", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The settings name no socket, and none of the usual places will do.
    #[error(
        "there is no socket for workers to report to, as {0}: set workers.socket to a place that poolwatch may write, or workers.enabled to false"
    )]
    Nowhere(String),
    /// The path is longer than an address may be.
    #[error("the socket's path {} is too long: set workers.socket to one of at most {} bytes", .0.display(), PATH_LIMIT)]
    PathTooLong(PathBuf),
    /// Something else is at the path.
    #[error("{} is there but no socket: remove it, or set workers.socket to another place", .0.display())]
    NotASocket(PathBuf),
    /// Somebody reads reports there already.
    #[error("something listens on {} already: stop the other poolwatch, or give this one its own workers.socket", .0.display())]
    Taken(PathBuf),
    /// An earlier socket cannot be looked at or removed.
    #[error("cannot take over the earlier socket {}: remove it, or run as the user who made it", path.display())]
    TakeOver {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// There is no such group.
    #[error(
        "there is no group {0}: make it with groupadd, or set workers.group to the group of the application"
    )]
    NoGroup(String),
    /// The permissions of the socket cannot be set.
    #[error("cannot set the permissions of {}: poolwatch's user must be a member of workers.group", path.display())]
    Permissions {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The kernel no longer gives reports.
    #[error("cannot receive reports")]
    Receive(#[source] std::io::Error),
}

impl Error {
    /// True when another place may do.
    pub(super) fn is_of_place(&self) -> bool {
        matches!(
            self,
            Self::Folder { .. } | Self::Bind { .. } | Self::TakeOver { .. } | Self::PathTooLong(_)
        )
    }
}
