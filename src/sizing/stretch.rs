//! What was asked of a pool in some time, and the size that follows from it.

use std::time::Duration;

use super::lateness::Lateness;
use super::{LATE_SHARE, TARGET};
use crate::latency::Histogram;
use crate::reading::{Demand, Figures};

/// What was asked of a pool's workers in some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    pub(super) callers: u64,
    pub(super) lateness: Lateness,
    /// The time in which the pool had workers and was read.
    pub(super) observed: Duration,
    /// The sum of the time over all workers, in seconds.
    worked: f64,
    /// The part of it within whose seconds more were taken than the pool keeps.
    above_size: f64,
    peak: u64,
    /// The largest of any worker.
    capacity: Option<u64>,
    returned: u64,
    held: f64,
    acquired: u64,
    waited: u64,
}

impl Stretch {
    /// Adds one report of a worker.
    pub(super) fn add(&mut self, demand: &Demand, figures: &Figures) {
        let elapsed = demand.elapsed.as_secs_f64();
        self.callers = self.callers.saturating_add(demand.callers);
        self.worked += elapsed;
        self.peak = self.peak.max(demand.peak);
        self.capacity = self.capacity.max(figures.capacity());
        let is_above = figures.size.is_some_and(|size| demand.peak > size);
        self.above_size += if is_above { elapsed } else { 0.0 };
    }

    /// Adds the timings of all workers in that time.
    pub(super) fn time(&mut self, hold: Option<&Histogram>, acquire: Option<&Histogram>) {
        if let Some(hold) = hold {
            self.returned = self.returned.saturating_add(hold.count());
            self.held += hold.sum();
        }
        if let Some(acquire) = acquire {
            let target = TARGET.as_secs_f64();
            let in_time = acquire.bounds().iter().zip(acquire.counts());
            let in_time = in_time.filter(|(bound, _)| **bound <= target);
            let in_time = in_time.fold(0_u64, |all, (_, count)| all.saturating_add(*count));
            self.acquired = self.acquired.saturating_add(acquire.count());
            self.waited = self.waited.saturating_add(acquire.count().saturating_sub(in_time));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.callers = self.callers.saturating_add(other.callers);
        self.lateness.merge(&other.lateness);
        self.observed += other.observed;
        self.worked += other.worked;
        self.above_size += other.above_size;
        self.peak = self.peak.max(other.peak);
        self.capacity = self.capacity.max(other.capacity);
        self.returned = self.returned.saturating_add(other.returned);
        self.held += other.held;
        self.acquired = self.acquired.saturating_add(other.acquired);
        self.waited = self.waited.saturating_add(other.waited);
    }
}

/// The most by which the replayed lateness is corrected.
const MOST_CORRECTION: f64 = 4.0;

/// The size that is enough for a stretch, and what it follows from.
struct Need {
    rate: f64,
    hold: f64,
    waited: f64,
    size: u64,
    late: f64,
    late_with_less: f64,
}

impl Stretch {
    /// Checkouts a second, of one worker on average.
    pub(super) fn rate(&self) -> f64 {
        if self.worked > 0.0 { self.callers as f64 / self.worked } else { 0.0 }
    }

    fn need(&self) -> Option<Need> {
        let waited = self.waited as f64 / self.acquired.max(1) as f64;
        let factor = self.correction(waited);
        let late = |size| (factor * self.lateness.share(size)).min(1.0);
        let size = self.lateness.least(LATE_SHARE / factor)?;
        let (rate, hold) = (self.rate(), self.held / self.returned as f64);
        let late_with_less = if size > 1 { late(size - 1) } else { 1.0 };
        let is_known = self.callers > 0 && self.worked > 0.0 && hold.is_finite();
        is_known.then(|| Need { rate, hold, waited, size, late: late(size), late_with_less })
    }

    /// By how much more of the checkouts waited too long at the present size than in the replay,
    /// where that says that the pool is large enough. Only of a pool that was full, for where it is
    /// not, callers wait for other reasons.
    fn correction(&self, waited: f64) -> f64 {
        let full = self.capacity.filter(|capacity| self.peak > *capacity && waited > LATE_SHARE);
        let replayed = full.map(|capacity| self.lateness.share(capacity));
        let replayed = replayed.filter(|replayed| *replayed <= LATE_SHARE);
        replayed.map_or(1.0, |replayed| (waited / replayed).clamp(1.0, MOST_CORRECTION))
    }
}

/// The size that each worker's pool needs, and what it follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// The time from the first to the last reading that it follows from.
    pub span: Duration,
    /// The part of it in which the pool had workers and was read.
    pub observed: Duration,
    /// True where the busiest hour needs a larger pool than all of the time together. Then the rate,
    /// the hold and the shares that waited or would wait are those of that hour.
    pub is_of_busiest_hour: bool,
    /// Checkouts in that time, over all workers.
    pub checkouts: u64,
    /// Checkouts a second, of one worker on average.
    pub rate: f64,
    /// How long a connection was held on average, in seconds.
    pub hold: f64,
    /// The most that were taken or waited for at once in one worker.
    pub peak: u64,
    /// The share of the time within whose seconds more were taken than the pool keeps.
    pub above_size: f64,
    /// The measured share of the checkouts that waited longer than the target.
    pub waited: f64,
    /// The least number of connections with which no more than one checkout in a hundred waits
    /// longer than the target.
    pub size: u64,
    /// The share that would wait longer with so many.
    pub late: f64,
    /// The share that would wait longer with one less.
    pub late_with_less: f64,
}

/// The overflow that a small pool may have, however small.
const LEAST_OVERFLOW: u64 = 5;

impl Sizing {
    /// The size that is enough for all of the time, and for the busiest hour in it.
    pub(super) fn new(all: &Stretch, busiest: Option<&Stretch>, span: Duration) -> Option<Self> {
        let need = all.need()?;
        let busiest = busiest.and_then(Stretch::need).filter(|busiest| busiest.size > need.size);
        let is_of_busiest_hour = busiest.is_some();
        let Need { rate, hold, waited, size, late, late_with_less } = busiest.unwrap_or(need);
        Some(Self {
            span,
            observed: all.observed,
            is_of_busiest_hour,
            checkouts: all.callers,
            rate,
            hold,
            peak: all.peak,
            above_size: all.above_size / all.worked,
            waited,
            size,
            late,
            late_with_less,
        })
    }

    /// The connections in use on average in one worker.
    pub fn load(&self) -> f64 {
        self.rate * self.hold
    }

    /// The connections above the size with which the highest peak would have had one for each, but
    /// no more than the size: many callers at once may have waited for something else than a
    /// connection, and more connections would only have moved the queue into the server.
    pub fn overflow(&self) -> u64 {
        self.peak.saturating_sub(self.size).min(self.size.max(LEAST_OVERFLOW))
    }
}
