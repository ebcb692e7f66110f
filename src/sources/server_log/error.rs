//! The errors of reading the server's log.

use std::path::PathBuf;

/// The reason why the log is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path in the settings is no path.
    #[error("logs.path: {path}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// Its fault.
        reason: &'static str,
    },
    /// No file is there.
    #[error("no file is at {0}; set logs.path to where the server's log is")]
    NoFile(String),
    /// poolwatch may not read a file, or not look into a folder.
    #[error("may not read {}: {remedy}", path.display())]
    Forbidden {
        /// The file or folder.
        path: PathBuf,
        /// The remedy that gives the permission.
        remedy: String,
    },
    /// Something else is wrong with a file.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The files are still being read since a time before.
    #[error("the files are still being read; does the disk or the mount that they are on hang?")]
    Hangs,
}

impl Error {
    pub(super) fn path(path: &str, error: &glob::PatternError) -> Self {
        Self::Path { path: path.to_owned(), reason: error.msg }
    }
}
