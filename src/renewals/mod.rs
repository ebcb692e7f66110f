//! Connections of a pool that are all replaced in one moment, again and again: they were opened
//! together, and reach an age limit such as `pool_recycle` together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::reading::{Origin, Pool, Worker};

/// The time without a new connection after which a burst of them is over.
const QUIET: Duration = Duration::from_secs(10);
/// The longest time that a burst may last.
const LONGEST: Duration = Duration::from_secs(15);
/// The time for which new connections may follow from broken ones, or from workers that came or went.
const AFTERMATH: Duration = Duration::from_mins(1);
/// The fewest connections of a burst.
const FEWEST: u64 = 5;
/// The bursts that are remembered, at most.
const KEPT: usize = 8;
/// The shortest interval of an age limit that no client reports.
const SHORTEST_INTERVAL: Duration = Duration::from_mins(1);
/// The shortest age limit of which that can be told; with less, connections hardly ever are taken twice.
const SHORTEST_LIMIT: Duration = LONGEST;
/// The share by which intervals of one age limit may differ.
const TOLERANCE: f64 = 0.1;
/// The number of intervals for which a herd is remembered.
const REMEMBERED: f64 = 2.2;

/// Connections that are replaced all at once, again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Herd {
    /// Connections that were replaced, the last time.
    pub replaced: u64,
    /// Connections that were open then, over all workers.
    pub open: u64,
    /// The time from the first to the last of them.
    pub elapsed: Duration,
    /// The time from one such moment to the next.
    pub interval: Duration,
    /// The age limit of the pool, where the client reports it.
    pub age_limit: Option<Duration>,
}

/// The new connections of one pool, as far as they were opened in bursts.
#[derive(Debug, Default)]
pub struct Renewals {
    before: Option<Counted>,
    disturbed: Option<Instant>,
    burst: Option<Burst>,
    /// The bursts that are over, the newest first.
    over: VecDeque<Burst>,
    age_limit: Option<Duration>,
}

/// What a pool had counted at a reading.
#[derive(Debug)]
struct Counted {
    opened: u64,
    invalidated: u64,
    /// Connections that are open, and the most that were since the reading before.
    open: u64,
    most: u64,
    /// True where some worker took more connections than its pool keeps.
    is_overflowing: bool,
    workers: Vec<(Option<u32>, Option<String>)>,
}

/// New connections, each soon after the one before.
#[derive(Clone, Debug)]
struct Burst {
    began: Instant,
    ended: Instant,
    opened: u64,
    open_before: u64,
    most: u64,
    /// True where connections broke, or workers came or went, shortly before or meanwhile, or some
    /// were overflow, which is closed when it comes back and opened anew.
    is_disturbed: bool,
}

impl Renewals {
    /// Adds what a pool has counted now.
    pub fn add(&mut self, pool: &Pool, now: Instant) {
        if pool.origin != Origin::Workers {
            return;
        }
        let limits = pool.workers.iter().filter_map(|worker| worker.figures.recycle);
        let limit = limits.reduce(f64::max);
        self.age_limit = limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let Some(counted) = Counted::new(pool) else { return };
        let Some(before) = self.before.replace(counted) else { return };
        let counted = self.before.as_ref().expect("it was replaced by one");
        if counted.invalidated != before.invalidated || counted.workers != before.workers {
            self.disturbed = Some(now);
        }
        let opened = counted.opened.saturating_sub(before.opened);
        if opened > 0 {
            let burst = self.burst.get_or_insert_with(|| Burst::new(before.open, now));
            burst.ended = now;
            burst.opened += opened;
        }
        let ago = |at: Instant| now.saturating_duration_since(at);
        let is_disturbed = self.disturbed.is_some_and(|at| ago(at) < AFTERMATH);
        if let Some(burst) = &mut self.burst {
            burst.most = burst.most.max(counted.most);
            burst.is_disturbed |= is_disturbed || counted.is_overflowing;
        }
        if let Some(burst) = self.burst.take_if(|burst| ago(burst.ended) > QUIET)
            && burst.is_one_moment()
        {
            self.over.truncate(KEPT - 1);
            self.over.push_front(burst);
        }
    }

