//! What pools did lately: the highest utilization and the most waiting callers of the last minute,
//! and what was timed in the last five.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::latency;
use crate::reading::{Cumulative, Figures, Pool, Timings};
use crate::state::RecentPool;

/// How long a peak is remembered.
const PEAK_WINDOW: Duration = Duration::from_secs(60);

/// What every pool did lately.
#[derive(Debug, Default)]
pub(super) struct History {
    pools: HashMap<String, Past>,
}

#[derive(Debug, Default)]
struct Past {
    utilizations: Peaks<f64>,
    pending: Peaks<u64>,
    timings: latency::Past<Timings>,
}

impl History {
    /// Remembers a pool as it is now; says its peaks and what it timed lately.
    pub(super) fn remember(&mut self, pool: &Pool, now: Instant) -> RecentPool {
        let past = self.pools.entry(pool.name.clone()).or_default();
        past.timings.remember(now, || pool.timings.clone());
        let timings = past.timings.then(now).map(|then| pool.timings.since(then));
        RecentPool {
            peak: past.utilizations.highest(highest_utilization(pool), now),
            pending_peak: past.pending.highest(most_pending(pool), now),
            timings: timings.unwrap_or_default(),
        }
    }

    /// Forgets the pools that are no more.
    pub(super) fn keep_only(&mut self, known: &[&str]) {
        self.pools.retain(|name, _| known.contains(&name.as_str()));
    }
}

/// Falling figures with their times: the first is the highest of the window.
#[derive(Debug)]
struct Peaks<T>(VecDeque<(Instant, T)>);

impl<T> Default for Peaks<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Copy + PartialOrd> Peaks<T> {
    /// The highest figure of the window, with the newest in it.
    fn highest(&mut self, newest: Option<T>, now: Instant) -> Option<T> {
        while self.0.front().is_some_and(|(at, _)| *at + PEAK_WINDOW < now) {
            self.0.pop_front();
        }
        if let Some(newest) = newest {
            while self.0.back().is_some_and(|(_, lower)| *lower <= newest) {
                self.0.pop_back();
            }
            self.0.push_back((now, newest));
        }
        self.0.front().map(|(_, highest)| *highest)
    }
}

/// Of any worker.
fn highest_utilization(pool: &Pool) -> Option<f64> {
    let figures = pool.workers.iter().map(|worker| &worker.figures);
    figures
        .filter_map(|figures| figures.peak_utilization().or_else(|| figures.utilization()))
        .reduce(f64::max)
}

/// Over all workers.
fn most_pending(pool: &Pool) -> Option<u64> {
    Figures::sum(pool.workers.iter().map(|worker| &worker.figures)).pending_peak()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{BOUNDS, Histogram};
    use crate::reading::{Figures, MaxOverflow, Origin, Totals, Worker};

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
        }
    }

    fn peak_after(history: &mut History, checked_out: u64, at: Instant) -> f64 {
        history.remember(&pool(checked_out, Timings::default()), at).peak.unwrap()
    }

    #[test]
    fn a_burst_is_remembered_for_a_minute_and_no_longer() {
        let (mut history, start) = (History::default(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        assert_eq!(peak_after(&mut history, 18, seconds(0)), 0.9);
        assert_eq!(peak_after(&mut history, 2, seconds(30)), 0.9);
        assert_eq!(peak_after(&mut history, 4, seconds(59)), 0.9);
        assert_eq!(peak_after(&mut history, 1, seconds(61)), 0.2);
    }

    #[test]
    fn recent_timings_leave_out_what_was_before() {
        let (mut history, start) = (History::default(), Instant::now());
        let mut query = Histogram::new(BOUNDS);
        let mut timings = |history: &mut History, second| {
            query.observe(0.01);
            let now = Timings { query: Some(query.clone()), ..Timings::default() };
            let RecentPool { timings: recent, .. } =
                history.remember(&pool(1, now), start + Duration::from_secs(second));
            recent.query.unwrap().count()
        };
        assert_eq!(timings(&mut history, 0), 0, "what was before the first look is not recent");
        assert_eq!(timings(&mut history, 100), 1);
        assert_eq!(timings(&mut history, 400), 1, "since second 100, 300 s ago");
        assert_eq!(timings(&mut history, 500), 2);
    }
}
