//! A throwaway `PostgreSQL` with a realistic application on it, to try poolwatch on and to test it against.

mod application;
mod binaries;
pub mod cluster;
mod daemon;
mod endpoint;
pub mod process;
mod stage;
mod workload;

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

pub use cluster::Cluster;
pub use process::ChildProcess;

/// The options of the demo.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of an application with `serve` and `load.py`; the built-in one when absent.
    pub application: Option<PathBuf>,
    /// The time in which the built-in application goes from idle to full and back.
    pub breath: Duration,
    /// The address on which poolwatch listens; when absent, on 127.0.0.1:8001 or, when that is taken, on any port.
    pub listen: Option<String>,
}

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no database to show.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The database's address was not understood, or the database not reached.
    #[error("cannot use the database")]
    Database(#[from] sqlx::Error),
    /// A program could not be started, or a file not be written.
    #[error("{what}: {source}")]
    Io {
        /// The program or the file.
        what: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// A part of the demo ended by itself.
    #[error("{program} ended ({status})\n{log}")]
    Ended {
        /// Its name.
        program: String,
        /// Its exit status.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
}

impl Error {
    fn io(what: impl AsRef<OsStr>) -> impl FnOnce(io::Error) -> Self {
        let what = what.as_ref().to_string_lossy().into_owned();
        move |source| Self::Io { what, source }
    }

    fn ended(program: &str, status: ExitStatus) -> Self {
        Self::Ended { program: program.to_owned(), status, log: String::new() }
    }
}

/// Shows the demo until Ctrl-C or SIGTERM, then leaves nothing behind.
pub async fn run(options: &Options) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("SIGINT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("SIGTERM"))?;
    let shown = tokio::select! {
        ended = stage::show(options) => ended.map(|never| match never {}),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    stage::say("\nAll is stopped and removed.");
    shown
}
