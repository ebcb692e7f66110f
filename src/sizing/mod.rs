//! The size that a pool needs: what is asked of each worker's pool, second by second, replayed in
//! pools of other sizes.
//!
//! `docs/sizing.md` explains the method and shows how near it comes.

mod bursts;
mod holds;
mod lateness;
mod queue;
mod replay;
mod stretch;

use std::time::{Duration, Instant};

use self::holds::Holds;
use self::lateness::{Lateness, MOST};
use self::replay::replay;
pub use self::stretch::Sizing;
use self::stretch::{Limits, Stretch};
use crate::latency::Histogram;
use crate::reading::{Demand, Origin, Pool, Worker};
use crate::window::Window;

/// The time a checkout may wait for a connection; a bound of the acquire histogram.
pub const TARGET: Duration = Duration::from_millis(10);
/// The share of the checkouts that may wait longer.
pub const LATE_SHARE: f64 = 0.01;

/// The time that is replayed at once. The first time is short, and each is twice as long as that
/// before, up to the longest.
const FIRST_BLOCK: Duration = Duration::from_secs(10);
const LONGEST_BLOCK: Duration = Duration::from_mins(5);
/// The workers of a pool that are replayed in each block; each block takes others.
const WORKERS: usize = 8;
/// The checkouts that are replayed of each block, at most.
const CHECKOUTS: u64 = 20_000;
/// The reports of a worker that are kept for that, at most.
const MOST_DEMANDS: usize = 1000;
/// The time of which the demand is remembered, and the steps in which it is forgotten.
const REACH: Duration = Duration::from_hours(7 * 24);
const STEP: Duration = Duration::from_hours(1);
/// The longest time between two readings that counts as observed.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);
/// The checkouts from which an hour may be the busiest.
const LEAST_OF_HOUR: u64 = 1000;

/// What is asked of one pool, and the size that follows from it.
#[derive(Debug)]
pub struct Sizer {
    block: Option<Block>,
    hours: Window<Stretch>,
    number: usize,
    last_added: Option<Instant>,
    limits: Option<Limits>,
    sizing: Option<Sizing>,
}

/// The demand of some minutes.
#[derive(Debug)]
struct Block {
    began: Instant,
    hold: Option<Histogram>,
    acquire: Option<Histogram>,
    series: Vec<Series>,
    stretch: Stretch,
}

/// The demand on one worker's pool.
#[derive(Debug)]
struct Series {
    worker: (Option<u32>, Option<String>),
    demands: Vec<Demand>,
    capacity: Option<u64>,
}

impl Default for Sizer {
    fn default() -> Self {
        let hours = Window::new(REACH, STEP);
        Self { block: None, hours, number: 0, last_added: None, limits: None, sizing: None }
    }
}

impl Sizer {
    /// Adds what was asked of a pool since the last reading. Only workers say that.
    pub fn add(&mut self, pool: &Pool, now: Instant) {
        if pool.origin != Origin::Workers {
            return;
        }
        let before = self.last_added.replace(now).unwrap_or(now);
        let pause = now.saturating_duration_since(before);
        let number = self.number;
        let block = self.block.get_or_insert_with(|| Block::new(pool, number, now));
        if pause <= LONGEST_PAUSE && !pool.workers.is_empty() {
            block.stretch.observe(pause);
        }
        for worker in &pool.workers {
            block.add(worker);
        }
    }

    /// Returns true if enough was added to replay it.
    pub fn is_due(&self, now: Instant) -> bool {
        let length = (FIRST_BLOCK * (1 << self.number.min(5))).min(LONGEST_BLOCK);
        self.began().is_some_and(|began| now.saturating_duration_since(began) >= length)
    }

    /// The time since which demand was added that was not yet replayed.
    pub fn began(&self) -> Option<Instant> {
        self.block.as_ref().map(|block| block.began)
    }

    /// The time of the last reading that was added.
    pub fn last_added(&self) -> Option<Instant> {
        self.last_added
    }

