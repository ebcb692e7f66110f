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
    peak: u64,
    returned: u64,
    held: f64,
    pub(super) measured: Measured,
}

/// What was measured while the pool had one size, and says nothing of another.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) limits: Limits,
    observed: Duration,
    /// The sum of the time over all workers, in seconds.
    worked: f64,
    /// The part of it within whose seconds more were taken than the pool keeps.
    above_size: f64,
    peak: u64,
    acquired: u64,
    waited: u64,
}

/// The limits of a pool, the largest of any worker; `None` before any was reported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Limits {
    size: Option<u64>,
    capacity: Option<u64>,
}

impl Measured {
    /// Adds what was measured later, which takes the place of all before where the pool had other
    /// limits by then.
    fn merge(&mut self, other: &Self) {
        if other.limits == Limits::default() {
            return;
        }
        if self.limits != other.limits {
            *self = other.clone();
            return;
        }
        self.observed += other.observed;
        self.worked += other.worked;
        self.above_size += other.above_size;
        self.peak = self.peak.max(other.peak);
        self.acquired = self.acquired.saturating_add(other.acquired);
        self.waited = self.waited.saturating_add(other.waited);
    }
}

impl Stretch {
    /// Adds one report of a worker.
    pub(super) fn add(&mut self, demand: &Demand, figures: &Figures) {
        let elapsed = demand.elapsed.as_secs_f64();
        self.callers = self.callers.saturating_add(demand.callers);
        self.worked += elapsed;
        self.peak = self.peak.max(demand.peak);
        let is_above = figures.size.is_some_and(|size| demand.peak > size);
        let measured = &mut self.measured;
        let Limits { size, capacity } = &mut measured.limits;
        (*size, *capacity) = ((*size).max(figures.size), (*capacity).max(figures.capacity()));
        measured.worked += elapsed;
        measured.above_size += if is_above { elapsed } else { 0.0 };
        measured.peak = measured.peak.max(demand.peak);
    }

    /// Adds time in which the pool had workers and was read.
    pub(super) fn observe(&mut self, time: Duration) {
        self.observed += time;
        self.measured.observed += time;
    }

    /// Forgets what was measured, for it was in part with other limits than at its end.
    pub(super) fn forget_measured(&mut self) {
        self.measured = Measured { limits: self.measured.limits, ..Measured::default() };
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
            let late = acquire.count().saturating_sub(in_time);
            let Measured { acquired, waited, .. } = &mut self.measured;
            *acquired = acquired.saturating_add(acquire.count());
            *waited = waited.saturating_add(late);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.callers = self.callers.saturating_add(other.callers);
        self.lateness.merge(&other.lateness);
        self.observed += other.observed;
        self.worked += other.worked;
        self.peak = self.peak.max(other.peak);
        self.returned = self.returned.saturating_add(other.returned);
        self.held += other.held;
        self.measured.merge(&other.measured);
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

    /// `present` are the times in which the pool had the limits that it has now.
    fn need(&self, present: &Self) -> Option<Need> {
        let Measured { acquired, waited, .. } = &present.measured;
        let waited = *waited as f64 / (*acquired).max(1) as f64;
        let factor = present.correction(waited);
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
        let Measured { limits, peak, .. } = &self.measured;
        let full = limits.capacity.filter(|capacity| peak > capacity && waited > LATE_SHARE);
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
    /// The part of the time in which it had the size that it has now, which what was measured is of.
    pub observed_at_size: Duration,
    /// The share of that time within whose seconds more were taken than the pool keeps.
    pub above_size: f64,
    /// The measured share of the checkouts that waited longer than the target.
    pub waited: f64,
    /// True where that is the share of the busiest hour.
    pub has_waited_in_busiest_hour: bool,
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
    /// What was measured with other limits than `present` had counts only as demand.
    pub(super) fn new(
        all: &Stretch,
        present: &Stretch,
        busiest: Option<&Stretch>,
        span: Duration,
    ) -> Option<Self> {
        let need = all.need(present)?;
        let measured = busiest.filter(|hour| hour.measured.limits == present.measured.limits);
        let busiest = busiest.and_then(|hour| hour.need(measured.unwrap_or(present)));
        let busiest = busiest.filter(|busiest| busiest.size > need.size);
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
            observed_at_size: present.measured.observed,
            above_size: present.measured.above_size
                / present.measured.worked.max(f64::MIN_POSITIVE),
            waited,
            has_waited_in_busiest_hour: is_of_busiest_hour && measured.is_some(),
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
