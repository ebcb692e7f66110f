//! What the log said since the start, by database. Only figures are kept, no text of a statement.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tokio::time::Instant;

use super::entry::{Entry, Severity};
use super::fate::{self, Fate, Refusal};
use super::format::Format;
use super::prefix::Prefixes;
use super::rates::Rates;
use super::records::Record;
use super::sessions::{Run, Sessions, Untold};
use super::{csvlog, jsonlog, said, stderr};
use crate::collectors::OTHER;
use crate::latency::{BOUNDS, Histogram, Past, Weighted};
use crate::metric::Family;
use crate::postgres::APPLICATION_NAME;
use crate::reading::LoggedTimes;

/// More databases than these are one.
const DATABASES: usize = 100;
/// More classes of errors than there are.
const CLASSES: usize = 60;

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
}

impl Reason {
    /// Every reason, for the metric that shows each.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::TooLong, Self::Truncated, Self::NoStatement];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::NoStatement => "no_statement",
        }
    }
}

/// All that the log said.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) prefixes: Prefixes,
    /// As the server says, when it was asked.
    pub(super) rates: Option<Rates>,
    /// poolwatch's role, when it is nobody else's.
    pub(super) own_role: Option<String>,
    sessions: Sessions,
    databases: BTreeMap<String, Account>,
    refused: [u64; Refusal::ALL.len()],
    rejected: [u64; Reason::ALL.len()],
    messages: u64,
    bytes: u64,
    summed: u64,
    /// Whether the log says what a session is doing.
    tagged: bool,
    /// Whether a session was seen whose database is not told.
    pub(super) nameless: bool,
}