    /// Replays what was added, which takes some hundredths of a second.
    pub fn replay(&mut self, pool: &Pool, now: Instant) {
        let Some(block) = self.block.take() else { return };
        self.number += 1;
        let (span, mut stretch) = (block.began..now, block.replayed(pool, self.number as u64));
        let limits = Some(stretch.measured.limits).filter(|limits| *limits != Limits::default());
        if limits.is_some_and(|limits| self.limits.replace(limits).is_some_and(|it| it != limits)) {
            stretch.forget_measured();
        }
        self.hours.add(span, stretch, |hour, more| hour.merge(&more));
        let (mut all, mut present) = (Stretch::default(), Stretch::default());
        for hour in self.hours.recent(now) {
            all.merge(hour);
            if Some(hour.measured.limits) == self.limits {
                present.merge(hour);
            }
        }
        let busy = self.hours.recent(now).filter(|hour| hour.callers >= LEAST_OF_HOUR);
        // By its checkouts and not by how long they lasted: a jam is no busy hour.
        let busiest = busy.max_by(|one, other| one.rate().total_cmp(&other.rate()));
        let span = self.hours.recent_span(now).unwrap_or_default();
        self.sizing = Sizing::new(&all, &present, busiest, span);
    }

    /// The size that follows from what was seen; `None` until there was enough.
    pub fn sizing(&self) -> Option<&Sizing> {
        self.sizing.as_ref()
    }
}

impl Block {
    fn new(pool: &Pool, number: usize, now: Instant) -> Self {
        let count = pool.workers.len();
        let chosen = (0..count.min(WORKERS)).map(|at| (number * WORKERS + at) % count);
        Self {
            began: now,
            hold: pool.timings.hold.clone(),
            acquire: pool.timings.acquire.clone(),
            series: chosen.map(|at| Series::new(&pool.workers[at])).collect(),
            stretch: Stretch::default(),
        }
    }

    fn add(&mut self, worker: &Worker) {
        let Some(demand) = &worker.demand else { return };
        self.stretch.add(demand, &worker.figures);
        let series = self.series.iter_mut().find(|series| series.is_of(worker));
        if let Some(series) = series.filter(|series| series.demands.len() < MOST_DEMANDS) {
            let callers = demand.callers.min(CHECKOUTS);
            series.demands.push(Demand { callers, ..*demand });
            let is_limited = |capacity: &u64| *capacity <= 4 * MOST;
            series.capacity = worker.figures.capacity().filter(is_limited);
        }
    }

    /// What was asked in it, with the lateness in a pool of each size.
    fn replayed(self, pool: &Pool, seed: u64) -> Stretch {
        let since = |now: &Option<Histogram>, before: &Option<Histogram>| match (now, before) {
            (Some(now), Some(before)) => Some(now.since(before)),
            (now, _) => now.clone(),
        };
        let Self { hold, acquire, mut series, mut stretch, .. } = self;
        let hold = since(&pool.timings.hold, &hold);
        stretch.time(hold.as_ref(), since(&pool.timings.acquire, &acquire).as_ref());
        let mut random = fastrand::Rng::with_seed(seed);
        series.retain(|series| series.callers() > 0);
        let Some(holds) = hold.as_ref().and_then(Holds::new).filter(|_| !series.is_empty()) else {
            return stretch;
        };
        let each = CHECKOUTS / series.len() as u64;
        let known: u64 = series.iter().map(Series::callers).sum();
        let weight = stretch.callers as f64 / known as f64;
        for one in &series {
            let (trace, period) =
                replay(one.within(each, &mut random), one.capacity, &holds, &mut random);
            let checkouts = weight * one.callers() as f64;
            let target = queue::micros(TARGET.as_secs_f64());
            stretch.lateness.merge(&Lateness::new(&trace, period, target, checkouts));
        }
        stretch
    }
}

impl Series {
    fn new(worker: &Worker) -> Self {
        let name = (worker.pid, worker.app.clone());
        Self { worker: name, demands: Vec::new(), capacity: None }
    }

    fn is_of(&self, worker: &Worker) -> bool {
        (&self.worker.0, &self.worker.1) == (&worker.pid, &worker.app)
    }

    fn callers(&self) -> u64 {
        self.demands.iter().map(|demand| demand.callers).sum()
    }

    /// The seconds, or as many of them in a row as have no more callers than may be replayed.
    fn within(&self, most: u64, random: &mut fastrand::Rng) -> &[Demand] {
        if self.callers() <= most {
            return &self.demands;
        }
        let share = most as f64 / self.callers() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let count = ((share * self.demands.len() as f64) as usize).max(1);
        let start = random.usize(0..=self.demands.len() - count);
        &self.demands[start..start + count]
    }
}

#[cfg(test)]
mod tests;
