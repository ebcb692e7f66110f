//! Durations drawn from shapes that no workload has, so that what fits the workloads is not all
//! that is fitted: each is one statement, called as often in every second.

use std::collections::HashMap;

use poolwatch::latency::Moments;

use crate::record::Record;

const SECONDS: usize = 30;
const CALLS_A_SECOND: usize = 50;

type Draw = fn(&mut Chance) -> f64;

/// Each with its name; durations in seconds.
const SHAPES: [(&str, Draw); 22] = [
    ("log-normal, σ 0.8", |chance| chance.log_normal(0.02, 0.8)),
    ("log-normal, σ 1.5", |chance| chance.log_normal(0.01, 1.5)),
    ("log-normal, σ 2", |chance| chance.log_normal(0.005, 2.0)),
    ("Pareto, α 1.2", |chance| 0.002 * chance.share().powf(-1.0 / 1.2)),
    ("Pareto, α 0.8, to 20 s", |chance| (0.002 * chance.share().powf(-1.25)).min(20.0)),
    ("a fifth misses the cache", |chance| {
        chance.either(0.2, |c| c.log_normal(0.03, 0.6), |c| c.log_normal(0.001, 0.4))
    }),
    ("a tenth reads the disk", |chance| {
        chance.either(0.1, |c| c.log_normal(0.12, 0.7), |c| c.log_normal(0.002, 0.5))
    }),
    ("one in 100 waits for a lock", |chance| {
        chance.either(0.01, |c| 0.5 * c.share(), |c| c.log_normal(0.003, 0.3))
    }),
    ("one in 50 nearly times out", |chance| {
        chance.either(0.02, |c| 0.9 + 0.1 * c.share(), |c| c.log_normal(0.01, 0.5))
    }),
    ("one in 100 is a report", |chance| {
        chance.either(0.01, |c| c.log_normal(0.6, 0.4), |c| c.log_normal(0.02, 0.6))
    }),
    ("half is slow", |chance| {
        chance.either(0.5, |c| 0.15 + 0.05 * c.share(), |c| 0.002 + 0.004 * c.share())
    }),
    ("one in 30 has a long tail", |chance| {
        chance.either(0.03, |c| 0.05 - 0.1 * c.share().ln(), |c| c.log_normal(0.004, 0.3))
    }),
    ("one in 25 is eight times slower", |chance| {
        chance.either(0.04, |c| c.log_normal(0.16, 0.5), |c| c.log_normal(0.02, 0.5))
    }),
    ("one in 20 takes half a second", |chance| {
        chance.either(0.05, |c| 0.4 + 0.2 * c.share(), |c| 0.002 + 0.002 * c.share())
    }),
    ("three humps", |chance| {
        let slow: Draw = |c| c.either(0.5, |c| 0.14 + 0.02 * c.share(), |c| 0.6 + 0.1 * c.share());
        chance.either(0.2, slow, |c| c.log_normal(0.005, 0.2))
    }),
    ("just below 100 ms", |chance| 0.09 + 0.0099 * chance.share()),
    ("around 100 ms", |chance| 0.095 + 0.01 * chance.share()),
    ("all the same", |_| 0.15),
    ("a timeout at 5 s", |chance| chance.either(0.02, |_| 5.0, |c| c.log_normal(0.03, 0.8))),
    ("a wait of whole seconds", |chance| {
        chance.either(0.1, |c| (3.0 * c.share()).ceil(), |c| c.log_normal(0.002, 0.2))
    }),
    ("Weibull, shape 0.5", |chance| 0.02 * (-chance.share().ln()).powi(2)),
    ("a triangle", |chance| 0.15 * (chance.share() + chance.share())),
];

/// Every shape as it would have been recorded.
pub(crate) fn all() -> Vec<Record> {
    let mut chance = Chance::new(2024);
    SHAPES.iter().map(|(name, draw)| record(name, *draw, &mut chance)).collect()
}

fn record(name: &str, draw: Draw, chance: &mut Chance) -> Record {
    let mut durations = Vec::new();
    let mut looks = vec![HashMap::new()];
    for _ in 0..SECONDS {
        durations.extend((0..CALLS_A_SECOND).map(|_| draw(chance)));
        looks.push(HashMap::from([("statement".to_owned(), moments(&durations))]));
    }
    durations.sort_by(f64::total_cmp);
    Record { name: name.to_owned(), durations, looks }
}

pub(crate) fn moments(durations: &[f64]) -> Moments {
    let calls = durations.len() as f64;
    let total: f64 = durations.iter().sum();
    let squares: f64 = durations.iter().map(|seconds| (seconds - total / calls).powi(2)).sum();
    Moments {
        calls: durations.len() as u64,
        total,
        shortest: durations.iter().copied().fold(f64::INFINITY, f64::min),
        longest: durations.iter().copied().fold(0.0, f64::max),
        deviation: (squares / calls).sqrt(),
        ..Moments::default()
    }
}

/// The same chance every time: `splitmix64`.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// More than 0, up to 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11).wrapping_add(1) as f64 / 2_f64.powi(53)
    }

    /// One or the other, the first with this share.
    fn either(&mut self, share: f64, first: Draw, second: Draw) -> f64 {
        if self.share() < share { first(self) } else { second(self) }
    }

    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let (radius, angle) = ((-2.0 * self.share().ln()).sqrt(), self.share());
        median * (sigma * radius * (2.0 * std::f64::consts::PI * angle).cos()).exp()
    }
}
