//! The server's log: the durations of the statements that it logs, errors, cancellations, refused
//! connections. It is followed as it grows, in any of its three formats.
//!
//! `tail` follows the files and hands records on, `parse` reads their messages, `count` adds them up,
//! and `log_settings` is what the server is set to log. Files are the buffer: what was not read yet
//! waits there, and nothing is dropped.

mod count;
mod counter;
mod error;
mod hints;
mod log_settings;
mod over_sql;
mod parse;
mod settings;
mod tail;

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::warn;

pub use self::count::{RejectReason, Tally};
use self::counter::Counter;
pub use self::counter::MemoryLog;
pub use self::error::Error;
use self::log_settings::{LogSettings, SettingsReader};
use self::over_sql::RemoteFiles;
use self::parse::Prefix;
pub use self::parse::RecordFormat;
pub use self::settings::{ExpectedFormat, Over, Settings};
use self::tail::{Files, FoundFiles};
use super::Failure;
use crate::metric::Family;
use crate::postgres::Database;
use crate::reading::Reading;

/// Follows the log of one server.
#[derive(Debug)]
pub struct ServerLog {
    settings: Settings,
    /// The label of each series, when several servers are watched.
    server: Option<String>,
    server_settings: SettingsReader,
    /// The server whose log it is, where it is monitored.
    database: Option<Arc<Database>>,
    /// Messages that could not be counted, at the last reading.
    rejected: u64,
    /// The server through which the files are read, if they are not on this machine.
    remote: Option<(Arc<Database>, RemoteFiles)>,
    /// The hints that were logged, each once.
    logged_hints: HashSet<String>,
    /// Absent while it is read, on a thread that may wait for the disk.
    log: Option<Log>,
    /// Held while it is read, also when nobody waits for that any more: files that hang are waited
    /// for by one thread.
    turn: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Log {
    files: Files,
    counter: Counter,
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
        let files = RemoteFiles::new(self.path.as_deref(), self.format.format());
        let remote = match (self.over, &database) {
            (Over::Files, _) => None,
            (Over::Sql, Some(database)) => Some((Arc::clone(database), files)),
            (Over::Sql, None) => return Err(Error::NoServer),
        };
        let server_settings = SettingsReader::new(database.clone());
        let (settings, logged_hints) = (self.clone(), HashSet::new());
        Ok(ServerLog {
            settings,
            server,
            server_settings,
            database,
            rejected: 0,
            remote,
            logged_hints,
            log,
            turn: Arc::default(),
        })
    }
}

impl Log {
    fn new(settings: &Settings) -> Self {
        let path = settings.path.clone().unwrap_or_default();
        let files = Files::new(path, settings.format.format());
        let mut counter = Counter::default();
        if let Some(prefix) = &settings.prefix {
            counter.parser.expect_prefix(prefix);
        }
        Self { files, counter }
    }
}

