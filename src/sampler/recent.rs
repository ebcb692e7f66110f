//! Pools in the last minutes: the highest utilization and the most waiting callers of the last
//! minute, and the timings of the last five. And in the last week: what was asked of them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::latency::Histogram;
use crate::reading::{Cumulative, Figures, Origin, Pool, Timings};
use crate::renewals::Renewals;
use crate::sizing::Sizer;
use crate::state::RecentPool;
use crate::window::Window;

/// The length of time of which the peaks are shown, and the steps in which they are kept.
const PEAK_WINDOW: Duration = Duration::from_secs(60);
const PEAK_STEP: Duration = Duration::from_secs(1);

/// The time for which a pool is remembered that is not there, as during a deployment or at night.
const ABSENCE: Duration = Duration::from_hours(7 * 24);
/// The most pools that are remembered while they are not there.
const MOST_ABSENT: usize = 100;

/// Every pool in the last minutes, and in the last week.
#[derive(Debug, Default)]
pub(super) struct RecentPools {
    pools: HashMap<String, PoolWindows>,
    weeks: HashMap<String, PoolWeek>,
}

/// A pool in the last week.
#[derive(Debug, Default)]
struct PoolWeek {
    sizer: Sizer,
    renewals: Renewals,
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
            sizing: self.weeks.get(&pool.name).and_then(|week| week.sizer.sizing()).cloned(),
            herd: self.weeks.get(&pool.name).and_then(|week| week.renewals.herd(now)),
        }
    }

    /// Takes in what workers were asked for since the reading before. At most one pool is replayed
    /// at a time, for that takes a while.
    pub(super) fn size(&mut self, pools: &[Pool], now: Instant) {
        for pool in pools.iter().filter(|pool| pool.origin == Origin::Workers) {
            match self.weeks.get_mut(&pool.name) {
                Some(week) => week.add(pool, now),
                None => self.weeks.entry(pool.name.clone()).or_default().add(pool, now),
            }
        }
        let due =
            |pool: &&Pool| self.weeks.get(&pool.name).is_some_and(|one| one.sizer.is_due(now));
        let due = pools.iter().filter(due).collect::<Vec<_>>();
        let longest = due.into_iter().min_by_key(|pool| self.weeks[&pool.name].sizer.began());
        if let Some(pool) = longest {
            self.weeks.entry(pool.name.clone()).or_default().sizer.replay(pool, now);
        }
    }

    /// Forgets the last minutes of the pools that are not there, and the last week of those that
    /// were not there in it.
    pub(super) fn keep_only(&mut self, names: &[&str], now: Instant) {
        let is_there = |name: &String| names.contains(&name.as_str());
        self.pools.retain(|name, _| is_there(name));
        let absence = |week: &PoolWeek| {
            week.sizer.last_added().map_or(ABSENCE, |last| now.saturating_duration_since(last))
        };
        let mut absent: Vec<_> = self.weeks.iter().filter(|(name, _)| !is_there(name)).collect();
        absent.sort_unstable_by_key(|(_, week)| absence(week));
        let too_many = absent.split_off(absent.len().min(MOST_ABSENT));
        let too_many: HashSet<_> = too_many.into_iter().map(|(name, _)| name.clone()).collect();
        self.weeks.retain(|name, week| {
            is_there(name) || absence(week) < ABSENCE && !too_many.contains(name)
        });
    }
}

impl PoolWeek {
    fn add(&mut self, pool: &Pool, now: Instant) {
        self.sizer.add(pool, now);
        self.renewals.add(pool, now);
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

    #[test]
    fn a_pool_that_was_away_for_a_night_keeps_its_week() {
        let (mut recent_pools, start) = (RecentPools::default(), Instant::now());
        let pool = |name: usize| Pool { name: name.to_string(), ..pool(1, Timings::default()) };
        recent_pools.size(&[pool(0)], start);
        let hours = |hours| start + Duration::from_hours(hours);
        recent_pools.keep_only(&[], hours(10));
        assert!(recent_pools.weeks.contains_key("0"));
        for name in 1..=2 * MOST_ABSENT {
            recent_pools.size(&[pool(name)], hours(20));
        }
        recent_pools.keep_only(&["5", "6"], hours(21));
        assert_eq!(recent_pools.weeks.len(), MOST_ABSENT + 2, "what is kept is bounded");
        assert!(!recent_pools.weeks.contains_key("0"), "it was away for longest");
        assert!(["5", "6"].iter().all(|name| recent_pools.weeks.contains_key(*name)));
        recent_pools.keep_only(&["5"], hours(8 * 24));
        assert_eq!(recent_pools.weeks.len(), 1, "a week is over");
    }
}
