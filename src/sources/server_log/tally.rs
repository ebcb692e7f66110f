//! What the log said since the start, by database. Only figures are kept, no text of a statement.

use std::borrow::Cow;
use std::collections::HashSet;

use tokio::time::Instant;

use super::accounts::{Account, Accounts};
use super::broken_name::BrokenName;
use super::entry::{Entry, Severity};
use super::fate::{self, Refusal};
use super::format::Format;
use super::lock_waits::{self, LockWait, Waiting};
use super::portals::Portals;
use super::prefix::Prefixes;
use super::rates::Rates;
use super::records::Record;
use super::said::{self, Said, Step};
use super::sessions::{Rows, Run, Sessions, Untold};
use super::whose::{self, Backend, Backends, Whose};
use super::{csvlog, jsonlog, stderr};
use crate::reading::LoggedTimes;

mod families;

/// Why a record was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is none of its format.
    Malformed,
    /// So long that what it is about was cut off.
    TooLong,
    /// Its file ended in the midst of it.
    Truncated,
    /// A duration, of nobody knows what.
    NoStatement,
    /// Of nobody knows whose session.
    NoSession,
    /// Of a database that the server does not have.
    UnknownDatabase,
}

impl Reason {
    /// Every reason, for the metric that shows each.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::TooLong,
        Self::Truncated,
        Self::NoStatement,
        Self::NoSession,
        Self::UnknownDatabase,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::NoStatement => "no_statement",
            Self::NoSession => "no_session",
            Self::UnknownDatabase => "unknown_database",
        }
    }
}

/// All that the log said.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) prefixes: Prefixes,
    /// As the server says, when it was asked.
    pub(super) rates: Option<Rates>,
    /// The server's sessions, when it was asked.
    backends: Option<Backends>,
    sessions: Sessions,
    portals: Portals,
    waiting: Waiting,
    accounts: Accounts,
    refused: [u64; Refusal::ALL.len()],
    rejected: [u64; Reason::ALL.len()],
    messages: u64,
    bytes: u64,
    /// Whether each message has its SQLSTATE before it.
    is_verbose: bool,
    pub(super) broken: BrokenName,
    /// Whether the log says what a session is doing.
    tagged: bool,
    /// Whether a session was seen whose database is not told.
    pub(super) nameless: bool,
}

impl Tally {
    /// Takes a record in.
    pub(super) fn record(&mut self, format: Format, record: Record<'_>) {
        if record.bytes.is_empty() {
            return;
        }
        self.messages += 1;
        let text = String::from_utf8_lossy(record.bytes);
        let text = match format {
            Format::Jsonlog if record.cut => Cow::Owned(jsonlog::mended(&text)),
            _ => text,
        };
        let entry = match format {
            Format::Stderr => stderr::parse(&text, &mut self.prefixes, self.is_verbose),
            Format::Csvlog => csvlog::parse(&text),
            Format::Jsonlog => jsonlog::parse(&text, record.cut),
        };
        if format == Format::Stderr && self.broken.holds(&text, entry.as_ref(), &self.prefixes) {
            return self.reject(Reason::Malformed);
        }
        match entry {
            Some(entry) => self.entry(&entry),
            None if record.cut => self.reject(Reason::TooLong),
            None => self.reject(Reason::Malformed),
        }
    }

    pub(super) fn reject(&mut self, reason: Reason) {
        self.rejected[reason as usize] += 1;
    }

    /// Counts what was read of the files.
    pub(super) fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Takes in poolwatch's role, and whether others use it.
    pub(super) fn role(&mut self, role: &str, shared: bool) {
        self.backends.get_or_insert_default().role(role, shared);
    }

    /// Takes in the sessions that there are.
    pub(super) fn meet(&mut self, backends: Vec<Backend>, now: Instant) {
        self.backends.get_or_insert_default().meet(backends, now);
    }

    /// Takes in which databases there are.
    pub(super) fn confirm(&mut self, databases: HashSet<String>) {
        self.rejected[Reason::UnknownDatabase as usize] += self.accounts.confirm(databases);
    }

    /// Takes in how verbose the server's log is.
    pub(super) fn verbose(&mut self, is_verbose: bool) {
        self.is_verbose = is_verbose;
    }