impl ServerLog {
    /// Reads what the log grew by since the last time; the first time only finds its end. What could
    /// not be read hides nothing that was counted before.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let in_doubt = self.log.as_ref().is_some_and(|log| log.counter.tally.is_in_doubt());
        let refreshed = self.server_settings.refresh(in_doubt).await;
        let began = Instant::now();
        let mut found = if self.remote.is_some() {
            let found = self.follow_over_sql(refreshed).await;
            found.unwrap_or_else(|error| FoundFiles {
                trouble: Some(error),
                ..FoundFiles::default()
            })
        } else {
            match self.follow(refreshed).await {
                Ok(found) => found,
                Err(error) => {
                    self.interrupt();
                    return Err(error);
                }
            }
        };
        self.share(began, &found);
        let log = self.log.as_mut().expect("it is back when it was followed");
        let log_settings = self.server_settings.settings.as_ref();
        let trouble = found.trouble.take().map(|error| with_place(error, log_settings));
        let never_read = found.newest.is_none() && log.counter.tally.messages().0 == 0;
        let trouble = match trouble {
            Some(trouble) if never_read => return Err(trouble),
            trouble => trouble,
        };
        let mut hints = hints::collect(&self.settings, log_settings, &log.counter, &found);
        // Until something was counted `poolwatch check` says the same.
        let tally = &mut log.counter.tally;
        if tally.messages().1 > 0 {
            for hint in hints.iter().filter(|hint| self.logged_hints.insert((*hint).clone())) {
                warn!(source = "server_log", "{hint}");
            }
        }
        hints.extend(self.server_settings.missing());
        Ok(Reading {
            families: with_families(tally, found.behind, self.server.as_deref()),
            logged: tally.recent(Instant::now()),
            hints,
            note: found.note(),
            trouble,
            elapsed: Some(began.elapsed()),
            aggregated: tally.aggregated(),
            ..Reading::default()
        })
    }

    /// Hands on what was counted, for the bounds of the same statements' estimate, where the end of
    /// the log was reached.
    fn share(&mut self, began: Instant, found: &FoundFiles) {
        let (Some(database), Some(log)) = (&self.database, &self.log) else { return };
        let tally = &log.counter.tally;
        let rejected = std::mem::replace(&mut self.rejected, tally.messages().1);
        let newest = found.newest.as_ref().filter(|_| found.trouble.is_none());
        let Some((_, format)) = newest.filter(|_| rejected == self.rejected) else {
            return database.log_counts().interrupt();
        };
        if let Some(above) = tally.above().filter(|_| found.behind == 0) {
            let span = began.into_std()..std::time::Instant::now();
            database.log_counts().keep(span, format.as_str(), above);
        }
    }

    fn interrupt(&self) {
        if let Some(database) = &self.database {
            database.log_counts().interrupt();
        }
    }

    /// Reads on, on a thread that may wait for the disk. Where the log does not tell whose its
    /// messages are, the server is asked for its sessions between finding what was written and
    /// reading it: whoever wrote it is among them, unless the session is over.
    async fn follow(&mut self, refreshed: bool) -> Result<FoundFiles, Failure> {
        let turn = Arc::clone(&self.turn).try_lock_owned().map_err(|_| Error::Hangs)?;
        let mut log = self.log.take().unwrap_or_else(|| Log::new(&self.settings));
        if refreshed {
            apply(&self.settings, &self.server_settings, &mut log.counter);
        }
        let limit =
            if self.server_settings.is_awaited() { 0 } else { self.settings.read_limit.get() };
        let find = spawn_blocking(move || {
            let found = log.files.find(&mut log.counter);
            (log, found, turn)
        });
        let (mut log, mut found, turn) = find.await?;
        let asks = |found: &FoundFiles| {
            found.behind > 0 && lacks_sessions(&self.settings, &self.server_settings, found)
        };
        if limit > 0
            && found.as_ref().is_ok_and(asks)
            && let Some(backends) = self.server_settings.backends().await
        {
            log.counter.tally.update_backends(backends, Instant::now());
        }
        let read = spawn_blocking(move || {
            let _turn = turn;
            if let Ok(found) = &mut found {
                log.files.read(limit, &mut log.counter, found);
            }
            log.counter.tally.settle(Instant::now());
            (log, found)
        });
        let (log, found) = read.await?;
        self.log = Some(log);
        Ok(found
            .unwrap_or_else(|error| FoundFiles { trouble: Some(error), ..FoundFiles::default() }))
    }

    /// Reads on through the server, as [`Self::follow`], in the turn of slow readings. Whoever waits
    /// for it may stop at any time: what was read is counted, and the rest is read the next time.
    async fn follow_over_sql(&mut self, refreshed: bool) -> Result<FoundFiles, Error> {
        let log = self.log.get_or_insert_with(|| Log::new(&self.settings));
        if refreshed {
            apply(&self.settings, &self.server_settings, &mut log.counter);
        }
        let (database, files) = self.remote.as_mut().ok_or(Error::NoServer)?;
        let _turn = database.slow_lane().await;
        let mut connection = database.acquire().await?;
        let mut found = files.find(&mut connection, &mut log.counter).await?;
        if self.server_settings.is_awaited() {
            return Ok(found);
        }
        if found.behind > 0 && lacks_sessions(&self.settings, &self.server_settings, &found) {
            drop(connection);
            if let Some(backends) = self.server_settings.backends().await {
                log.counter.tally.update_backends(backends, Instant::now());
            }
            connection = database.acquire().await?;
        }
        let limit = self.settings.read_limit.get();
        files.read(limit, &mut connection, &mut log.counter, &mut found).await?;
        log.counter.tally.settle(Instant::now());
        Ok(found)
    }
}

/// True when the log does not tell of each message in which database it was written, and by which
/// application.
fn lacks_sessions(
    settings: &Settings,
    server_settings: &SettingsReader,
    found: &FoundFiles,
) -> bool {
    let of_server = || server_settings.settings.as_ref()?.setting("log_line_prefix");
    let prefix = settings.prefix.as_deref().or_else(of_server);
    let tells = prefix.map(|prefix| Prefix::new(prefix).tells());
    let all = tells.is_some_and(|tells| tells.database && tells.application);
    found.formats.last() == Some(&RecordFormat::Stderr) && !all
}

/// Counts by the server's settings from here on.
fn apply(settings: &Settings, server_settings: &SettingsReader, counter: &mut Counter) {
    let Some(of_server) = &server_settings.settings else { return };
    let Counter { parser, tally } = counter;
    tally.rates = Some(of_server.rates());
    tally.set_role(&of_server.role, of_server.shared);
    tally.confirm_databases(of_server.databases.clone());
    parser.expect_verbose(of_server.is_verbose());
    if let (Some(prefix), None) = (of_server.setting("log_line_prefix"), &settings.prefix) {
        parser.expect_prefix(prefix);
    }
}

/// The error, with the place where the server writes if no file was found.
fn with_place(error: Error, settings: Option<&LogSettings>) -> Failure {
    match (&error, settings.and_then(LogSettings::place)) {
        (Error::NoFile(_) | Error::NoServerFile, Some(place)) => {
            format!("{error}; it writes {place}").into()
        }
        _ => error.into(),
    }
}

/// Every family there is, without a sample of what was not yet counted.
pub fn families() -> Vec<Family> {
    with_families(&Tally::default(), 0, None)
}

fn with_families(tally: &Tally, unread: u64, server: Option<&str>) -> Vec<Family> {
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
