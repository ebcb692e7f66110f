//! Figures of the log since the start, by database. No text of a statement is kept.

mod accounts;
mod attribution;
mod families;
mod lock_waits;
mod portals;
mod rates;
mod sessions;

use std::collections::HashSet;

use strum::VariantArray;
use tokio::time::Instant;

use self::accounts::{Account, Accounts};
pub(super) use self::attribution::Backend;
use self::attribution::{Attribution, Backends, attribute};
use self::lock_waits::Waiting;
use self::portals::Portals;
pub(super) use self::rates::Rates;
use self::sessions::{LoggedSessions, Rows, Run, UnknownStatement};
use super::parse::{
    CancelReason, ConnectionRefusal, DurationMessage, LockWait, LogEntry, MessageSeverity, Step,
    Unparsed, duration, lock_wait,
};
use crate::latency::AboveByDatabase;
use crate::reading::LoggedTimes;

/// The reason why a record was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum RejectReason {
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

impl RejectReason {
    /// Every reason, for the metric that shows each.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The figures of one server's log.
#[derive(Debug, Default)]
pub struct Tally {
    /// The server's settings, when it was asked.
    pub(super) rates: Option<Rates>,
    /// The server's sessions, when it was asked.
    backends: Option<Backends>,
    sessions: LoggedSessions,
    portals: Portals,
    waiting: Waiting,
    accounts: Accounts,
    refused: [u64; ConnectionRefusal::ALL.len()],
    rejected: [u64; RejectReason::ALL.len()],
    messages: u64,
    bytes: u64,
    /// True once the log named the command that a session runs.
    tagged: bool,
    /// True once there was a session whose database is not named.
    pub(super) nameless: bool,
}

impl Tally {
    /// Counts a record: its message, or why it has none.
    pub(super) fn count_record(&mut self, record: Result<LogEntry<'_>, Unparsed>) {
        self.messages += 1;
        match record {
            Ok(entry) => self.entry(&entry),
            Err(Unparsed::Malformed) => self.reject(RejectReason::Malformed),
            Err(Unparsed::TooLong) => self.reject(RejectReason::TooLong),
        }
    }

    pub(super) fn reject(&mut self, reason: RejectReason) {
        self.rejected[reason as usize] += 1;
    }

    /// Counts what was read of the files.
    pub(super) fn read(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Takes in poolwatch's role, and whether others use it.
    pub(super) fn set_role(&mut self, role: &str, shared: bool) {
        self.backends.get_or_insert_default().set_role(role, shared);
    }

    /// Takes in the sessions that there are.
    pub(super) fn update_backends(&mut self, backends: Vec<Backend>, now: Instant) {
        self.backends.get_or_insert_default().update(backends, now);
    }

    /// Takes in the databases that there are.
    pub(super) fn confirm_databases(&mut self, databases: HashSet<String>) {
        self.rejected[RejectReason::UnknownDatabase as usize] += self.accounts.confirm(databases);
    }

    /// True when the server is to be asked for its databases.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.accounts.is_in_doubt()
    }

    fn entry(&mut self, entry: &LogEntry<'_>) {
        match entry.severity {
            MessageSeverity::Log => self.log(entry),
            MessageSeverity::Error => {
                self.forget(entry.pid);
                self.error(entry);
            }
            MessageSeverity::Fatal => {
                self.forget(entry.pid);
                self.fatal(entry);
            }
            MessageSeverity::Location | MessageSeverity::Other | MessageSeverity::More => {}
        }
    }

    /// A statement failed: its duration will not be logged, and it waits no more.
    fn forget(&mut self, pid: Option<u32>) {
        self.sessions.forget(pid);
        self.waiting.forget(pid);
    }

    /// The rates by which statements are counted in this log.
    fn rates(&self) -> Option<Rates> {
        self.rates.map(|rates| if self.tagged { rates.with_durations() } else { rates })
    }

    /// The seconds from which every statement is counted.
    fn counted_from(&self) -> Option<f64> {
        self.rates()?.counted_from()
    }

    fn log(&mut self, entry: &LogEntry<'_>) {
        if let Some(message) = duration::parse(&entry.message) {
            self.statement(entry, &message);
        } else if let Some(wait) = lock_wait::parse(&entry.message) {
            self.wait(entry, &wait);
        }
    }