    /// Whether the server is to be asked which databases it has.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.accounts.is_in_doubt()
    }

    fn entry(&mut self, entry: &Entry<'_>) {
        match entry.severity {
            Severity::Log => self.log(entry),
            Severity::Error => {
                self.forget(entry.process);
                self.error(entry);
            }
            Severity::Fatal => {
                self.forget(entry.process);
                self.fatal(entry);
            }
            Severity::Location => self.is_verbose = true,
            Severity::Other | Severity::More => {}
        }
    }

    /// A statement failed: no duration will be told, and it waits no more.
    fn forget(&mut self, process: Option<u32>) {
        self.sessions.forget(process);
        self.waiting.forget(process);
    }

    /// By which statements are counted in this log.
    fn rates(&self) -> Option<Rates> {
        self.rates.map(|rates| if self.tagged { rates.where_told() } else { rates })
    }

    /// From how many seconds on every statement is counted.
    fn counted_from(&self) -> Option<f64> {
        self.rates()?.counted_from()
    }

    fn log(&mut self, entry: &Entry<'_>) {
        if let Some(said) = said::of(&entry.message) {
            self.said(entry, &said);
        } else if let Some(wait) = lock_waits::parse(&entry.message) {
            self.wait(entry, &wait);
        }
    }

    fn said(&mut self, entry: &Entry<'_>, said: &Said<'_>) {
        let Some(database) = self.database(entry, matches!(said, Said::Took(..))) else { return };
        self.nameless |= entry.database.is_none();
        self.tagged |= entry.tag.is_some();
        if ends_transaction(said) {
            self.count_all(|portals| portals.close(entry.process));
        }
        match self.sessions.take(entry.process, entry.tag, said) {
            Ok(None) => {}
            Ok(Some(run)) => self.run(entry.process, &database, run),
            Err(Untold) => self.reject(Reason::NoStatement),
        }
    }

    /// A statement was run, or some of its rows were fetched.
    fn run(&mut self, process: Option<u32>, database: &str, run: Run) {
        match run.rows {
            Rows::All => self.count(database, run),
            Rows::More(portal) => self.portals.fetch(process, portal, run, Instant::now()),
            Rows::First(portal) => {
                let ended = self.portals.open(process, portal, database, run, Instant::now());
                if let Some((database, run)) = ended {
                    self.count(&database, run);
                }
            }
        }
    }

    fn count(&mut self, database: &str, run: Run) {
        let weight = self.rates().map_or(1.0, |rates| rates.weight(run.last));
        let Some(account) = self.account(database) else { return };
        if run.timed {
            account.durations.observe(run.seconds, weight);
        }
    }

    fn count_all(&mut self, ended: impl FnOnce(&mut Portals) -> Vec<(String, Run)>) {
        for (database, run) in ended(&mut self.portals) {
            self.count(&database, run);
        }
    }

    /// Counts the statements from which no more rows were fetched for long.
    pub(super) fn settle(&mut self, now: Instant) {
        self.count_all(|portals| portals.quiet(now));
    }

    fn wait(&mut self, entry: &Entry<'_>, wait: &LockWait) {
        let Some(database) = self.database(entry, true) else { return };
        let is_new = self.waiting.is_new(wait);
        if let Some(account) = self.account(&database) {
            account.waits.count(wait, is_new);
        }
    }

    fn error(&mut self, entry: &Entry<'_>) {
        let Some(database) = self.database(entry, true) else { return };
        let class = entry.state.and_then(|state| state.get(..2)).unwrap_or_default();
        let Some(account) = self.account(&database) else { return };
        account.error(class);
        if let Some(fate) = fate::of(&entry.message, entry.state) {
            account.ended[fate as usize] += 1;
        }
    }

    /// Who was never let in may have asked for a database that is not there.
    fn fatal(&mut self, entry: &Entry<'_>) {
        if let Some(refusal) = fate::refusal(&entry.message, entry.state) {
            if whose::attribute(entry, self.backends.as_ref()) != Whose::Own {
                self.refused[refusal as usize] += 1;
            }
        } else if let Some(fate) = fate::of(&entry.message, entry.state) {
            let Some(database) = self.database(entry, true) else { return };
            if self.accounts.has(&database)
                && let Some(account) = self.account(&database)
            {
                account.ended[fate as usize] += 1;
            }
        }
    }

    /// In which database a client's message was written; one of which nobody knows whose it is may
    /// have to be counted as such.
    fn database(&mut self, entry: &Entry<'_>, counts: bool) -> Option<String> {
        match whose::attribute(entry, self.backends.as_ref()) {
            Whose::Client(database) => Some(database.into_owned()),
            Whose::Own => None,
            Whose::Unknown => {
                if counts {
                    self.reject(Reason::NoSession);
                }
                None
            }
        }
    }

    fn account(&mut self, database: &str) -> Option<&mut Account> {
        let account = self.accounts.get_mut(database);
        if account.is_none() {
            self.rejected[Reason::UnknownDatabase as usize] += 1;
        }
        account
    }

    /// How many messages were read, and how many of them could not be counted.
    pub fn messages(&self) -> (u64, u64) {
        (self.messages, self.rejected.iter().sum())
    }

    /// How many messages were not counted for this reason.
    pub(super) fn rejected(&self, reason: Reason) -> u64 {
        self.rejected[reason as usize]
    }

    /// Samples that are shown only in the sum of all databases beyond the limit.
    pub(super) fn summed(&self) -> u64 {
        self.accounts.aggregated
    }

    /// How long statements took in the last five minutes, where any ran.
    pub(super) fn recent(&mut self, now: Instant) -> Vec<LoggedTimes> {
        let counted_from = self.counted_from();
        let recent = self.accounts.recent(now).map(|(database, recent)| LoggedTimes {
            database: database.clone(),
            recent,
            counted_from,
        });
        recent.filter(|times| times.recent.count() > 0).collect()
    }
}

/// With a transaction its portals come to their end.
fn ends_transaction(said: &Said<'_>) -> bool {
    let (Said::Took(_, Step::Whole(text) | Step::Execute(text))
    | Said::Begins(Step::Whole(text) | Step::Execute(text))) = said
    else {
        return false;
    };
    let word = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
    let word = word.unwrap_or_default();
    ["commit", "rollback", "end", "abort"].iter().any(|end| word.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests;
