//! Readings: all that one source saw at one time. `None` is "cannot see",
//! never zero.

mod indexes;
mod ownership;
mod pool;
mod server;
mod session_failure;

use std::sync::Arc;
use std::time::Duration;

pub use self::indexes::{ForeignKey, Index, IndexKey, Indexes, Reference, TableIndex, TableScans};
pub use self::ownership::{ClientSession, ClientSessions, ConnectionCounts, ConnectionOwner};
pub use self::pool::{Demand, GrowthLimit, HoldCounts, Holders, Origin, Pool, Worker, WorkerHold};
pub use self::server::{
    Blocker, Conditions, DatabaseCounters, HolderKind, LockQueue, LoggedCalls, LoggedTimes,
    RunningSessions, ServerResources, Sessions, Statement, StatementStats, StatementTimes, Top,
    VacuumHolder,
};
pub use self::session_failure::{FailureKind, SessionFailure};
use crate::metric::Family;
pub use poolwatch_client::pool_figures::{Cumulative, Figures, MaxOverflow, Timings, Totals, both};
pub use poolwatch_client::report::{
    ConnectionTarget, Endpoint, EndpointTotals, Finding, Hold, OTHER, TARGETS,
};

/// All that one source saw at one time. A source fills what it can know.
#[derive(Debug, Default)]
pub struct Reading {
    /// Application pools.
    pub pools: Vec<Pool>,
    /// Metric families that need no judging, ready to be shown.
    pub families: Vec<Family>,
    /// The pools of workers, each with the connections that it holds.
    pub owners: Vec<ConnectionOwner>,
    /// The sessions of a server one by one, where all of them can be seen.
    pub client_sessions: Option<Arc<ClientSessions>>,
    /// The sessions on the server, counted.
    pub sessions: Option<Sessions>,
    /// The conditions of a server that rules judge.
    pub conditions: Option<Arc<Conditions>>,
    /// The queues for locks; `None` where they were not read.
    pub lock_queues: Option<Vec<LockQueue>>,
    /// The server's machine and size.
    pub resources: ServerResources,
    /// The duration of `SELECT 1`.
    pub probe: Option<Duration>,
    /// The recent latency of statements, by database, as estimated.
    pub statements: Vec<StatementTimes>,
    /// The statements that matter most.
    pub top: Option<Arc<Top>>,
    /// The recent latency of statements, by database, as the server logged it.
    pub logged: Vec<LoggedTimes>,
    /// The findings of workers in the application's own statements.
    pub findings: Vec<Finding>,
    /// The indexes and tables of a database.
    pub indexes: Option<Indexes>,
    /// Samples dropped to keep within a limit, since the start.
    pub dropped: u64,
    /// Samples shown only in the sum called `other`, to keep within a limit, since the start.
    pub aggregated: u64,
    /// Hints by which more could be read, for whoever asks what to do.
    pub hints: Vec<String>,
    /// The reason why there can be nothing to read on this version of the server.
    pub absent: Option<String>,
    /// A description of what was read, for whoever asks whether it is the right thing.
    pub note: Option<String>,
    /// The failure of a part, when the rest could be read.
    pub trouble: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Its duration, where waiting for a turn is not to be counted.
    pub elapsed: Option<Duration>,
}

impl Reading {
    /// Returns true if there is anything in it that a server answered. A reading without figures
    /// may come of a source that had nothing to ask.
    pub fn is_of_server(&self) -> bool {
        !self.families.is_empty()
            || self.sessions.is_some()
            || self.probe.is_some()
            || self.indexes.is_some()
            || self.lock_queues.is_some()
            || self.conditions.is_some()
            || self.client_sessions.is_some()
    }
}
