//! A server's sessions and statements.

use std::sync::Arc;

use serde::Serialize;

use crate::latency::{Above, BOUNDS, Estimate, Histogram};
use crate::statement::Text;

/// The sessions of clients on a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sessions {
    /// The database as the settings name it.
    pub server: String,
    /// Running a statement.
    pub active: u64,
    /// Waiting for the application.
    pub idle: u64,
    /// Waiting for the application inside a transaction, the aborted included.
    pub idle_in_transaction: u64,
    /// Of the active, waiting for a lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for_lock: Option<u64>,
    /// Age in seconds of the longest running statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_statement_seconds: Option<f64>,
    /// The number of seconds for which the longest idle in a transaction has been so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_idle_in_transaction_seconds: Option<f64>,
    /// Age in seconds of the oldest open transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_transaction_seconds: Option<f64>,
    /// The sessions that run a statement, by groups of those alike.
    #[serde(skip)]
    pub running: Vec<RunningSessions>,
    /// The applications with most connections, and how many each has.
    #[serde(skip)]
    pub applications: Vec<(String, u64)>,
    /// Sessions of clients that take up a connection.
    pub connections: u64,
    /// The connections that poolwatch itself opens at most.
    #[serde(skip)]
    pub own: u64,
    /// The server's `max_connections` less those reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u64>,
}

/// Sessions alike that run a statement, or wait for a lock in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunningSessions {
    /// Their number.
    pub sessions: u64,
    /// Age in seconds of the longest running statement.
    pub oldest_seconds: f64,
}

/// Sessions that wait for locks behind one session that waits for none: the root blocker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LockQueue {
    /// The root blocker.
    pub blocker: Blocker,
    /// The number of sessions that it holds up, directly or through others.
    pub waiting: u64,
    /// The longest of their waits, in seconds.
    pub longest_wait_seconds: f64,
    /// The statement of the waiter that most others wait behind, without its literals.
    pub first: Option<String>,
}

/// The conditions of a server that rules judge.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// All that keeps vacuum from removing rows, in no order.
    pub vacuum_holders: Vec<VacuumHolder>,
    /// The oldest transactions that are idle.
    pub idle_in_transaction: Vec<Blocker>,
    /// The oldest transactions that run a statement.
    pub running: Vec<Blocker>,
    /// Sessions that hold a connection on purpose: they listen, or hold an advisory lock.
    pub keepers: u64,
    /// The counters of each database.
    pub databases: Vec<DatabaseCounters>,
}

impl Conditions {
    /// The counters of each database as they were before, and as they are.
    pub fn databases_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a DatabaseCounters, &'a DatabaseCounters)> {
        self.databases.iter().filter_map(|now| {
            Some((before.databases.iter().find(|before| before.name == now.name)?, now))
        })
    }
}

/// A kind of thing that keeps vacuum from removing rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HolderKind {
    /// A replica with `hot_standby_feedback`.
    Replica,
    /// A replication slot that nobody reads.
    InactiveSlot,
    /// A replication slot that somebody reads.
    ActiveSlot,
    /// A prepared transaction.
    Prepared,
    /// A session that runs a statement.
    #[default]
    Running,
    /// A session that is idle in a transaction.
    Idle,
}

/// Something that keeps vacuum from removing rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VacuumHolder {
    /// Its kind.
    pub kind: HolderKind,
    /// Its name, if it is no session.
    pub name: String,
    /// Its age in transactions: rows that those deleted stay.
    pub transactions: u64,
    /// The age of a prepared transaction, in seconds.
    pub seconds: Option<f64>,
    /// The session, if it is one.
    pub session: Option<Blocker>,
}

/// The counters of one database, which only grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseCounters {
    /// The database on the server, the label `datname`.
    pub name: String,
    /// Deadlocks that the server ended.
    pub deadlocks: u64,
    /// Sessions that were opened, from version 14 on.
    pub sessions: Option<u64>,
    /// Transactions that ended.
    pub transactions: u64,
}

/// A session that holds something back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocker {
    /// Its process; 0 for a prepared transaction.
    pub pid: i32,
    /// Its role.
    pub user: String,
    /// Its `application_name`.
    pub application: String,
    /// The host or address of its client; empty on a Unix socket.
    pub address: String,
    /// The database that it is connected to.
    pub database: String,
    /// Its state, such as `idle in transaction`.
    pub state: String,
    /// The kind of process, such as `client backend`.
    pub kind: String,
    /// The age of its transaction, in seconds.
    pub transaction_seconds: Option<f64>,
    /// The time since its statement began or, where it is idle, ended, in seconds.
    pub state_seconds: Option<f64>,
    /// Its statement, or its last, without literals.
    pub statement: String,
}

