//! Pools in the last minutes: the highest utilization and the most waiting callers of the last
//! minute, and the timings of the last five.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::latency::Histogram;
use crate::reading::{Cumulative, Figures, Origin, Pool, Timings};
use crate::sizing::Sizer;
use crate::state::RecentPool;
use crate::window::Window;

/// The length of time of which the peaks are shown, and the steps in which they are kept.
const PEAK_WINDOW: Duration = Duration::from_secs(60);
const PEAK_STEP: Duration = Duration::from_secs(1);

/// Every pool in the last minutes.
#[derive(Debug, Default)]
pub(super) struct RecentPools {
    pools: HashMap<String, PoolWindows>,
    sizers: HashMap<String, Sizer>,
}

#[derive(Debug)]
struct PoolWindows {
    utilizations: Window<f64>,
    pending: Window<u64>,
    timings: Window<Timings>,
    holds: Window<HashMap<String, Histogram>>,
}

impl PoolWindows {
    fn new() -> Self {
        Self {
            utilizations: Window::new(PEAK_WINDOW, PEAK_STEP),
            pending: Window::new(PEAK_WINDOW, PEAK_STEP),
            timings: Window::default(),
            holds: Window::default(),
        }
    }
}

impl RecentPools {
    /// Adds a pool as it is now; returns its peaks and timings of the last minutes.
    pub(super) fn add(&mut self, pool: &Pool, now: Instant) -> RecentPool {
        let windows = self.pools.entry(pool.name.clone()).or_insert_with(PoolWindows::new);
        windows.timings.keep(now, || pool.timings.clone());
        let timings = windows.timings.first(now).map(|first| pool.timings.since(first));
        windows.holds.keep(now, || holds(pool).collect());
        let holds = windows.holds.first(now).map(|first| holds_since(pool, first));
        RecentPool {
            holds: holds.unwrap_or_default(),
            peak: highest(&mut windows.utilizations, highest_utilization(pool), now),
            pending_peak: highest(&mut windows.pending, most_pending(pool), now),
            timings: timings.unwrap_or_default(),
            sizing: self.sizers.get(&pool.name).and_then(Sizer::sizing).cloned(),
        }
    }

    /// Takes in what workers were asked for since the reading before. At most one pool is replayed
    /// at a time, for that takes a while.
    pub(super) fn size(&mut self, pools: &[Pool], now: Instant) {
        for pool in pools.iter().filter(|pool| pool.origin == Origin::Workers) {
            match self.sizers.get_mut(&pool.name) {
                Some(sizer) => sizer.add(pool, now),
                None => self.sizers.entry(pool.name.clone()).or_default().add(pool, now),
            }
        }
        let due = |pool: &&Pool| self.sizers.get(&pool.name).is_some_and(|one| one.is_due(now));
        let due = pools.iter().filter(due).collect::<Vec<_>>();
        let longest = due.into_iter().min_by_key(|pool| self.sizers[&pool.name].began());
        if let Some(pool) = longest {
            self.sizers.entry(pool.name.clone()).or_default().replay(pool, now);
        }
    }

    /// Forgets the pools that are no more.
    pub(super) fn keep_only(&mut self, names: &[&str]) {
        self.pools.retain(|name, _| names.contains(&name.as_str()));
        self.sizers.retain(|name, _| names.contains(&name.as_str()));
    }
}

/// The holds of each endpoint.
fn holds(pool: &Pool) -> impl Iterator<Item = (String, Histogram)> {
    let endpoints = pool.holders.endpoints.iter();
    endpoints.filter_map(|one| Some((one.name.clone(), one.totals.hold.clone()?)))
}

fn holds_since(pool: &Pool, first: &HashMap<String, Histogram>) -> HashMap<String, Histogram> {
    let since = holds(pool).map(|(name, now)| {
        let growth = first.get(&name).map_or_else(|| now.clone(), |first| now.since(first));
        (name, growth)
    });
    since.collect()
}

/// The highest figure of the window, the newest included.
fn highest<T: Copy + PartialOrd>(
    window: &mut Window<T>,
    newest: Option<T>,
    now: Instant,
) -> Option<T> {
    let higher = |a: T, b: T| if b > a { b } else { a };
    if let Some(newest) = newest {
        window.update(now, || newest, |highest| *highest = higher(*highest, newest));
    }
    window.recent(now).copied().reduce(higher)
}

/// The highest utilization of any worker.
fn highest_utilization(pool: &Pool) -> Option<f64> {
    let figures = pool.workers.iter().map(|worker| &worker.figures);
    figures
        .filter_map(|figures| figures.peak_utilization().or_else(|| figures.utilization()))
        .reduce(f64::max)
}

/// The most callers that waited, over all workers.
fn most_pending(pool: &Pool) -> Option<u64> {
    Figures::sum(pool.workers.iter().map(|worker| &worker.figures)).pending_peak()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::BOUNDS;
    use crate::reading::{Figures, Holders, MaxOverflow, Totals, Worker};

    fn pool(checked_out: u64, timings: Timings) -> Pool {
        let figures = Figures {
            size: Some(5),
            max_overflow: Some(MaxOverflow::Limited(15)),
            checked_out: Some(checked_out),
            ..Figures::default()
        };
        Pool {
            name: "web".into(),
            origin: Origin::Workers,
            workers: vec![Worker { figures, ..Worker::default() }],
            worker_count: None,
            totals: Totals::default(),
            timings,
            holders: Holders::default(),
            targets: Vec::new(),
        }
    }

    fn peak_after(recent_pools: &mut RecentPools, checked_out: u64, at: Instant) -> f64 {
        recent_pools.add(&pool(checked_out, Timings::default()), at).peak.unwrap()
    }

    #[test]
    fn a_burst_is_remembered_for_a_minute_and_no_longer() {
        let (mut recent_pools, start) = (RecentPools::default(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        assert_eq!(peak_after(&mut recent_pools, 18, seconds(0)), 0.9);
        assert_eq!(peak_after(&mut recent_pools, 2, seconds(30)), 0.9);
        assert_eq!(peak_after(&mut recent_pools, 4, seconds(59)), 0.9);
        assert_eq!(peak_after(&mut recent_pools, 1, seconds(61)), 0.2);
    }

    #[test]
    fn recent_timings_leave_out_what_was_before() {
        let (mut recent_pools, start) = (RecentPools::default(), Instant::now());
        let mut query = Histogram::new(BOUNDS);
        let mut timings = |recent_pools: &mut RecentPools, second| {
            query.observe(0.01);
            let now = Timings { query: Some(query.clone()), ..Timings::default() };
            let RecentPool { timings: recent, .. } =
                recent_pools.add(&pool(1, now), start + Duration::from_secs(second));
            recent.query.unwrap().count()
        };
        assert_eq!(
            timings(&mut recent_pools, 0),
            0,
            "what was before the first sample is not recent"
        );
        assert_eq!(timings(&mut recent_pools, 100), 1);
        assert_eq!(timings(&mut recent_pools, 400), 1, "since second 100, 300 s ago");
        assert_eq!(timings(&mut recent_pools, 500), 2);
    }
}
