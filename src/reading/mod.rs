//! What can be seen: a reading is all that one source saw at one time. `None` is "cannot see",
//! never zero.

mod indexes;
mod pool;
mod server;

use std::sync::Arc;
use std::time::Duration;

pub use self::indexes::{ForeignKey, Index, Indexes, Reference, TableScans};
pub use self::pool::{Held, Origin, Pool, Worker};
pub use self::server::{LoggedTimes, Ran, Sessions, Statement, StatementTimes, Top};
use crate::metric::Family;
pub use poolwatch_client::pool_figures::{Cumulative, Figures, MaxOverflow, Timings, Totals, both};
pub use poolwatch_client::report::Finding;

/// All that one source saw at one time. A source fills what it can know.
#[derive(Debug, Default)]
pub struct Reading {
    /// Application pools.
    pub pools: Vec<Pool>,
    /// Metric families that need no judging, ready to be shown.
    pub families: Vec<Family>,
    /// The sessions on the server, counted.
    pub sessions: Option<Sessions>,
    /// What `SELECT 1` took.
    pub probe: Option<Duration>,
    /// How long statements took lately, by database, as estimated.
    pub statements: Vec<StatementTimes>,
    /// The statements that matter most.
    pub top: Option<Arc<Top>>,
    /// How long statements took lately, by database, as the server logged it.
    pub logged: Vec<LoggedTimes>,
    /// What workers found in the application's own statements.
    pub findings: Vec<Finding>,
    /// What a database's indexes and tables are like.
    pub indexes: Option<Indexes>,
    /// Samples left out to keep within a limit, since the start.
    pub dropped: u64,
    /// Samples shown only in the sum called `other`, to keep within a limit, since the start.
    pub aggregated: u64,
    /// What would let more be seen, for whoever asks what to do.
    pub hints: Vec<String>,
    /// Why there can be nothing to read on this version of the server.
    pub absent: Option<String>,
    /// What was read, for whoever asks whether it is the right thing.
    pub note: Option<String>,
    /// What could not be read, when the rest could.
    pub trouble: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// How long it took, where waiting for a turn is not to be counted.
    pub took: Option<Duration>,
}

impl Reading {
    /// Whether there is anything in it that a server answered. A reading without figures may come
    /// of a source that had nothing to ask.
    pub fn is_of_server(&self) -> bool {
        !self.families.is_empty()
            || self.sessions.is_some()
            || self.probe.is_some()
            || self.indexes.is_some()
    }
}
