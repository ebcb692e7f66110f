//! A histogram of durations of which each may stand for several.

use super::{BOUNDS, Histogram};

/// Durations over [`BOUNDS`], each with the number of those it stands for, which need not be whole.
/// Counts only grow.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    counts: [f64; BOUNDS.len() + 1],
    sum: f64,
}

impl Default for Weighted {
    fn default() -> Self {
        Self { counts: [0.0; BOUNDS.len() + 1], sum: 0.0 }
    }
}

impl Weighted {
    /// Counts one duration in seconds for so many.
    pub fn observe(&mut self, seconds: f64, weight: f64) {
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)] += weight;
        self.sum += seconds * weight;
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
        self.sum += other.sum;
    }

    /// The number above each of [`BOUNDS`].
    pub fn above(&self) -> [u64; BOUNDS.len()] {
        std::array::from_fn(|at| whole(self.counts[at + 1..].iter().sum()))
    }

    /// The histogram. Each cumulative count is the whole part of the sum up to its bound, so it
    /// never falls.
    pub fn histogram(&self) -> Histogram {
        let (mut running, mut before) = (0.0, 0);
        let counts = self.counts.iter().map(|count| {
            running += count;
            let upto = whole(running).max(before);
            let counted = upto - before;
            before = upto;
            counted
        });
        Histogram::from_counts(BOUNDS, counts.collect(), self.sum)
            .expect("there is a count for each bound, and the sum is one of durations")
    }
}

/// The whole part; what rounding took from a whole number is given back.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
pub(super) fn whole(count: f64) -> u64 {
    (count * (1.0 + 1e-12) + 1e-9).floor() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_third_of_the_statements_stands_for_all() {
        let mut weighted = Weighted::default();
        for _ in 0..3000 {
            weighted.observe(0.004, 10.0 / 3.0);
        }
        let shown = weighted.histogram();
        assert_eq!(shown.count(), 10_000);
        assert!((shown.sum() - 40.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn no_count_ever_falls(all in prop::collection::vec((0.0..20.0_f64, 1.0..50.0_f64), 0..60)) {
            let (mut weighted, mut before) = (Weighted::default(), Histogram::new(BOUNDS));
            for (seconds, weight) in all {
                weighted.observe(seconds, weight);
                let now = weighted.histogram();
                let cumulated = |histogram: &Histogram| {
                    let counts = histogram.counts().iter();
                    counts.scan(0, |sum, count| { *sum += count; Some(*sum) }).collect::<Vec<_>>()
                };
                prop_assert!(cumulated(&now).iter().zip(cumulated(&before)).all(|(n, b)| *n >= b));
                before = now;
            }
        }
    }
}
