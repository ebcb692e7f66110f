//! An application's pools: their workers, their figures, what they counted and timed.

use std::time::Duration;

use serde::Serialize;

use crate::latency::Histogram;

/// Where a pool's figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Reported by the workers themselves.
    Workers,
    /// A Rust application's `SharedPool` in this process.
    Shared,
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
        match self {
            Self::Workers => "workers",
            Self::Shared => "shared",
            Self::Pgbouncer => "pgbouncer",
            Self::AppHealth => "app_health",
            Self::Activity => "activity",
        }
    }
}

/// One pool of an application, over all its workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The operator's name for it, the label `pool`.
    pub name: String,
    /// Where the figures come from.
    pub origin: Origin,
    /// Each worker's pool; a source that cannot tell workers apart has one.
    pub workers: Vec<Worker>,
    /// How many workers share the pool's figures, when known.
    pub worker_count: Option<u64>,
    /// What was counted since the beginning, the workers of the past included.
    pub totals: Totals,
    /// What was timed since the beginning, the workers of the past included.
    pub timings: Timings,
}

/// One worker process and its pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker {
    /// Its process, as the worker itself says.
    pub pid: Option<u32>,
    /// The application's name for itself.
    pub app: Option<String>,
    /// How old the figures are.
    pub age: Option<Duration>,
    /// Its pool now.
    pub figures: Figures,
    /// What keeps it from opening another connection, besides its own capacity.
    pub held: Option<Held>,
}

/// What keeps a pool of `PgBouncer`'s from opening another connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// PAUSE, of the database or of all.
    Paused,
    /// A `pool_size` of 0 before 1.24, where it is not unlimited.
    NoSize,
    /// All that the database may have over all its pools are taken.
    DatabaseLimit(u64),
    /// All that the user may have over all its pools are taken.
    UserLimit(u64),
}

/// A pool's figures at one moment, in connections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Connections the pool keeps; a pool that keeps none may have a limit all the same.
    pub size: Option<u64>,
    /// How many more it may open.
    pub max_overflow: Option<MaxOverflow>,
    /// Open and resting in the pool.
    pub checked_in: Option<u64>,
    /// Taken by the application.
    pub checked_out: Option<u64>,
    /// Open above size, never negative.
    pub overflow: Option<u64>,
    /// Callers waiting for one of the pool's connections, all of which are taken.
    pub pending: Option<u64>,
    /// The most callers that waited at once lately, a high-water mark kept by the client.
    pub pending_peak: Option<u64>,
    /// Callers that have a place in the pool and open or check a connection.
    pub connecting: Option<u64>,
    /// The highest checked out lately, a high-water mark kept by the client.
    pub peak: Option<u64>,
    /// The longest current hold in seconds.
    pub oldest_checkout: Option<f64>,
}

/// How many connections above its size a pool may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxOverflow {
    /// At most so many.
    Limited(u64),
    /// As many as are asked for: there is no capacity and no utilization.
    Unlimited,
}

impl Figures {
    /// size + max overflow; absent when either is unknown or unlimited, or when both are 0.
    pub fn capacity(&self) -> Option<u64> {
        match (self.size?, self.max_overflow?) {
            (_, MaxOverflow::Unlimited) => None,
            (size, MaxOverflow::Limited(more)) => Some(size + more).filter(|all| *all > 0),
        }
    }

    /// checked out / capacity.
    pub fn utilization(&self) -> Option<f64> {
        Some(self.checked_out? as f64 / self.capacity()? as f64)
    }

    /// The highest utilization lately, by the client's own high-water mark.
    pub fn peak_utilization(&self) -> Option<f64> {
        Some(self.peak?.max(self.checked_out?) as f64 / self.capacity()? as f64)
    }

    /// The most callers that waited at once lately, at least those that wait now.
    pub fn pending_peak(&self) -> Option<u64> {
        both(self.pending_peak, self.pending, u64::max)
    }

    /// The sum over workers. A figure that some worker lacks is still summed over those that have
    /// it, but one unlimited worker makes the whole unlimited.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            size: both(sum.size, one.size, |a, b| a + b),
            max_overflow: both(sum.max_overflow, one.max_overflow, MaxOverflow::plus),
            checked_in: both(sum.checked_in, one.checked_in, |a, b| a + b),
            checked_out: both(sum.checked_out, one.checked_out, |a, b| a + b),
            overflow: both(sum.overflow, one.overflow, |a, b| a + b),
            pending: both(sum.pending, one.pending, |a, b| a + b),
            pending_peak: both(sum.pending_peak(), one.pending_peak(), |a, b| a + b),
            connecting: both(sum.connecting, one.connecting, |a, b| a + b),
            peak: None,
            oldest_checkout: both(sum.oldest_checkout, one.oldest_checkout, f64::max),
        })
    }
}

