//! Counts of durations by bucket.

/// Upper bounds in seconds of every latency histogram. They hold 0.1, 0.2 and 1 exactly, so the
/// shares above the latency target, the scaling mark and the slow-query mark are exact.
pub const BOUNDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Upper bounds in seconds of how long a connection is held: coarser ones follow [`BOUNDS`], for a
/// hold may last minutes.
pub const HOLD_BOUNDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// Upper bounds in seconds of the time to get a connection: one finer than those of a hold, for a
/// pooled connection is had in microseconds.
pub const ACQUIRE_BOUNDS: &[f64] = &[
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0,
    2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// Counts of durations by bucket, and their sum in seconds. Counts only grow.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// An empty histogram over upper bounds in seconds, in rising order.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// A histogram from counts by bucket (one more than bounds), not cumulative; `None` when
    /// there are not as many as there should be or the sum is no time.
    pub fn from_counts(bounds: &'static [f64], counts: Vec<u64>, sum: f64) -> Option<Self> {
        (counts.len() == bounds.len() + 1 && sum.is_finite() && sum >= 0.0).then_some(Self {
            bounds,
            counts,
            sum,
        })
    }

    /// Counts one duration in seconds.
    pub fn observe(&mut self, seconds: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket] += 1;
        self.sum += seconds;
    }

    /// Adds the counts of another over the same bounds.
    ///
    /// # Panics
    /// When the bounds differ: such counts cannot be added.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.bounds, other.bounds, "histograms over different bounds");
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.sum += other.sum;
    }

    /// The upper bounds in seconds.
    pub fn bounds(&self) -> &'static [f64] {
        self.bounds
    }

    /// The counts by bucket, not cumulative, the last above every bound.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All durations counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |all, count| all.saturating_add(*count))
    }

    /// The sum of all durations in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The duration in seconds below which a share `q` (0 to 1) of all lie, linear within a
    /// bucket as in Prometheus' `histogram_quantile`; the highest bound when it lies above it;
    /// `None` when nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * count as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, in_bucket) in self.bounds.iter().zip(&self.counts) {
            let in_bucket = *in_bucket as f64;
            if in_bucket > 0.0 && below + in_bucket >= rank {
                return Some(lower + (bound - lower) * ((rank - below) / in_bucket));
            }
            below += in_bucket;
            lower = *bound;
        }
        Some(lower)
    }

    /// The counts since an earlier state of the same histogram; all of them when the earlier
    /// one is not below this one.
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = self.bounds == earlier.bounds
            && self.counts.iter().zip(&earlier.counts).all(|(now, then)| now >= then);
        if !grown {
            return self.clone();
        }
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now - then);
        Self {
            bounds: self.bounds,
            counts: counts.collect(),
            sum: (self.sum - earlier.sum).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_counts_below_it() {
        let mut histogram = Histogram::new(BOUNDS);
        histogram.observe(0.1);
        let bucket = BOUNDS.iter().position(|bound| *bound == 0.1).unwrap();
        assert_eq!(histogram.counts()[bucket], 1);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut histogram = Histogram::new(BOUNDS);
        (0..100).for_each(|_| histogram.observe(0.08));
        let p95 = histogram.quantile(0.95).unwrap();
        assert!((0.075..=0.1).contains(&p95), "{p95}");
        assert_eq!(Histogram::new(BOUNDS).quantile(0.5), None);
    }

    #[test]
    fn a_quantile_above_every_bound_is_the_highest_bound() {
        let mut histogram = Histogram::new(BOUNDS);
        histogram.observe(99.0);
        assert_eq!(histogram.quantile(0.5), Some(10.0));
    }

    #[test]
    fn the_difference_of_two_states_is_what_came_between() {
        let mut now = Histogram::new(BOUNDS);
        now.observe(0.2);
        let then = now.clone();
        now.observe(0.4);
        assert_eq!(now.since(&then).count(), 1);
        assert_eq!(then.since(&now).count(), 1, "a restart counts from nothing");
    }
}
