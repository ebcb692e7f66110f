//! The server's log: how long each statement that it logs took, what failed, what was cancelled,
//! who was refused. It is followed as it grows, in any of its three formats.
//!
//! Files are the buffer: what was not read yet waits there, and nothing is dropped.

mod accounts;
mod broken_name;
mod csvlog;
mod entry;
mod fate;
mod file;
mod files;
mod format;
mod hints;
mod jsonlog;
mod lock_waits;
mod portals;
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
mod whose;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::warn;

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
    /// The files are still being read since a time before.
    #[error("the files are still being read; does the disk or the mount that they are on hang?")]
    Hangs,
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
    /// The hints that were logged, each once.
    told: HashSet<String>,
    /// Absent while it is read, on a thread that may wait for the disk.
    log: Option<Log>,
    /// Held while it is read, also when nobody waits for that any more: files that hang are waited
    /// for by one thread.
    turn: Arc<Mutex<()>>,
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
        let asked = Asked::new(database);
        let (settings, told) = (self.clone(), HashSet::new());
        Ok(ServerLog { settings, server, asked, told, log, turn: Arc::default() })
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
        let in_doubt = self.log.as_ref().is_some_and(|log| log.tally.is_in_doubt());
        let asked = self.asked.ask(in_doubt).await;
        let began = Instant::now();
        let mut seen = self.follow(asked).await?;
        let log = self.log.as_mut().expect("it is back when it was followed");
        let said = self.asked.said.as_ref();
        let trouble = seen.trouble.take().map(|error| place(error, said));
        let never_read = seen.newest.is_none() && log.tally.messages().0 == 0;
        let trouble = match trouble {
            Some(trouble) if never_read => return Err(trouble),
            trouble => trouble,
        };
        let mut hints = hints::of(&self.settings, said, &log.tally, &seen);
        // Until something was counted `poolwatch check` says the same.
        if log.tally.messages().1 > 0 {
            for hint in hints.iter().filter(|hint| self.told.insert((*hint).clone())) {
                warn!(source = "server_log", "{hint}");
            }
        }
        hints.extend(self.asked.missing());
        Ok(Reading {
            families: families_of(&log.tally, seen.behind, self.server.as_deref()),
            logged: log.tally.recent(Instant::now()),
            hints,
            note: seen.note(),
            trouble,
            took: Some(began.elapsed()),
            aggregated: log.tally.summed(),
            ..Reading::default()
        })
    }

    /// Reads on, on a thread that may wait for the disk. Where the log does not tell whose its
    /// messages are, the server is asked for its sessions between finding what was written and
    /// reading it: whoever wrote it is among them, unless the session is over.
    async fn follow(&mut self, asked: bool) -> Result<Seen, Failure> {
        let turn = Arc::clone(&self.turn).try_lock_owned().map_err(|_| Error::Hangs)?;
        let mut log = self.log.take().unwrap_or_else(|| Log::new(&self.settings));
        if asked {
            self.apply(&mut log.tally);
        }
        let limit = if self.asked.is_awaited() { 0 } else { self.settings.read_limit.get() };
        let find = spawn_blocking(move || {
            let seen = log.files.find(&mut log.tally);
            (log, seen, turn)
        });
        let (mut log, mut seen, turn) = find.await?;
        let grew = seen.as_ref().is_ok_and(|seen| seen.behind > 0);
        if grew
            && limit > 0
            && self.is_untold(&seen)
            && let Some(backends) = self.asked.backends().await
        {
            log.tally.meet(backends, Instant::now());
        }
        let read = spawn_blocking(move || {
            let _turn = turn;
            if let Ok(seen) = &mut seen {
                log.files.read(limit, &mut log.tally, seen);
            }
            log.tally.settle(Instant::now());
            (log, seen)
        });
        let (log, seen) = read.await?;
        self.log = Some(log);
        Ok(seen.unwrap_or_else(|error| Seen { trouble: Some(error), ..Seen::default() }))
    }

    /// Whether the log does not tell of each message in which database it was written, and by which
    /// application.
    fn is_untold(&self, seen: &Result<Seen, Error>) -> bool {
        let format = seen.as_ref().ok().and_then(|seen| seen.formats.last());
        let prefix = self.settings.prefix.as_deref();
        let said = || self.asked.said.as_ref()?.setting("log_line_prefix");
        let tells = prefix.or_else(said).map(|prefix| Prefix::new(prefix).tells());
        let all = tells.is_some_and(|tells| tells.database && tells.application);
        format == Some(&Format::Stderr) && !all
    }

    /// Counts as the server says from here on.
    fn apply(&self, tally: &mut Tally) {
        let Some(said) = &self.asked.said else { return };
        tally.rates = Some(said.rates());
        tally.role(&said.role, said.shared);
        tally.verbose(said.is_verbose());
        tally.confirm(said.databases.clone());
        if let (Some(prefix), None) = (said.setting("log_line_prefix"), &self.settings.prefix) {
            tally.prefixes.expect(prefix);
        }
    }
}

/// Where no file is, the server may say where it writes.
fn place(error: Error, said: Option<&server::Said>) -> Failure {
    match (&error, said.and_then(server::Said::place)) {
        (Error::NoFile(_), Some(place)) => format!("{error}; it writes {place}").into(),
        _ => error.into(),
    }
}

/// Every family there is, without a sample of what was not yet seen.
pub fn families() -> Vec<Family> {
    families_of(&Tally::default(), 0, None)
}

fn families_of(tally: &Tally, unread: u64, server: Option<&str>) -> Vec<Family> {
    let mut families = tally.families();
    let mut behind = Family::gauge(
        "poolwatch_log_unread_bytes",
        "Bytes of the server's log that are still to be read, because it grows faster than \
         logs.read_limit.",
    );
    behind.sample(&[], unread as f64);
    families.push(behind);
    if let Some(server) = server {
        for family in &mut families {
            family.label_all("server", server);
        }
    }
    families
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

    /// Expects this `log_line_prefix` before any other.
    pub fn expect(&mut self, prefix: &str) {
        self.tally.prefixes.expect(prefix);
    }

    /// What was counted so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_that_hang_are_waited_for_once() {
        let settings = Settings { path: Some("/does/not/exist".into()), ..Settings::default() };
        let mut log = settings.open(None, None).unwrap();
        let held = Arc::clone(&log.turn).try_lock_owned().unwrap();
        let hangs = log.read().await.unwrap_err().to_string();
        assert_eq!(hangs, Error::Hangs.to_string());
        drop(held);
        let there_is_none = log.read().await.unwrap_err().to_string();
        assert!(there_is_none.contains("no file is at"), "{there_is_none}");
    }
}
