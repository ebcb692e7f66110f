//! How long connections are held, to be drawn from.

use super::queue::{Micros, micros};
use crate::latency::{HOLD_BOUNDS, Histogram};

/// The longest hold in seconds; a client that reports a longer mean is in error.
const LONGEST: f64 = 3600.0;

/// The number of buckets of holds, that above all bounds included.
pub(super) const BUCKETS: usize = HOLD_BOUNDS.len() + 1;

/// The distribution of a histogram with its mean.
#[derive(Clone, Debug)]
pub(super) struct Holds {
    /// Each bucket's share of the holds up to its end, and its bounds in seconds.
    buckets: Vec<(f64, f64, f64)>,
    /// By which drawn holds are lengthened, so that their mean is that of the holds.
    factor: f64,
}

impl Holds {
    /// `None` of no holds.
    pub(super) fn new(holds: &Histogram) -> Option<Self> {
        let counts: Vec<_> = holds.counts().iter().map(|count| *count as f64).collect();
        let buckets = Self::from_counts(holds.bounds(), &counts, 1.0)?;
        let mean = buckets.mean();
        let factor = if mean > 0.0 { holds.sum() / holds.count() as f64 / mean } else { 1.0 };
        Some(Self { factor, ..buckets })
    }

    /// Other holds, which lie within their buckets as these do; `None` of no holds.
    pub(super) fn with_counts(&self, counts: &[f64; BUCKETS]) -> Option<Self> {
        Self::from_counts(HOLD_BOUNDS, counts, self.factor)
    }

    fn from_counts(bounds: &[f64], counts: &[f64], factor: f64) -> Option<Self> {
        let all: f64 = counts.iter().sum();
        let last = bounds.last().copied().unwrap_or(0.0);
        let lower = [0.0].into_iter().chain(bounds.iter().copied());
        let upper = bounds.iter().copied().chain([last]);
        let (mut below, mut buckets) = (0.0, Vec::new());
        for ((lower, upper), in_bucket) in lower.zip(upper).zip(counts) {
            if *in_bucket > 0.0 {
                below += in_bucket;
                buckets.push((below / all, lower, upper));
            }
        }
        (!buckets.is_empty()).then_some(Self { buckets, factor })
    }

    /// The mean in seconds.
    pub(super) fn mean(&self) -> f64 {
        let (mut before, mut mean) = (0.0, 0.0);
        for (below, lower, upper) in &self.buckets {
            mean += (below - before) * f64::midpoint(*lower, *upper);
            before = *below;
        }
        self.factor * mean
    }

    /// One hold.
    pub(super) fn draw(&self, random: &mut fastrand::Rng) -> Micros {
        let share = random.f64();
        let at = self.buckets.partition_point(|(below, ..)| *below <= share);
        let (_, lower, upper) = self.buckets[at.min(self.buckets.len() - 1)];
        micros((self.factor * (lower + (upper - lower) * random.f64())).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_holds_have_the_mean_of_those_measured() {
        let mut holds = Histogram::new(HOLD_BOUNDS);
        (0..900).for_each(|_| holds.observe(0.0011));
        (0..100).for_each(|_| holds.observe(0.26));
        let (drawn, mut random) = (Holds::new(&holds).unwrap(), fastrand::Rng::with_seed(1));
        let sum: u64 = (0..20_000).map(|_| drawn.draw(&mut random)).sum();
        let mean = sum as f64 / 20_000.0 / 1e6;
        assert!((mean / 0.02699 - 1.0).abs() < 0.05, "{mean}");
        assert!(Holds::new(&Histogram::new(HOLD_BOUNDS)).is_none());
    }
}
