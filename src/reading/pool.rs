//! An application's pools: their workers, their figures, what they counted and timed.

use std::time::Duration;

use serde::Serialize;

use poolwatch_client::histogram::HOLD_BOUNDS;
use poolwatch_client::pool_figures::{Figures, Timings, Totals};
use poolwatch_client::report::{ConnectionTarget, Endpoint, Hold};

/// The origin of a pool's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Origin {
    /// Reported by the workers themselves.
    Workers,
    /// `PgBouncer`'s own figures.
    Pgbouncer,
    /// The application's health endpoint: the worker that happened to answer.
    AppHealth,
    /// Inferred from `pg_stat_activity`: a lower bound.
    Activity,
}

impl Origin {
    /// The value of the label `source` of `db_pool_info`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One pool of an application, over all its workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The operator's name for it, the label `pool`.
    pub name: String,
    /// The origin of the figures.
    pub origin: Origin,
    /// Each worker's pool; a source that cannot distinguish workers has one.
    pub workers: Vec<Worker>,
    /// The number of workers that share the pool's figures, when known.
    pub worker_count: Option<u64>,
    /// The counters since the beginning, those of ended workers included.
    pub totals: Totals,
    /// The timings since the beginning, those of ended workers included.
    pub timings: Timings,
    /// Who takes its connections, where the workers say.
    pub holders: Holders,
    /// The servers that its connections go to, each once and in order, where that is known.
    pub targets: Vec<ConnectionTarget>,
}

/// Who takes a pool's connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holders {
    /// The endpoints over all workers, those that hold most first; the rest, called `other`, last.
    pub endpoints: Vec<Endpoint>,
    /// The longest current holds, the longest first.
    pub holds: Vec<WorkerHold>,
}

/// A connection that has been held for longer than a second, with the worker that holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerHold {
    /// The worker's process.
    pub pid: Option<u32>,
    /// The worker's application.
    pub app: Option<String>,
    /// The hold.
    pub hold: Hold,
}

/// One worker process and its pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker {
    /// Its process, as the worker itself says.
    pub pid: Option<u32>,
    /// The application's name for itself.
    pub app: Option<String>,
    /// The age of the figures.
    pub age: Option<Duration>,
    /// Its pool now.
    pub figures: Figures,
    /// What was asked of its pool since the reading before, where it reports that.
    pub demand: Option<Demand>,
    /// The limit that keeps it from opening another connection, besides its own capacity.
    pub growth_limit: Option<GrowthLimit>,
}

/// Holds by their bucket, over the bounds of the histogram of holds.
pub type HoldCounts = [u16; HOLD_BOUNDS.len() + 1];

/// What was asked of one worker's pool within a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// The length of that time.
    pub elapsed: Duration,
    /// Callers that came for a connection.
    pub callers: u64,
    /// The most callers at once that had a connection or waited for one.
    pub peak: u64,
    /// The callers that waited at its beginning.
    pub waiting: u64,
    /// The holds that ended within it.
    pub holds: HoldCounts,
}

impl Demand {
    /// Adds that of the time that followed.
    pub fn merge(&mut self, next: &Self) {
        self.elapsed = self.elapsed.saturating_add(next.elapsed);
        self.callers = self.callers.saturating_add(next.callers);
        self.peak = self.peak.max(next.peak);
        for (count, more) in self.holds.iter_mut().zip(next.holds) {
            *count = count.saturating_add(more);
        }
    }
}

/// A limit that keeps a pool of `PgBouncer` from opening another connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrowthLimit {
    /// PAUSE, of the database or of all.
    Paused,
    /// A `pool_size` of 0 before 1.24, where it is not unlimited.
    NoSize,
    /// All that the database may have over all its pools are taken.
    DatabaseLimit(u64),
    /// All that the user may have over all its pools are taken.
    UserLimit(u64),
}