    fn statement(&mut self, entry: &LogEntry<'_>, message: &DurationMessage<'_>) {
        let is_duration = matches!(message, DurationMessage::Elapsed(..));
        let Some(database) = self.database(entry, is_duration) else { return };
        self.nameless |= entry.database.is_none();
        self.tagged |= entry.tag.is_some();
        if ends_transaction(message) {
            self.count_all(|portals| portals.close(entry.pid));
        }
        match self.sessions.take(entry.pid, entry.tag, message) {
            Ok(None) => {}
            Ok(Some(run)) => self.run(entry.pid, &database, run),
            Err(UnknownStatement) => self.reject(RejectReason::NoStatement),
        }
    }

    /// A statement was run, or some of its rows were fetched.
    fn run(&mut self, pid: Option<u32>, database: &str, run: Run) {
        match run.rows {
            Rows::All => self.count(database, run),
            Rows::More(portal) => self.portals.fetch(pid, portal, run, Instant::now()),
            Rows::First(portal) => {
                let ended = self.portals.open(pid, portal, database, run, Instant::now());
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

    fn wait(&mut self, entry: &LogEntry<'_>, wait: &LockWait) {
        let Some(database) = self.database(entry, true) else { return };
        let is_new = self.waiting.is_new(wait);
        if let Some(account) = self.account(&database) {
            account.waits.count(wait, is_new);
        }
    }

    fn error(&mut self, entry: &LogEntry<'_>) {
        let Some(database) = self.database(entry, true) else { return };
        let class = entry.sqlstate.and_then(|sqlstate| sqlstate.get(..2)).unwrap_or_default();
        let Some(account) = self.account(&database) else { return };
        account.error(class);
        if let Some(reason) = CancelReason::from_message(&entry.message, entry.sqlstate) {
            account.canceled[reason as usize] += 1;
        }
    }

    /// Who was never let in may have asked for a database that is not there.
    fn fatal(&mut self, entry: &LogEntry<'_>) {
        if let Some(refusal) = ConnectionRefusal::from_message(&entry.message, entry.sqlstate) {
            if attribute(entry, self.backends.as_ref()) != Attribution::Own {
                self.refused[refusal as usize] += 1;
            }
        } else if let Some(reason) = CancelReason::from_message(&entry.message, entry.sqlstate) {
            let Some(database) = self.database(entry, true) else { return };
            if self.accounts.has(&database)
                && let Some(account) = self.account(&database)
            {
                account.canceled[reason as usize] += 1;
            }
        }
    }

    /// The database in which a client's message was written; one of an unknown session may have to be
    /// counted as such.
    fn database(&mut self, entry: &LogEntry<'_>, counts: bool) -> Option<String> {
        match attribute(entry, self.backends.as_ref()) {
            Attribution::Client(database) => Some(database.into_owned()),
            Attribution::Own => None,
            Attribution::Unknown => {
                if counts {
                    self.reject(RejectReason::NoSession);
                }
                None
            }
        }
    }

    fn account(&mut self, database: &str) -> Option<&mut Account> {
        let account = self.accounts.get_mut(database);
        if account.is_none() {
            self.rejected[RejectReason::UnknownDatabase as usize] += 1;
        }
        account
    }

    /// The number of messages that were read, and of those that could not be counted.
    pub fn messages(&self) -> (u64, u64) {
        (self.messages, self.rejected.iter().sum())
    }

    /// The number of messages that were not counted for this reason.
    pub(super) fn rejected(&self, reason: RejectReason) -> u64 {
        self.rejected[reason as usize]
    }

    /// Samples that are shown only in the sum of all databases beyond the limit.
    pub(super) fn aggregated(&self) -> u64 {
        self.accounts.aggregated
    }

    /// The statements above each bound, by database; `None` where not all that was read is counted
    /// yet, or not under its database.
    pub(super) fn above(&self) -> Option<AboveByDatabase> {
        self.accounts.above().filter(|_| self.portals.is_empty())
    }

    /// The durations of statements in the last five minutes, where any ran.
    pub(super) fn recent(&mut self, now: Instant) -> Vec<LoggedTimes> {
        let counted_from = self.counted_from();
        let complete_from = self.rates().and_then(|rates| rates.all_from);
        let recent = self.accounts.recent(now).map(|(database, recent)| LoggedTimes {
            database: database.clone(),
            recent,
            counted_from,
            complete_from,
        });
        recent.filter(|times| times.recent.count() > 0).collect()
    }
}

/// With a transaction its portals come to their end.
fn ends_transaction(message: &DurationMessage<'_>) -> bool {
    let (DurationMessage::Elapsed(_, Step::Whole(text) | Step::Execute(text))
    | DurationMessage::Begins(Step::Whole(text) | Step::Execute(text))) = message
    else {
        return false;
    };
    let word = text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
    let word = word.unwrap_or_default();
    ["commit", "rollback", "end", "abort"].iter().any(|end| word.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests;
