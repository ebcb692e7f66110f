//! All that is known at one moment. The sampler publishes it; everything given out is a pure
//! function of it.

use std::ops::Sub;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::advice::Advice;
use crate::exposition::Chunk;
use crate::reading::{
    Figures, Finding, LoggedTimes, Pool, Sessions, StatementTimes, Timings, Top, both,
};

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

/// A moment by the calendar, for people, and by a clock that nobody sets, for what lies between
/// two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the machine's clock, which may be set back or forth.
    pub calendar: SystemTime,
    steady: Instant,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self { calendar: SystemTime::now(), steady: Instant::now() }
    }

    /// The time since an earlier moment, whatever became of the machine's clock meanwhile; 0 since
    /// a later one.
    pub fn since(self, earlier: Self) -> Duration {
        self.steady.saturating_duration_since(earlier.steady)
    }

    /// The same moment where the machine's clock says something else.
    #[must_use]
    pub fn at(self, calendar: SystemTime) -> Self {
        Self { calendar, ..self }
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        let steady = self.steady.checked_sub(time);
        Self {
            calendar: self.calendar - time,
            steady: steady.expect("Linux counts seconds below 0, too"),
        }
    }
}

/// One pool, judged.
#[derive(Clone, Debug)]
pub struct PoolState {
    /// What was read.
    pub pool: Pool,
    /// The sum over its workers.
    pub sum: Figures,
    /// checked out / capacity over all workers.
    pub utilization: Option<f64>,
    /// The busiest worker's.
    pub busiest: Option<f64>,
    /// The highest of any worker in the last minute.
    pub peak: Option<f64>,
    /// Judged on the busiest worker; absent without a capacity.
    pub status: Option<Status>,
    /// The most callers that waited for a connection in the last minute, over all workers.
    pub pending_peak: Option<f64>,
    /// What was timed in the last five minutes.
    pub recent: Timings,
}

/// What a pool did lately.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// The highest utilization of any worker in the last minute.
    pub peak: Option<f64>,
    /// The most callers that waited for a connection in the last minute, over all workers.
    pub pending_peak: Option<f64>,
    /// What was timed in the last five minutes.
    pub timings: Timings,
}

impl PoolState {
    /// Judges a pool as it was read; a peak is at least what is seen now.
    pub fn judge(pool: Pool, recent: Recent, thresholds: &Thresholds) -> Self {
        let sum = Figures::sum(pool.workers.iter().map(|worker| &worker.figures));
        let highest = |a: f64, b: f64| a.max(b);
        let busiest = pool.workers.iter().filter_map(|w| w.figures.utilization()).reduce(highest);
        Self {
            utilization: sum.utilization(),
            peak: recent.peak.into_iter().chain(busiest).reduce(highest),
            pending_peak: both(
                recent.pending_peak,
                sum.pending.map(|pending| pending as f64),
                f64::max,
            ),
            status: busiest.map(|utilization| thresholds.status(utilization)),
            busiest,
            sum,
            pool,
            recent: recent.timings,
        }
    }
}

/// One database server as the probe sees it.
#[derive(Clone, Debug, Default)]
pub struct DatabaseState {
    /// The name in the settings.
    pub name: String,
    /// Whether it answers; `None` before it was asked.
    pub up: Option<bool>,
    /// Its version, such as `15.4`.
    pub version: Option<String>,
    /// What the last `SELECT 1` took.
    pub probe: Option<Duration>,
    /// Its sessions, counted.
    pub sessions: Option<Sessions>,
    /// How long statements took lately, by database, as estimated.
    pub statements: Vec<StatementTimes>,
    /// The statements that matter most.
    pub top: Option<Arc<Top>>,
    /// How long statements took lately, by database, as the server logged it.
    pub logged: Vec<LoggedTimes>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// How one source does.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceState {
    /// The source's name, the label `source`.
    pub name: String,
    /// How often it is read.
    pub interval: Duration,
    /// Whether its last reading came; `None` before the first.
    pub up: Option<bool>,
    /// How long the last reading took, failed or not.
    pub duration: Option<Duration>,
    /// How many readings did not come.
    pub failures: u64,
    /// When the last good reading came.
    pub last_success: Option<SystemTime>,
    /// Why the last reading did not come, the whole chain of causes.
    pub error: Option<String>,
    /// What it cannot see though it reads, and why: each with the remedy.
    pub unseen: Vec<String>,
}

/// The status of a pool, in rising order of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Below the warning threshold.
    Healthy,
    /// From the warning to the critical threshold, both inclusive.
    Warning,
    /// Above the critical threshold.
    Critical,
}

impl Status {
    /// Every status, for metrics that show each.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Warning, Self::Critical];

    /// The status in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The service as a whole, in the seed's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every pool is healthy and every database answers.
    Healthy,
    /// Some pool is at warning.
    Degraded,
    /// Some pool is critical or a database does not answer.
    Unhealthy,
}

impl Health {
    /// The health in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The figures everything is judged by.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Utilization (0 to 1) from which a pool is at warning.
    pub warning: f64,
    /// Utilization (0 to 1) above which a pool is critical.
    pub critical: f64,
    /// The latency most queries should stay under.
    #[serde(with = "humantime_serde")]
    pub query_target: Duration,
    /// The latency from which it is time to scale.
    #[serde(with = "humantime_serde")]
    pub scale_at: Duration,
    /// A query longer than this is slow.
    #[serde(with = "humantime_serde")]
    pub slow_query: Duration,
    /// A connection held longer than this is likely leaked.
    #[serde(with = "humantime_serde")]
    pub held_too_long: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            warning: 0.75,
            critical: 0.90,
            query_target: Duration::from_millis(100),
            scale_at: Duration::from_millis(200),
            slow_query: Duration::from_secs(1),
            held_too_long: Duration::from_secs(60),
        }
    }
}

impl Thresholds {
    /// Healthy below warning, warning up to and with critical, critical above.
    pub fn status(&self, utilization: f64) -> Status {
        if utilization > self.critical {
            Status::Critical
        } else if utilization >= self.warning {
            Status::Warning
        } else {
            Status::Healthy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Status::{Critical, Healthy, Warning};
    use super::*;
    use crate::reading::Origin;
    use crate::reading::{MaxOverflow, Totals, Worker};

    #[test]
    fn the_edges_belong_to_warning() {
        let thresholds = Thresholds::default();
        let judged = [0.0, 0.7499, 0.75, 0.9, 0.9001, 1.0].map(|u| thresholds.status(u));
        assert_eq!(judged, [Healthy, Healthy, Warning, Warning, Critical, Critical]);
    }

    #[test]
    fn one_exhausted_worker_of_four_is_critical_while_the_sum_is_low() {
        let worker = |checked_out| Worker {
            figures: Figures {
                size: Some(5),
                max_overflow: Some(MaxOverflow::Limited(15)),
                checked_out: Some(checked_out),
                ..Figures::default()
            },
            ..Worker::default()
        };
        let pool = Pool {
            name: "web".into(),
            origin: Origin::Workers,
            workers: vec![worker(20), worker(2), worker(2), worker(2)],
            worker_count: Some(4),
            totals: Totals::default(),
            timings: Timings::default(),
        };
        let state = PoolState::judge(pool, Recent::default(), &Thresholds::default());
        assert_eq!(state.utilization, Some(26.0 / 80.0));
        assert_eq!((state.busiest, state.status), (Some(1.0), Some(Status::Critical)));
    }
}
