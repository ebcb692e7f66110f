//! A pool, judged.

use std::collections::HashMap;

use super::{Status, Thresholds};
use crate::latency::Histogram;
use crate::reading::{Figures, Pool, Timings, both};
use crate::renewals::Herd;
use crate::sizing::Sizing;

/// One pool, judged.
#[derive(Clone, Debug)]
pub struct PoolState {
    /// The pool as it was read.
    pub pool: Pool,
    /// The sum over its workers; the most that waited are those of the last minute.
    pub sum: Figures,
    /// checked out / capacity over all workers.
    pub utilization: Option<f64>,
    /// The busiest worker's.
    pub busiest: Option<f64>,
    /// The highest of any worker in the last minute.
    pub peak: Option<f64>,
    /// Judged on the busiest worker; absent without a capacity.
    pub status: Option<Status>,
    /// The timings of the last five minutes.
    pub recent: Timings,
    /// The holds of each endpoint in the last five minutes.
    pub recent_holds: HashMap<String, Histogram>,
    /// The size that each worker's pool needs, once enough was seen.
    pub sizing: Option<Sizing>,
    /// Connections that are replaced all at once, again and again.
    pub herd: Option<Herd>,
}

/// A pool in the last minutes.
#[derive(Clone, Debug, Default)]
pub struct RecentPool {
    /// The highest utilization of any worker in the last minute.
    pub peak: Option<f64>,
    /// The most callers that waited for a connection in the last minute, over all workers.
    pub pending_peak: Option<u64>,
    /// The timings of the last five minutes.
    pub timings: Timings,
    /// The holds of each endpoint in the last five minutes.
    pub holds: HashMap<String, Histogram>,
    /// The size that each worker's pool needs, once enough was seen.
    pub sizing: Option<Sizing>,
    /// Connections that are replaced all at once, again and again.
    pub herd: Option<Herd>,
}

/// The capacity up to which a worker's pool may well be full all the time.
const SMALL: u64 = 3;

/// Returns true if a worker has so few connections that a high share of them says nothing.
pub fn is_small(figures: &Figures) -> bool {
    figures.capacity().is_some_and(|capacity| capacity <= SMALL)
}

impl PoolState {
    /// Judges a pool as it was read; a peak is at least what is seen now.
    pub fn judge(pool: Pool, recent: RecentPool, thresholds: &Thresholds) -> Self {
        let mut sum = Figures::sum(pool.workers.iter().map(|worker| &worker.figures));
        sum.pending_peak = both(recent.pending_peak, sum.pending, u64::max);
        let highest = |a: f64, b: f64| a.max(b);
        let busiest = pool.workers.iter().filter_map(|w| w.figures.utilization()).reduce(highest);
        let thresholds = thresholds.of_pool(&pool.name);
        // A small pool that is full and that nobody waits for is as it should be.
        let is_quiet = sum.pending.is_none_or(|pending| pending == 0)
            && pool.workers.iter().all(|worker| is_small(&worker.figures));
        Self {
            utilization: sum.utilization(),
            peak: recent.peak.into_iter().chain(busiest).reduce(highest),
            status: busiest.map(|utilization| match thresholds.status(utilization) {
                _ if is_quiet => Status::Healthy,
                status => status,
            }),
            busiest,
            sum,
            pool,
            recent: recent.timings,
            recent_holds: recent.holds,
            sizing: recent.sizing,
            herd: recent.herd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Holders, MaxOverflow, Origin, Totals, Worker};

    #[test]
    fn a_pool_of_one_connection_may_be_full_while_nobody_waits() {
        let status = |pending| {
            let figures = Figures {
                size: Some(1),
                max_overflow: Some(MaxOverflow::Limited(0)),
                checked_out: Some(1),
                pending: Some(pending),
                ..Figures::default()
            };
            let pool = Pool {
                name: "leader".into(),
                origin: Origin::Workers,
                workers: vec![Worker { figures, ..Worker::default() }],
                worker_count: None,
                totals: Totals::default(),
                timings: Timings::default(),
                holders: Holders::default(),
                targets: Vec::new(),
            };
            PoolState::judge(pool, RecentPool::default(), &Thresholds::default()).status
        };
        assert_eq!([status(0), status(2)], [Some(Status::Healthy), Some(Status::Critical)]);
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
            holders: Holders::default(),
            targets: Vec::new(),
        };
        let state = PoolState::judge(pool, RecentPool::default(), &Thresholds::default());
        assert_eq!(state.utilization, Some(26.0 / 80.0));
        assert_eq!((state.busiest, state.status), (Some(1.0), Some(Status::Critical)));
    }
}