/// What one database's sessions did.
#[derive(Debug, Default)]
struct Account {
    durations: Weighted,
    errors: BTreeMap<String, u64>,
    ended: [u64; Fate::ALL.len()],
    past: Past<Histogram>,
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
            Format::Stderr => stderr::parse(&text, &mut self.prefixes),
            Format::Csvlog => csvlog::parse(&text),
            Format::Jsonlog => jsonlog::parse(&text),
        };
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

    fn entry(&mut self, entry: &Entry<'_>) {
        if entry.severity == Severity::More || self.is_own(entry) {
            return;
        }
        match entry.severity {
            Severity::Log => self.duration(entry),
            Severity::Error => {
                self.sessions.forget(entry.process);
                self.error(entry);
            }
            Severity::Fatal => {
                self.sessions.forget(entry.process);
                self.fatal(entry);
            }
            Severity::Other | Severity::More => {}
        }
    }

    /// By which statements are counted in this log.
    fn rates(&self) -> Option<Rates> {
        self.rates.map(|rates| if self.tagged { rates.where_told() } else { rates })
    }

    /// From how many seconds on every statement is counted.
    fn counted_from(&self) -> Option<f64> {
        self.rates()?.counted_from()
    }

    /// poolwatch's own sessions are known by their name, else by a role that is nobody else's.
    fn is_own(&self, entry: &Entry<'_>) -> bool {
        match &entry.application {
            Some(name) => name == APPLICATION_NAME,
            None => entry.user.is_some() && entry.user.as_deref() == self.own_role.as_deref(),
        }
    }

    fn duration(&mut self, entry: &Entry<'_>) {
        let Some(said) = said::of(&entry.message) else { return };
        self.nameless |= entry.database.is_none();
        self.tagged |= entry.tag.is_some();
        match self.sessions.take(entry.process, entry.tag, &said) {
            Ok(None) => {}
            Ok(Some(Run { seconds, last, timed })) => {
                let weight = self.rates().map_or(1.0, |rates| rates.weight(last));
                let account = self.account(entry);
                if timed {
                    account.durations.observe(seconds, weight);
                }
            }
            Err(Untold) => self.reject(Reason::NoStatement),
        }
    }

    fn error(&mut self, entry: &Entry<'_>) {
        let class = entry.state.and_then(|state| state.get(..2)).unwrap_or_default();
        let account = self.account(entry);
        let full = account.errors.len() >= CLASSES && !account.errors.contains_key(class);
        let class = if full { OTHER } else { class };
        match account.errors.get_mut(class) {
            Some(count) => *count += 1,
            None => drop(account.errors.insert(class.to_owned(), 1)),
        }
        if let Some(fate) = fate::of(&entry.message, entry.state) {
            account.ended[fate as usize] += 1;
        }
    }

    fn fatal(&mut self, entry: &Entry<'_>) {
        if let Some(refusal) = fate::refusal(&entry.message, entry.state) {
            self.refused[refusal as usize] += 1;
        } else if let Some(fate) = fate::of(&entry.message, entry.state) {
            self.account(entry).ended[fate as usize] += 1;
        }
    }

    /// A database is shown from when it is first spoken of.
    fn account(&mut self, entry: &Entry<'_>) -> &mut Account {
        let mut name = entry.database.as_deref().unwrap_or_default();
        if self.databases.len() >= DATABASES && !self.databases.contains_key(name) {
            self.summed += 1;
            name = OTHER;
        }
        if !self.databases.contains_key(name) {
            self.databases.insert(name.to_owned(), Account::default());
        }
        self.databases.get_mut(name).expect("it is there now")
    }

    /// How many messages were read, and how many of them could not be counted.
    pub fn messages(&self) -> (u64, u64) {
        (self.messages, self.rejected.iter().sum())
    }

    /// Whether a duration was told without its statement.
    pub(super) fn untold(&self) -> bool {
        self.rejected[Reason::NoStatement as usize] > 0
    }

    /// How many messages were none of the format.
    pub(super) fn malformed(&self) -> u64 {
        self.rejected[Reason::Malformed as usize]
    }

    /// Samples that are shown only in the sum of all databases beyond the limit.
    pub(super) fn summed(&self) -> u64 {
        self.summed
    }

    /// How long statements took in the last five minutes, where any ran.
    pub(super) fn recent(&mut self, now: Instant) -> Vec<LoggedTimes> {
        let counted_from = self.counted_from();
        let databases = self.databases.iter_mut();
        let recent = databases.map(|(database, account)| LoggedTimes {
            database: database.clone(),
            recent: account.recent(now),
            counted_from,
        });
        recent.filter(|times| times.recent.count() > 0).collect()
    }

    /// Everything that was counted.
    pub fn families(&self) -> Vec<Family> {
        let mut families = self.of_statements();
        families.push(self.refusals());
        families.extend(self.own());
        families
    }

    fn of_statements(&self) -> Vec<Family> {
        let mut durations = Family::histogram(
            "db_statement_duration_seconds",
            "How long queries took in the server, parsing and planning included, by its log: \
             exact for those that it logs, see db_statement_duration_counted_from_seconds; of a \
             sample each counts for those left out. Not in it: statements that failed, \
             transaction control, schema changes, pings, poolwatch's own.",
        );
        let mut from = Family::gauge(
            "db_statement_duration_counted_from_seconds",
            "Queries that took less are not in the server's log, so they are not in \
             db_statement_duration_seconds; absent when it logs none.",
        );
        let mut errors = Family::counter(
            "db_statement_errors_total",
            "Errors in the server's log, by class: the first two characters of the SQLSTATE, \
             empty where the log has none.",
        );
        let mut ended = Family::counter(
            "db_statement_cancellations_total",
            "Statements and sessions that did not end by themselves: timeouts, cancellations, \
             deadlocks, terminations, in the server's log.",
        );
        from.sample(&[], self.counted_from());
        for (database, account) in &self.databases {
            durations.durations(&[("datname", database)], &account.durations.histogram());
            for (class, count) in &account.errors {
                errors.sample(&[("datname", database), ("class", class)], *count as f64);
            }
            // All from the first on, so that whoever asks for an increase sees it.
            for (fate, count) in Fate::ALL.iter().zip(account.ended) {
                ended.sample(&[("datname", database), ("reason", fate.as_str())], count as f64);
            }
        }
        vec![durations, from, errors, ended]
    }

    fn refusals(&self) -> Family {
        let mut family = Family::counter(
            "pg_connections_refused_total",
            "Connections that the server refused, by its log.",
        );
        for (refusal, count) in Refusal::ALL.iter().zip(self.refused) {
            family.sample(&[("reason", refusal.as_str())], count as f64);
        }
        family
    }

    fn own(&self) -> [Family; 3] {
        let mut messages = Family::counter(
            "poolwatch_log_messages_total",
            "Messages read from the server's log, the rejected included.",
        );
        let mut bytes =
            Family::counter("poolwatch_log_bytes_total", "Bytes read from the server's log.");
        let mut rejected = Family::counter(
            "poolwatch_log_messages_rejected_total",
            "Messages of the server's log that could not be counted: none of its format, cut off \
             before they said what they are about, in a file that was truncated, or a duration \
             without its statement.",
        );
        messages.sample(&[], self.messages as f64);
        bytes.sample(&[], self.bytes as f64);
        for (reason, count) in Reason::ALL.iter().zip(self.rejected) {
            rejected.sample(&[("reason", reason.as_str())], count as f64);
        }
        [messages, bytes, rejected]
    }
}

impl Account {
    fn recent(&mut self, now: Instant) -> Histogram {
        let all = self.durations.histogram();
        let (recent, reached) = match self.past.then(now) {
            Some(then) => (all.since(then), all),
            // A database is known from its first message on: before that there was nothing.
            None => (all, Histogram::new(BOUNDS)),
        };
        self.past.remember(now, || reached);
        recent
    }
}

#[cfg(test)]
mod tests;
