use super::*;
use crate::latency::{ACQUIRE_BOUNDS, HOLD_BOUNDS};
use crate::reading::{Figures, Holders, MaxOverflow, Timings, Totals};

/// A pool of one worker, of which so much was asked, and that has counted so many checkouts.
fn pool(demand: Demand, checkouts: u64) -> Pool {
    let counts = |bounds: &'static [f64], seconds: f64| {
        let mut counts = vec![0; bounds.len() + 1];
        counts[bounds.partition_point(|bound| *bound < seconds)] = checkouts;
        Histogram::from_counts(bounds, counts, seconds * checkouts as f64).unwrap()
    };
    let (hold, acquire) = (counts(HOLD_BOUNDS, 0.04), counts(ACQUIRE_BOUNDS, 0.0001));
    let figures = Figures {
        size: Some(u64::MAX / 2),
        max_overflow: Some(MaxOverflow::Limited(1)),
        ..Figures::default()
    };
    Pool {
        name: "web".into(),
        origin: Origin::Workers,
        workers: vec![Worker { figures, demand: Some(demand), ..Worker::default() }],
        worker_count: None,
        totals: Totals::default(),
        timings: Timings { hold: Some(hold), acquire: Some(acquire), ..Timings::default() },
        holders: Holders::default(),
        targets: Vec::new(),
    }
}

