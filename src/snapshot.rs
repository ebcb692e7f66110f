//! State, advice and encoded families of one moment. The sampler publishes it; everything that is
//! given out is a pure function of it.

use std::sync::Arc;
use std::time::Duration;

use crate::advice::Advice;
use crate::exposition::Chunk;
use crate::reading::Finding;
use crate::state::{
    DatabaseState, Health, Moment, PoolState, Role, SourceState, Status, Thresholds,
};

/// State, advice and encoded families of one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment at which the daemon began.
    pub started_at: Moment,
    /// The moment at which this was put together; `None` before the first sample.
    pub taken_at: Option<Moment>,
    /// The age above which a snapshot is stale.
    pub stale_after: Duration,
    /// Every pool that could be seen.
    pub pools: Vec<PoolState>,
    /// Every server that is watched.
    pub databases: Vec<DatabaseState>,
    /// Every source and the outcome of its last reading.
    pub sources: Vec<SourceState>,
    /// The advice that is firing, worst first.
    pub advice: Vec<Advice>,
    /// The findings of workers in the application's statements.
    pub findings: Vec<Finding>,
    /// The thresholds by which everything was judged.
    pub thresholds: Thresholds,
    /// Its part among several poolwatches.
    pub role: Role,
    /// The metric families, encoded when they were read.
    pub chunks: Vec<Arc<Chunk>>,
}

impl Snapshot {
    /// A snapshot before the first sample.
    pub fn empty(thresholds: Thresholds, stale_after: Duration) -> Self {
        Self {
            started_at: Moment::now(),
            taken_at: None,
            stale_after,
            pools: Vec::new(),
            databases: Vec::new(),
            sources: Vec::new(),
            advice: Vec::new(),
            findings: Vec::new(),
            thresholds,
            role: Role::default(),
            chunks: Vec::new(),
        }
    }

    /// The worst status of any pool; healthy when none is known.
    pub fn pool_status(&self) -> Status {
        self.pools.iter().filter_map(|pool| pool.status).max().unwrap_or(Status::Healthy)
    }

    /// Returns true if any server answers. `None` when none is watched or none was asked yet.
    pub fn database_up(&self) -> Option<bool> {
        let known: Vec<_> = self.databases.iter().filter_map(|database| database.up).collect();
        (!known.is_empty()).then(|| known.contains(&true))
    }

    /// Returns true if the last sample is too old to speak of now.
    pub fn is_stale(&self, now: Moment) -> bool {
        self.taken_at.is_none_or(|taken_at| now.since(taken_at) > self.stale_after)
    }

    /// The health of the service as a whole.
    pub fn health(&self) -> Health {
        let down = || self.databases.iter().filter(|database| database.up == Some(false));
        match self.pool_status() {
            _ if down().any(|database| !database.denies()) => Health::Unhealthy,
            Status::Critical => Health::Unhealthy,
            _ if down().next().is_some() => Health::Degraded,
            Status::Warning => Health::Degraded,
            Status::Healthy => Health::Healthy,
        }
    }
}