    /// The connections that are replaced at once; `None` where that did not happen often enough, or
    /// not for long.
    pub fn herd(&self, now: Instant) -> Option<Herd> {
        if self.age_limit.is_some_and(|limit| limit <= SHORTEST_LIMIT) {
            return None;
        }
        let last = self.over.iter().find(|burst| burst.is_renewal())?;
        let interval = match self.age_limit {
            Some(limit) => self.interval_of_limit(last, limit)?,
            None => self.regular_interval()?,
        };
        let is_recent = now.saturating_duration_since(last.began) <= interval.mul_f64(REMEMBERED);
        is_recent.then(|| Herd {
            replaced: last.replaced(),
            open: last.open_before,
            elapsed: last.ended - last.began,
            interval,
            age_limit: self.age_limit,
        })
    }

    /// The time since connections were opened together, if they were so old as they may become.
    fn interval_of_limit(&self, last: &Burst, limit: Duration) -> Option<Duration> {
        let mut ages = self.over.iter().filter(|burst| burst.began < last.began);
        ages.find_map(|earlier| {
            let age = last.began - earlier.began;
            // A connection is replaced when it is next taken.
            let latest = limit.mul_f64(1.0 + TOLERANCE) + LONGEST;
            (age >= limit.mul_f64(1.0 - TOLERANCE) && age <= latest).then_some(age)
        })
    }

    /// The interval between the last three renewals, if it was one.
    fn regular_interval(&self) -> Option<Duration> {
        let mut renewals = self.over.iter().filter(|burst| burst.is_renewal());
        let [last, second, first] = [renewals.next()?, renewals.next()?, renewals.next()?];
        let (interval, before) = (last.began - second.began, second.began - first.began);
        let is_regular = interval.abs_diff(before) <= interval.max(before).mul_f64(TOLERANCE);
        (is_regular && interval >= SHORTEST_INTERVAL).then_some(interval)
    }
}

impl Counted {
    /// `None` of a pool that does not count what it opens.
    fn new(pool: &Pool) -> Option<Self> {
        let each =
            |figure: fn(&Worker) -> Option<u64>| pool.workers.iter().filter_map(figure).sum();
        let mut workers: Vec<_> =
            pool.workers.iter().map(|worker| (worker.pid, worker.app.clone())).collect();
        workers.sort_unstable();
        Some(Self {
            opened: pool.totals.opened?,
            invalidated: pool.totals.invalidated.unwrap_or(0),
            open: each(open),
            most: each(|worker| worker.figures.peak.max(open(worker))),
            is_overflowing: pool.workers.iter().any(is_overflowing),
            workers,
        })
    }
}

fn open(worker: &Worker) -> Option<u64> {
    Some(worker.figures.checked_in? + worker.figures.checked_out?)
}

fn is_overflowing(worker: &Worker) -> bool {
    worker.figures.peak.zip(worker.figures.size).is_some_and(|(peak, size)| peak > size)
}

impl Burst {
    fn new(open_before: u64, now: Instant) -> Self {
        Self { began: now, ended: now, opened: 0, open_before, most: 0, is_disturbed: false }
    }

    /// Returns true if so many connections were opened that all are of one age from then on.
    fn is_one_moment(&self) -> bool {
        self.opened >= FEWEST && self.ended - self.began <= LONGEST
    }

    /// The connections that were opened in place of others.
    fn replaced(&self) -> u64 {
        self.opened.saturating_sub(self.most.saturating_sub(self.open_before)).min(self.open_before)
    }

    /// Returns true if more were opened than there can be after each was replaced once: they were
    /// closed and opened again and again.
    fn is_churn(&self) -> bool {
        self.opened > self.most.max(self.open_before) + FEWEST
    }

    /// Returns true if half of the pool's connections were replaced, and not because they broke.
    fn is_renewal(&self) -> bool {
        let replaced = self.replaced();
        let is_most = replaced >= FEWEST && 2 * replaced >= self.open_before;
        is_most && !self.is_disturbed && !self.is_churn()
    }
}

#[cfg(test)]
mod tests;