impl MaxOverflow {
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Limited(a), Self::Limited(b)) => Self::Limited(a + b),
            _ => Self::Unlimited,
        }
    }

    /// The limit, if there is one.
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::Limited(limit) => Some(limit),
            Self::Unlimited => None,
        }
    }
}

/// Either value, or both combined.
pub fn both<T>(a: Option<T>, b: Option<T>, combine: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(combine(a, b)),
        (a, b) => a.or(b),
    }
}

/// What was counted since a pool began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Acquires that waited until the pool's timeout.
    pub timeouts: Option<u64>,
    /// Acquires that failed for another reason, such as no connection to the server.
    pub acquire_errors: Option<u64>,
    /// Connections opened.
    pub opened: Option<u64>,
    /// Connections thrown away as broken.
    pub invalidated: Option<u64>,
    /// Connections found in a forked child that belong to its parent.
    pub inherited: Option<u64>,
    /// Statements that failed.
    pub query_errors: Option<u64>,
    /// Checkouts that ran one statement again and again for the rows of another.
    pub n_plus_one: Option<u64>,
    /// SELECTs without LIMIT that returned 1,000 rows or more.
    pub unpaginated: Option<u64>,
}

impl Totals {
    /// The sum of two, a figure that only one has taken from it.
    pub fn plus(&self, other: &Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| both(a, b, u64::saturating_add);
        Self {
            timeouts: sum(self.timeouts, other.timeouts),
            acquire_errors: sum(self.acquire_errors, other.acquire_errors),
            opened: sum(self.opened, other.opened),
            invalidated: sum(self.invalidated, other.invalidated),
            inherited: sum(self.inherited, other.inherited),
            query_errors: sum(self.query_errors, other.query_errors),
            n_plus_one: sum(self.n_plus_one, other.n_plus_one),
            unpaginated: sum(self.unpaginated, other.unpaginated),
        }
    }
}

/// What was timed since a pool began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    /// Getting a connection, its wait included; over [`crate::latency::ACQUIRE_BOUNDS`].
    pub acquire: Option<Histogram>,
    /// From acquire to return; over [`crate::latency::HOLD_BOUNDS`].
    pub hold: Option<Histogram>,
    /// One statement, as the application sees it.
    pub query: Option<Histogram>,
    /// One COMMIT.
    pub commit: Option<Histogram>,
}

impl Timings {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        merge(&mut self.acquire, other.acquire.as_ref());
        merge(&mut self.hold, other.hold.as_ref());
        merge(&mut self.query, other.query.as_ref());
        merge(&mut self.commit, other.commit.as_ref());
    }
}

fn merge(mine: &mut Option<Histogram>, theirs: Option<&Histogram>) {
    match (mine.as_mut(), theirs) {
        (Some(mine), Some(theirs)) => mine.merge(theirs),
        (None, Some(theirs)) => *mine = Some(theirs.clone()),
        (_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(size: u64, max_overflow: MaxOverflow, checked_out: u64) -> Figures {
        Figures {
            size: Some(size),
            max_overflow: Some(max_overflow),
            checked_out: Some(checked_out),
            ..Figures::default()
        }
    }

    #[test]
    fn an_unlimited_pool_has_no_utilization() {
        assert_eq!(figures(5, MaxOverflow::Unlimited, 3).utilization(), None);
        assert_eq!(figures(0, MaxOverflow::Unlimited, 3).utilization(), None);
        assert_eq!(figures(0, MaxOverflow::Limited(0), 0).utilization(), None);
        assert_eq!(figures(5, MaxOverflow::Limited(15), 19).utilization(), Some(0.95));
    }

    #[test]
    fn a_pool_that_keeps_no_connection_has_a_capacity_all_the_same() {
        assert_eq!(figures(0, MaxOverflow::Limited(15), 3).utilization(), Some(0.2));
    }

    #[test]
    fn one_unlimited_worker_makes_the_sum_unlimited() {
        let (a, b) =
            (figures(5, MaxOverflow::Limited(15), 1), figures(5, MaxOverflow::Unlimited, 2));
        let sum = Figures::sum([&a, &b]);
        assert_eq!((sum.capacity(), sum.checked_out), (None, Some(3)));
    }
}