fn sizing(demand: Demand, seconds: u64) -> Option<Sizing> {
    let (mut sizer, start) = (Sizer::default(), Instant::now());
    for second in 0..=seconds {
        let (pool, now) = (pool(demand, 10 * second), start + Duration::from_secs(second));
        sizer.add(&pool, now);
        if sizer.is_due(now) {
            sizer.replay(&pool, now);
        }
    }
    sizer.sizing().cloned()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn ten_that_come_together_need_ten_connections() {
    let together = Demand { elapsed: SECOND, callers: 10, peak: 10, ..Demand::default() };
    let sizing = sizing(together, 30).unwrap();
    assert_eq!((sizing.size, sizing.peak, sizing.overflow()), (10, 10, 0));
    assert!((sizing.load() - 0.4).abs() < 0.1, "{sizing:?}");
    assert_eq!(sizing.waited, 0.0);
}

#[test]
fn ten_that_come_one_by_one_need_one() {
    let apart = Demand { elapsed: SECOND, callers: 10, peak: 1, ..Demand::default() };
    assert_eq!(sizing(apart, 30).unwrap().size, 1);
    assert_eq!(sizing(apart, 9), None, "not yet");
}

#[test]
fn what_a_client_reports_in_error_is_bounded() {
    let absurd = Demand {
        elapsed: SECOND,
        callers: u64::MAX,
        peak: u64::MAX,
        waiting: 1,
        ..Demand::default()
    };
    let _ = sizing(absurd, 11);
}

/// A pool whose workers report once a minute, on a clock of its own.
struct Clock {
    sizer: Sizer,
    now: Instant,
    checkouts: u64,
    late: u64,
}

impl Clock {
    fn new() -> Self {
        Self { sizer: Sizer::default(), now: Instant::now(), checkouts: 0, late: 0 }
    }

    /// Lets hours pass, in each minute of which so many come, so many of them at once.
    fn pass(&mut self, hours: u64, callers: u64, peak: u64) {
        let demand = Demand { elapsed: MINUTE, callers, peak, ..Demand::default() };
        for _ in 0..60 * hours {
            self.checkouts += callers;
            self.read(&pool(demand, self.checkouts), MINUTE);
        }
    }

    /// Lets hours pass with a pool of so many connections, of whose checkouts such a share waited.
    fn pass_with(&mut self, hours: u64, size: u64, share: f64) {
        let demand = Demand { elapsed: MINUTE, callers: 100, peak: 9, ..Demand::default() };
        for _ in 0..60 * hours {
            self.checkouts += 100;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let late = (100.0 * share) as u64;
            self.late += late;
            let mut pool = pool(demand, self.checkouts);
            let figures = &mut pool.workers[0].figures;
            (figures.size, figures.max_overflow) = (Some(size), Some(MaxOverflow::Limited(0)));
            let mut counts = vec![0; ACQUIRE_BOUNDS.len() + 1];
            counts[0] = self.checkouts - self.late;
            counts[ACQUIRE_BOUNDS.len() - 1] = self.late;
            pool.timings.acquire = Histogram::from_counts(ACQUIRE_BOUNDS, counts, 1.0);
            self.read(&pool, MINUTE);
        }
    }

    fn pass_without_workers(&mut self, hours: u64) {
        for _ in 0..60 * hours {
            let empty = Pool { workers: Vec::new(), ..pool(Demand::default(), self.checkouts) };
            self.read(&empty, MINUTE);
        }
    }

    fn read(&mut self, pool: &Pool, later: Duration) {
        self.now += later;
        self.sizer.add(pool, self.now);
        if self.sizer.is_due(self.now) {
            self.sizer.replay(pool, self.now);
        }
    }

    fn sizing(&self) -> &Sizing {
        self.sizer.sizing().unwrap()
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const WEEK: Duration = Duration::from_hours(7 * 24);

#[test]
fn the_peak_of_a_week_is_remembered_and_no_older_one() {
    let mut clock = Clock::new();
    clock.pass(1, 2, 30);
    clock.pass(6 * 24, 2, 1);
    assert_eq!((clock.sizing().peak, clock.sizing().overflow()), (30, 5));
    clock.pass(2 * 24, 2, 1);
    assert_eq!(clock.sizing().peak, 1);
    assert!(clock.sizing().span >= WEEK && clock.sizing().span < WEEK + 2 * HOUR);
    let hours = clock.sizer.hours.recent(clock.now).count();
    assert!(hours <= 7 * 24 + 2, "what is kept is bounded: {hours}");
}

#[test]
fn the_time_that_was_seen_is_not_longer_than_it_was() {
    let mut clock = Clock::new();
    clock.pass(3, 2, 1);
    let Sizing { observed, span, .. } = *clock.sizing();
    assert!(observed <= 3 * HOUR && observed + 10 * MINUTE > 3 * HOUR, "{observed:?}");
    assert!(span <= 3 * HOUR && span >= observed, "{span:?}");
}

#[test]
fn a_night_without_workers_or_readings_was_not_seen() {
    let mut clock = Clock::new();
    clock.pass(2, 2, 1);
    clock.pass_without_workers(10);
    clock.pass(2, 2, 1);
    // Nothing was read, as on a machine that slept.
    let again = pool(Demand::default(), clock.checkouts);
    clock.read(&again, 10 * HOUR);
    clock.pass(1, 2, 1);
    let Sizing { observed, span, .. } = *clock.sizing();
    assert!(observed <= 5 * HOUR && observed + 30 * MINUTE > 5 * HOUR, "{observed:?}");
    assert!(span > 24 * HOUR, "{span:?}");
}

#[test]
fn the_busiest_hour_of_a_week_counts_by_itself() {
    let mut clock = Clock::new();
    clock.pass(24, 40, 1);
    assert_eq!((clock.sizing().size, clock.sizing().is_of_busiest_hour), (1, false));
    clock.pass(1, 48, 16);
    clock.pass(24, 40, 1);
    let sizing = clock.sizing();
    assert!(sizing.is_of_busiest_hour && sizing.size > 5, "{sizing:?}");
    assert!(sizing.rate > 0.69, "of that hour: {sizing:?}");
    assert!(sizing.checkouts > 100_000, "of all: {sizing:?}");
}

#[test]
fn waits_of_a_small_pool_are_not_those_of_the_larger_one_after_it() {
    let mut clock = Clock::new();
    clock.pass_with(24, 5, 0.2);
    let sizing = clock.sizing();
    assert!((sizing.waited - 0.2).abs() < 0.01 && sizing.above_size > 0.9, "{sizing:?}");
    let demand = sizing.size;
    clock.pass_with(3, 12, 0.0);
    let sizing = clock.sizing();
    assert_eq!((sizing.waited, sizing.above_size), (0.0, 0.0), "{sizing:?}");
    assert_eq!(sizing.peak, 9, "the demand of before is remembered");
    assert!(sizing.size.abs_diff(demand) <= 1, "{sizing:?}");
    let at_size = sizing.observed_at_size;
    assert!(at_size <= 3 * HOUR && at_size + 20 * MINUTE > 3 * HOUR, "{at_size:?}");
    clock.pass_without_workers(2);
    assert_eq!(clock.sizing().waited, 0.0, "in the silence after it");
    clock.pass_with(1, 5, 0.2);
    assert!(clock.sizing().waited > 0.1, "it is small again");
}
