//! The server's log: how long each statement that it logs took, what failed, what was cancelled,
//! who was refused. It is followed as it grows, in any of its three formats.
//!
//! Files are the buffer: what was not read yet waits there, and nothing is dropped.

mod csvlog;
mod entry;
mod fate;
mod file;
mod files;
mod format;
mod jsonlog;
mod prefix;
mod rates;
mod records;
mod rights;
mod said;
mod server;
mod sessions;
mod settings;
mod stderr;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::files::{Files, Seen};
pub use self::format::Format;
use self::prefix::Prefix;
use self::records::Records;
use self::server::Asked;
pub use self::settings::{Expected, Settings};
pub use self::tally::{Reason, Tally};
use super::Failure;
use crate::metric::Family;
use crate::postgres::Database;
use crate::reading::Reading;

/// Why the log is not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path in the settings is no path.
    #[error("logs.path: {path}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
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
        /// What gives it the right.
        remedy: String,
    },
    /// Something else is wrong with a file.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    fn path(path: &str, error: &glob::PatternError) -> Self {
        Self::Path { path: path.to_owned(), reason: error.msg }
    }
}

/// Follows the log of one server.
#[derive(Debug)]
pub struct ServerLog {
    settings: Settings,
    /// The label of each series, when several servers are watched.
    server: Option<String>,
    asked: Asked,
    /// Absent while it is read, on a thread that may wait for the disk.
    log: Option<Log>,
}

#[derive(Debug)]
struct Log {
    files: Files,
    tally: Tally,
}

impl Settings {
    /// The log of this database's server. Each series is labelled with the server's name, if one is
    /// given.
    pub fn open(
        &self,
        database: Option<Arc<Database>>,
        server: Option<String>,
    ) -> Result<ServerLog, Error> {
        self.check()?;
        let log = Some(Log::new(self));
        Ok(ServerLog { settings: self.clone(), server, asked: Asked::new(database), log })
    }
}

impl Log {
    fn new(settings: &Settings) -> Self {
        let path = settings.path.clone().unwrap_or_default();
        let files = Files::new(path, settings.format.format());
        let mut tally = Tally::default();
        if let Some(prefix) = &settings.prefix {
            tally.prefixes.expect(prefix);
        }
        Self { files, tally }
    }
}

impl ServerLog {
    /// Reads what the log grew by since the last time; the first time only finds its end. What could
    /// not be read hides nothing that was counted before.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let asked = self.asked.ask().await;
        let mut log = self.log.take().unwrap_or_else(|| Log::new(&self.settings));
        if asked {
            self.heed(&mut log.tally);
        }
        let began = Instant::now();
        let limit = if self.asked.is_awaited() { 0 } else { self.settings.read_limit.get() };
        let (log, seen) = spawn_blocking(move || {
            let seen = log.files.read(limit, &mut log.tally);
            (log, seen)
        })
        .await?;
        let log = self.log.insert(log);
        let mut families = log.tally.families();
        let recent = log.tally.recent(Instant::now());
        let summed = log.tally.summed();
        let (seen, trouble) = match seen {
            Ok(mut seen) => {
                let trouble = seen.trouble.take();
                (seen, trouble)
            }
            Err(error) => (Seen::default(), Some(error)),
        };
        families.push(unread(seen.behind));
        if let Some(server) = &self.server {
            for family in &mut families {
                family.label_all("server", server);
            }
        }
        Ok(Reading {
            families,
            logged: recent,
            hints: self.hints(&seen),
            note: seen
                .newest
                .as_ref()
                .map(|(path, format)| format!("follows {} ({})", path.display(), format.as_str())),
            trouble: trouble.map(|error| self.place(error)),
            took: Some(began.elapsed()),
            summed,
            ..Reading::default()
        })
    }

    /// Counts as the server says from here on.
    fn heed(&self, tally: &mut Tally) {
        let Some(said) = &self.asked.said else { return };
        tally.rates = Some(said.rates());
        tally.own_role = self.asked.own_role();
        if let (Some(prefix), None) = (said.setting("log_line_prefix"), &self.settings.prefix) {
            tally.prefixes.expect(prefix);
        }
    }

    fn hints(&self, seen: &Seen) -> Vec<String> {
        let said = self.asked.said.as_ref();
        let mut hints = said.map(server::Said::hints).unwrap_or_default();
        let Some(Log { tally, .. }) = &self.log else { return hints };
        if let [.., chosen] = seen.formats[..]
            && seen.formats.len() > 1
        {
            hints.push(format!(
                "the path leads to logs of several formats, of which {} is read: let logs.path \
                 lead to one of them",
                chosen.as_str()
            ));
        }
        let text = seen.newest.as_ref().is_some_and(|(_, format)| *format == Format::Stderr);
        let prefix = self.settings.prefix.as_deref();
        let prefix = prefix.or(said.and_then(|said| said.setting("log_line_prefix")));
        let silent = prefix.is_some_and(|prefix| !Prefix::new(prefix).tells_database());
        if text && (silent || prefix.is_none() && tally.nameless) {
            hints.push(
                "the log does not say which database a statement ran in: ALTER SYSTEM SET \
                 log_line_prefix = '%m [%p] %q%u@%d ' and SELECT pg_reload_conf()"
                    .to_owned(),
            );
        }
        if tally.untold() {
            hints.push(
                "durations without a statement are not counted: set log_min_duration_statement \
                 rather than log_duration, or log_destination = 'csvlog'"
                    .to_owned(),
            );
        }
        let malformed = tally.malformed();
        if malformed > 10 && malformed > tally.messages().0 / 2 {
            hints.push(
                "most of the log is not understood: set logs.prefix to the server's \
                 log_line_prefix"
                    .to_owned(),
            );
        }
        hints
    }

    /// Where no file is, the server may say where it writes.
    fn place(&self, error: Error) -> Failure {
        let place = self.asked.said.as_ref().and_then(server::Said::place);
        match (&error, place) {
            (Error::NoFile(_), Some(place)) => format!("{error}; it writes {place}").into(),
            _ => error.into(),
        }
    }
}

/// Every family there is, without a sample of what was not yet seen.
pub fn families() -> Vec<Family> {
    Tally::default().families().into_iter().chain([unread(0)]).collect()
}

fn unread(bytes: u64) -> Family {
    let mut family = Family::gauge(
        "poolwatch_log_unread_bytes",
        "Bytes of the server's log that are still to be read, because it grows faster than \
         logs.read_limit.",
    );
    family.sample(&[], bytes as f64);
    family
}

/// A log in memory, for measuring and for the fuzzer: what is fed is counted as if a file had grown
/// by it.
#[derive(Debug)]
pub struct Fed {
    records: Records,
    tally: Tally,
}

impl Fed {
    /// A log of this format with nothing in it.
    pub fn new(format: Format) -> Self {
        Self { records: Records::new(format), tally: Tally::default() }
    }

    /// What it grew by.
    pub fn feed(&mut self, bytes: &[u8]) {
        let format = self.records.format();
        self.records.take(bytes, &mut |record| self.tally.record(format, record));
    }

    /// What was counted, once it grows no more.
    pub fn end(&mut self) -> &Tally {
        let format = self.records.format();
        self.records.flush(&mut |record| self.tally.record(format, record));
        &self.tally
    }
}
