//! How long connections are held, to be drawn from.

use super::queue::{Micros, micros};
use crate::latency::Histogram;

/// The longest hold in seconds; a client that reports a longer mean is in error.
const LONGEST: f64 = 3600.0;

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
        let count = holds.count();
        if count == 0 {
            return None;
        }
        let bounds = holds.bounds();
        let last = bounds.last().copied().unwrap_or(0.0);
        let lower = [0.0].into_iter().chain(bounds.iter().copied());
        let upper = bounds.iter().copied().chain([last]);
        let (mut below, mut mean) = (0, 0.0);
        let mut buckets = Vec::new();
        for ((lower, upper), in_bucket) in lower.zip(upper).zip(holds.counts()) {
            if *in_bucket > 0 {
                below += in_bucket;
                mean += *in_bucket as f64 / count as f64 * f64::midpoint(lower, upper);
                buckets.push((below as f64 / count as f64, lower, upper));
            }
        }
        let factor = if mean > 0.0 { holds.sum() / count as f64 / mean } else { 1.0 };
        Some(Self { buckets, factor })
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
    use crate::latency::HOLD_BOUNDS;

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