impl Blocker {
    /// The session in words.
    pub fn described(&self) -> String {
        let figures = [
            ("role ", &self.user),
            ("application ", &self.application),
            ("from ", &self.address),
            ("database ", &self.database),
        ];
        let known = figures.iter().filter(|(_, figure)| !figure.is_empty());
        let known: Vec<_> = known.map(|(name, figure)| format!("{name}{figure}")).collect();
        let known =
            if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
        format!("the session {}{known}", self.pid)
    }
}

/// A server's machine and size, as far as one source reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerResources {
    /// Seconds that its processes have computed since they began.
    pub cpu_seconds: Option<f64>,
    /// Processors it may use.
    pub cores: Option<f64>,
    /// The size of its databases in bytes.
    pub bytes: Option<f64>,
}

impl ServerResources {
    /// These, and those of another source that this one does not report.
    pub fn or(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds.or(other.cpu_seconds),
            cores: self.cores.or(other.cores),
            bytes: self.bytes.or(other.bytes),
        }
    }
}

/// The recent latency of the statements of one database, estimated from the server's own figures.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementTimes {
    /// The database on the server, the label `datname`.
    pub database: String,
    /// Those of the last five minutes.
    pub recent: Estimate,
    /// The slow ones among them by the server's log, where it has all of these.
    pub logged: Option<LoggedCalls>,
}

/// The statements that the server's log has between two samples of its statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoggedCalls {
    /// Seconds from which on all are in the log.
    pub from: f64,
    /// All statements, those that are not in the log too.
    pub calls: u64,
    /// Those above each of [`BOUNDS`], at least.
    pub least: Above,
    /// At most: a reading of the log is of another moment than a sample.
    pub most: Above,
}

impl StatementTimes {
    /// The least and the greatest share (0 to 1) that can have taken longer than so many seconds: by
    /// the log where that has them all, else by the statistics. `None` when nothing ran.
    pub fn share_bounds(&self, seconds: f64) -> Option<(f64, f64)> {
        self.logged_share(seconds).or_else(|| self.recent.share_bounds(seconds))
    }

    /// The same by the log alone.
    pub fn logged_share(&self, seconds: f64) -> Option<(f64, f64)> {
        let logged = self.logged.as_ref().filter(|logged| logged.from <= seconds)?;
        let at = BOUNDS.iter().position(|bound| *bound == seconds)?;
        let share = |above: u64| (above as f64 / logged.calls as f64).min(1.0);
        (logged.calls > 0).then(|| (share(logged.least[at]), share(logged.most[at])))
    }
}

/// The statements of a server that matter most: by time, calls, time a call, or rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Top {
    /// The server as the settings name it.
    pub server: String,
    /// The number of seconds for which they were observed; where nothing was observed yet, those
    /// for which the server has counted, if it says so.
    pub seconds: Option<f64>,
    /// The statements, those that took most time first.
    pub statements: Vec<Statement>,
}

/// One statement of a server, whoever sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    /// The database on the server, the label `datname`.
    pub database: Arc<str>,
    /// Set if that is the database that poolwatch is connected to.
    pub in_current_database: bool,
    /// Its identifier, the label `queryid`.
    pub query_id: i64,
    /// Its text.
    pub text: Arc<Text>,
    /// Its figures over all that time.
    pub stats: StatementStats,
    /// Its figures step by step, the oldest first: a step is some ten seconds. Empty where nothing
    /// was observed yet.
    pub steps: Vec<StatementStats>,
    /// Its figures in the earlier half of all steps.
    pub earlier: StatementStats,
}

/// The figures of a statement's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StatementStats {
    /// The number of calls that ended without an error.
    pub calls: u64,
    /// Their total duration in seconds.
    pub seconds: f64,
    /// Rows that they returned or changed.
    pub rows: u64,
    /// Blocks of tables and indexes that they asked for.
    pub blocks: u64,
    /// The sum of the squares of their durations, in seconds squared.
    pub squares: f64,
}

impl StatementStats {
    /// The mean duration of a call in seconds.
    pub fn mean(&self) -> f64 {
        self.seconds / self.calls.max(1) as f64
    }

    /// The standard deviation of their durations, as a share of the mean.
    pub fn variation(&self) -> f64 {
        let mean = self.mean();
        let variance = self.squares / self.calls.max(1) as f64 - mean * mean;
        if mean > 0.0 { variance.max(0.0).sqrt() / mean } else { 0.0 }
    }
}

impl std::ops::AddAssign for StatementStats {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.seconds += other.seconds;
        self.rows += other.rows;
        self.blocks += other.blocks;
        self.squares += other.squares;
    }
}

/// The recent latency of the statements of one database, as the server logged it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedTimes {
    /// The database on the server, the label `datname`; empty when the log does not say.
    pub database: String,
    /// Those of the last five minutes.
    pub recent: Histogram,
    /// Seconds from which on all are in the log, in full or by a sample, when known.
    pub counted_from: Option<f64>,
    /// Seconds from which on each is in the log, when known: a sample is not all.
    pub complete_from: Option<f64>,
}
