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
    /// The server has no file of its log to give.
    #[error("the server has no file in its log_directory")]
    NoServerFile,
    /// The role may not list or read the files through the server.
    #[error(
        "the role may not read the log through the server; as a superuser, in the database that \
         poolwatch connects to: GRANT EXECUTE ON FUNCTION pg_ls_logdir(), \
         pg_read_binary_file(text, bigint, bigint, boolean) TO its role. It can then read every \
         file of the data directory: see docs/security.md"
    )]
    NotGranted,
    /// The server does not answer.
    #[error("no answer of the server in time")]
    Slow,
    /// No connection to the server.
    #[error("no connection to the server")]
    Acquire(#[from] poolwatch_client::AcquireError),
    /// The server refuses to give a file.
    #[error("the server does not give its log")]
    Refused(#[source] sqlx::Error),
    /// The log is to be read through a server, and there is none.
    #[error("logs.over: sql needs a server in the settings")]
    NoServer,
    /// The files are still being read since a time before.
    #[error("the files are still being read; does the disk or the mount that they are on hang?")]
    Hangs,
}

impl Error {
    /// A statement about the log that failed.
    pub(super) fn refused(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            Some("42501") => Self::NotGranted,
            // There is no such folder.
            Some("58P01") => Self::NoServerFile,
            _ => Self::Refused(error),
        }
    }

    pub(super) fn path(path: &str, error: &glob::PatternError) -> Self {
        Self::Path { path: path.to_owned(), reason: error.msg }
    }
}
