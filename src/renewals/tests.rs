use super::*;
use crate::reading::{Figures, Holders, Timings, Totals};

/// A pool of two workers with ten connections each, second by second.
struct Clock {
    renewals: Renewals,
    pool: Pool,
    now: Instant,
}

impl Clock {
    fn new(recycle: Option<f64>) -> Self {
        let figures = Figures {
            checked_in: Some(8),
            checked_out: Some(2),
            peak: Some(3),
            recycle,
            ..Figures::default()
        };
        let worker = |pid| Worker { pid: Some(pid), figures, ..Worker::default() };
        let counted = Some(20);
        let pool = Pool {
            name: "web".into(),
            origin: Origin::Workers,
            workers: vec![worker(1), worker(2)],
            worker_count: None,
            totals: Totals { opened: counted, invalidated: Some(0), ..Totals::default() },
            timings: Timings::default(),
            holders: Holders::default(),
            targets: Vec::new(),
        };
        Self { renewals: Renewals::default(), pool, now: Instant::now() }
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.renewals.add(&self.pool, self.now);
        }
    }

    /// Opens so many in each of some seconds.
    fn open(&mut self, each: &[u64]) {
        for opened in each {
            *self.pool.totals.opened.as_mut().unwrap() += opened;
            self.pass(1);
        }
    }

    fn herd(&self) -> Option<Herd> {
        self.renewals.herd(self.now)
    }
}

const HOUR: u64 = 3600;

#[test]
fn connections_that_expire_at_once_are_a_herd_after_the_third_time() {
    let mut clock = Clock::new(None);
    for time in 1..=3 {
        assert_eq!(clock.herd(), None, "{time}");
        clock.pass(HOUR - 2);
        clock.open(&[15, 5]);
    }
    assert_eq!(clock.herd(), None, "the burst may go on");
    clock.pass(20);
    let herd = clock.herd().unwrap();
    assert_eq!((herd.replaced, herd.open), (20, 20));
    assert_eq!((herd.interval, herd.elapsed), (Duration::from_secs(HOUR), Duration::from_secs(1)));
    clock.pass(2 * HOUR);
    assert!(clock.herd().is_some());
    clock.pass(HOUR);
    assert_eq!(clock.herd(), None, "it is over");
}

#[test]
fn where_the_age_limit_is_reported_the_first_time_is_enough() {
    let mut clock = Clock::new(Some(600.0));
    clock.pass(5);
    // As the workers start.
    for worker in &mut clock.pool.workers {
        worker.figures.checked_in = Some(18);
    }
    clock.open(&[20]);
    clock.pass(595);
    clock.open(&[20, 20]);
    clock.pass(20);
    let herd = clock.herd().unwrap();
    assert_eq!((herd.replaced, herd.age_limit), (40, Some(Duration::from_secs(600))));
    let mut other = Clock::new(Some(3600.0));
    other.pass(5);
    other.open(&[20]);
    other.pass(600);
    other.open(&[20]);
    other.pass(20);
    assert_eq!(other.herd(), None, "they were not so old");
}

#[test]
fn an_age_limit_of_some_seconds_makes_no_herd() {
    let herd = |limit| {
        let mut clock = Clock::new(Some(limit));
        for _ in 0..8 {
            clock.open(&[20]);
            clock.pass(20);
        }
        clock.herd()
    };
    assert_eq!([herd(0.0), herd(5.0), herd(15.0)], [None, None, None]);
    assert!(herd(20.0).is_some());
}

#[test]
fn connections_that_expire_one_after_the_other_are_none() {
    let mut clock = Clock::new(Some(600.0));
    for _ in 0..12 {
        for _ in 0..20 {
            clock.open(&[1]);
            clock.pass(29);
        }
    }
    assert_eq!(clock.herd(), None, "each half minute one");
    for _ in 0..6 {
        clock.open(&[1, 0, 0, 0, 0].repeat(20));
        clock.pass(500);
        assert_eq!(clock.herd(), None, "within a hundred seconds");
    }
}

#[test]
fn broken_connections_and_workers_that_come_and_go_are_none() {
    let mut restarts = Clock::new(None);
    let mut rollouts = Clock::new(None);
    for time in 0..6 {
        restarts.pass(HOUR);
        *restarts.pool.totals.invalidated.as_mut().unwrap() += 20;
        restarts.open(&[0, 0, 20]);
        rollouts.pass(HOUR);
        rollouts.pool.workers[0].pid = Some(100 + time);
        rollouts.open(&[0, 0, 10, 10]);
    }
    restarts.pass(20);
    rollouts.pass(20);
    assert_eq!((restarts.herd(), rollouts.herd()), (None, None));
}

#[test]
fn a_job_that_takes_overflow_at_regular_times_is_none() {
    let mut clock = Clock::new(None);
    for _ in 0..6 {
        clock.pass(300);
        clock.pool.workers[0].figures.peak = Some(25);
        clock.open(&[15]);
        clock.pool.workers[0].figures.peak = Some(3);
    }
    clock.pass(20);
    assert_eq!(clock.herd(), None);
}

/// A job of a worker with 5 connections and 15 of overflow, every five minutes.
fn job(size: Option<u64>, opened: u64) -> Option<Herd> {
    let mut clock = Clock::new(None);
    clock.pool.workers[0].figures.size = size;
    for _ in 0..6 {
        clock.pass(300);
        clock.pool.workers[0].figures.peak = Some(20);
        clock.open(&[opened]);
        clock.pool.workers[0].figures.peak = Some(3);
    }
    clock.pass(20);
    clock.herd()
}

#[test]
fn a_job_that_opens_its_overflow_again_and_again_is_none() {
    assert_eq!(job(Some(5), 200), None);
    assert_eq!(job(None, 200), None, "the client does not report its size");
    assert_eq!(job(Some(5), 30), None, "each twice");
    assert!(job(Some(20), 20).is_some(), "it takes no overflow");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut clock = Clock::new(None);
    for _ in 0..50 {
        clock.open(&[20]);
        clock.pass(60);
    }
    assert!(clock.herd().is_some());
    assert!(clock.renewals.over.len() <= KEPT);
}
