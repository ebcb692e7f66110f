//! State, advice and encoded families of one moment. The sampler publishes it; everything that is
//! given out is a pure function of it.

use std::sync::Arc;
use std::time::Duration;

use crate::advice::Advice;
use crate::exposition::Chunk;
use crate::reading::Finding;
use crate::state::{DatabaseState, Health, Moment, PoolState, SourceState, Status, Thresholds};

/// All that is known at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When the daemon began.
    pub started_at: Moment,
    /// When this was put together; `None` before the first sample.
    pub taken_at: Option<Moment>,
    /// How long a snapshot may be old before it is stale.
    pub stale_after: Duration,
    /// Every pool that could be seen.
    pub pools: Vec<PoolState>,
    /// Every database that is watched.
    pub databases: Vec<DatabaseState>,
    /// Every source and how it does.
    pub sources: Vec<SourceState>,
    /// What it means.
    pub advice: Vec<Advice>,
    /// What workers found in the application's statements.
    pub findings: Vec<Finding>,
    /// The thresholds everything was judged by.
    pub thresholds: Thresholds,
    /// The metric families, encoded when they were read.
    pub chunks: Vec<Arc<Chunk>>,
}

impl Snapshot {
    /// Nothing seen yet.
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
            chunks: Vec::new(),
        }
    }

    /// The worst status of any pool; healthy when none is known.
    pub fn pool_status(&self) -> Status {
        self.pools.iter().filter_map(|pool| pool.status).max().unwrap_or(Status::Healthy)
    }

    /// Whether any database answers. `None` when none is watched or none was asked yet.
    pub fn database_up(&self) -> Option<bool> {
        let known: Vec<_> = self.databases.iter().filter_map(|database| database.up).collect();
        (!known.is_empty()).then(|| known.contains(&true))
    }

    /// Whether the last sample is too old to speak of now.
    pub fn is_stale(&self, now: Moment) -> bool {
        self.taken_at.is_none_or(|taken_at| now.since(taken_at) > self.stale_after)
    }

    /// The service as a whole.
    pub fn health(&self) -> Health {
        let down = self.databases.iter().any(|database| database.up == Some(false));
        match self.pool_status() {
            _ if down => Health::Unhealthy,
            Status::Critical => Health::Unhealthy,
            Status::Warning => Health::Degraded,
            Status::Healthy => Health::Healthy,
        }
    }
}
