//! A histogram of durations of which only some are known.

use std::sync::LazyLock;

use super::shape::Shape;
use super::weighted::whole;
use super::{BOUNDS, Histogram, Interval, ShareBounds};

/// Steps from one of [`BOUNDS`] to the next: fine enough for quantiles.
const STEPS: usize = 4;
/// Doublings below the first and above the last bound, to some 8 µs and 20 minutes.
const BEYOND: i32 = 7;

/// The finer bounds in seconds, of which [`BOUNDS`] are some.
static FINE: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let (first, last) = (BOUNDS[0], BOUNDS[BOUNDS.len() - 1]);
    let below = (1..BEYOND).rev().map(|doublings| first / 2_f64.powi(doublings));
    let above = (1..=BEYOND).map(|doublings| last * 2_f64.powi(doublings));
    let between = BOUNDS.windows(2).flat_map(|pair| {
        let ratio = pair[1] / pair[0];
        (0..STEPS).map(move |step| pair[0] * libm::pow(ratio, step as f64 / STEPS as f64))
    });
    below.chain(between).chain([last]).chain(above).collect()
});

/// Calls of statements spread over buckets: fractions of calls, that add up to whole ones. Counts
/// only grow.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    counts: Vec<f64>,
    calls: u64,
    sum: f64,
    bounds: ShareBounds,
}

impl Default for Estimate {
    fn default() -> Self {
        Self {
            counts: vec![0.0; FINE.len() + 1],
            calls: 0,
            sum: 0.0,
            bounds: ShareBounds::default(),
        }
    }
}

impl Estimate {
    /// Adds the calls of one statement in one interval: up to two and new extremes exactly, the
    /// others by the shape that fits their mean and variance between their ends. Figures that no calls
    /// can have, from a damaged server, add nothing.
    pub fn add(&mut self, interval: &Interval) {
        if interval.calls == 0 || !interval.is_possible() {
            return;
        }
        self.calls += interval.calls;
        self.sum += interval.sum;
        let (extremes, rest) = interval.peeled();
        extremes.for_each(|seconds| {
            self.bounds.add_known(seconds);
            self.counts[bucket(seconds)] += 1.0;
        });
        match rest.calls {
            0 => {}
            1 => self.spread(&rest, |bound| step(rest.mean(), bound)),
            2 => {
                let apart = rest.variance().sqrt();
                let both = [rest.mean() - apart, rest.mean() + apart];
                let both = both.map(|seconds| seconds.max(rest.lowest).min(rest.highest));
                self.spread(&rest, |bound| {
                    f64::midpoint(step(both[0], bound), step(both[1], bound))
                });
            }
            _ => match Shape::new(&rest) {
                Some(shape) => self.spread(&rest, |bound| shape.below(bound)),
                None => self.spread(&rest, |bound| step(rest.mean(), bound)),
            },
        }
    }

    /// Adds calls by the share of them up to each bound. A shape has not quite the moments that it
    /// was made of, and its calls are not whole ones: it is moved into the bounds that hold for all.
    fn spread(&mut self, rest: &Interval, share: impl Fn(f64) -> f64) {
        let calls = rest.calls as f64;
        let above = self.bounds.add_rest(rest);
        let (lowest, highest) = rest.ends();
        let (first, last) = (bucket(lowest), bucket(highest));
        let mut below = 0.0;
        for (count, bound) in self.counts[first..last].iter_mut().zip(&FINE[first..last]) {
            let upto = above.confine(calls, *bound, share(*bound)).max(below);
            *count += calls * (upto - below);
            below = upto;
        }
        self.counts[last] += calls * (1.0 - below);
    }

    /// The number of calls.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The histogram over [`BOUNDS`]. Each cumulative count is the whole part of the sum up to its
    /// bound, so it never falls; the count and the sum are exact.
    pub fn histogram(&self) -> Histogram {
        let (mut running, mut before, mut at) = (0.0, 0, 0);
        let mut counts = Vec::with_capacity(BOUNDS.len() + 1);
        for bound in BOUNDS {
            let upto = bucket(*bound) + 1;
            running += self.counts[at..upto].iter().sum::<f64>();
            let whole = whole(running).min(self.calls);
            counts.push(whole - before);
            (before, at) = (whole, upto);
        }
        counts.push(self.calls - before);
        Histogram::from_counts(BOUNDS, counts, self.sum)
            .expect("there is a count for each bound, and the sum is one of durations")
    }

    /// The share of calls (0 to 1) that took more than so many seconds, one of [`BOUNDS`]; `None`
    /// when there was none.
    pub fn share_above(&self, seconds: f64) -> Option<f64> {
        let above: f64 = self.counts[bucket(seconds) + 1..].iter().sum();
        (self.calls > 0).then(|| above / self.calls as f64)
    }

    /// The number of calls that took longer than so many seconds, at least and at most: the truth
    /// lies between, whatever the calls were like.
    pub fn calls_above(&self, seconds: f64) -> (u64, u64) {
        self.bounds.above(seconds, self.calls)
    }

    /// The least and the greatest share of calls (0 to 1) that can have taken longer than so many
    /// seconds; `None` when there was none.
    pub fn share_bounds(&self, seconds: f64) -> Option<(f64, f64)> {
        let (least, most) = self.calls_above(seconds);
        let share = |calls| calls as f64 / self.calls as f64;
        (self.calls > 0).then(|| (share(least), share(most)))
    }

    /// The duration in seconds below which a share `q` (0 to 1) of all lie, linear within one of
    /// the finer buckets; `None` when there was none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q.clamp(0.0, 1.0) * self.calls as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (count, bound) in self.counts.iter().zip(FINE.iter()) {
            if *count > 0.0 && below + count >= rank {
                return Some(lower + (bound - lower) * ((rank - below) / count));
            }
            below += count;
            lower = *bound;
        }
        (self.calls > 0).then_some(lower)
    }

    /// The calls added since an earlier state of the same estimate.
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts);
        Self {
            counts: counts.map(|(now, then)| (now - then).max(0.0)).collect(),
            calls: self.calls.saturating_sub(earlier.calls),
            sum: (self.sum - earlier.sum).max(0.0),
            bounds: self.bounds.since(&earlier.bounds),
        }
    }
}

/// The share up to a bound, of calls that all took the same.
fn step(seconds: f64, bound: f64) -> f64 {
    if seconds <= bound { 1.0 } else { 0.0 }
}

fn bucket(seconds: f64) -> usize {
    FINE.partition_point(|bound| *bound < seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::moments::tests::kept;
    use super::super::{Histogram, Moments};
    use super::*;

    fn estimate(calls: &[f64], at: usize) -> Estimate {
        let mut estimate = Estimate::default();
        let before = (at > 0).then(|| kept(&calls[..at]));
        estimate.add(&kept(calls).since(before.as_ref()));
        estimate
    }

    fn exact(calls: &[f64]) -> Histogram {
        let mut histogram = Histogram::new(BOUNDS);
        for seconds in calls {
            histogram.observe(*seconds);
        }
        histogram
    }

    fn cumulative(histogram: &Histogram) -> Vec<u64> {
        let mut running = 0;
        let add = |count: &u64| {
            running += count;
            running
        };
        histogram.counts().iter().map(add).collect()
    }

    #[test]
    fn every_bound_is_a_finer_bound() {
        assert!(FINE.is_sorted_by(|a, b| a < b));
        assert!(BOUNDS.iter().all(|bound| FINE.contains(bound)));
    }

    fn odd_moments() -> impl Strategy<Value = Moments> {
        let figure = || {
            let odd = [0.0, -1.0, 1e-9, 0.5, 7.0, 9e15, f64::MAX, f64::MIN];
            prop::sample::select([&odd[..], &[f64::NAN, f64::INFINITY, -f64::INFINITY]].concat())
        };
        let calls =
            prop::sample::select(vec![0, 1, 2, 3, 40, u64::MAX / 2, u64::MAX - 1, u64::MAX]);
        let since = || prop::sample::select(vec![None, Some(1.0), Some(f64::NAN)]);
        (calls, figure(), figure(), figure(), figure(), since(), since()).prop_map(
            |(calls, total, shortest, longest, deviation, since, extremes_since)| Moments {
                calls,
                total,
                shortest,
                longest,
                deviation,
                since,
                extremes_since,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn figures_that_no_calls_can_have_are_no_fault(all in prop::collection::vec(odd_moments(), 1..5)) {
            let (mut estimate, mut before) = (Estimate::default(), None);
            for moments in &all {
                estimate.add(&moments.since(before));
                before = Some(moments);
            }
            let counts = estimate.histogram();
            prop_assert_eq!(counts.counts().iter().sum::<u64>(), estimate.calls());
            for bound in BOUNDS {
                let _ = (estimate.share_above(*bound), estimate.share_bounds(*bound));
            }
        }
    }

    #[test]
    fn equal_calls_lie_at_their_mean() {
        let estimate = estimate(&[0.08; 1000], 10);
        assert_eq!(estimate.histogram().counts(), exact(&[0.08; 990]).counts());
    }

    #[test]
    fn a_slope_is_a_slope() {
        let calls: Vec<f64> =
            (0..2000).map(|step| 0.0001 * f64::from(step * 7919 % 2000)).collect();
        let estimate = estimate(&calls, 500);
        assert!((estimate.share_above(0.1).unwrap() - 0.5).abs() < 0.01);
        assert!((estimate.quantile(0.95).unwrap() - 0.19).abs() < 0.002);
    }

    #[test]
    fn fractions_of_calls_add_up() {
        let mut estimate = Estimate::default();
        let third = kept(&[0.05, 0.15, 0.06, 0.14, 0.07]).since(None);
        (0..1000).for_each(|_| estimate.add(&third));
        let histogram = estimate.histogram();
        assert_eq!(histogram.count(), 5000);
        assert!((histogram.sum() - 470.0).abs() < 1e-6);
        assert!((estimate.share_above(0.1).unwrap() - 0.4).abs() < 0.1);
        assert_eq!(estimate.since(&estimate).quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn one_or_two_calls_are_exact(
            before in prop::collection::vec(1e-4..20.0_f64, 0..30),
            calls in prop::collection::vec(1e-4..20.0_f64, 1..3),
        ) {
            // A call on a bound may by rounding fall to either side of it.
            prop_assume!(calls.iter().all(|s| BOUNDS.iter().all(|b| (s / b - 1.0).abs() > 1e-6)));
            let all = [before.clone(), calls.clone()].concat();
            let (histogram, truth) = (estimate(&all, before.len()).histogram(), exact(&calls));
            prop_assert_eq!(histogram.counts(), truth.counts());
            prop_assert!((histogram.sum() - calls.iter().sum::<f64>()).abs() < 1e-9);
        }

        #[test]
        fn the_histogram_grows_by_what_ran_whatever_is_forgotten(
            samples in prop::collection::vec(
                (prop::bool::weighted(0.2), prop::collection::vec(1e-5..30.0_f64, 0..40)),
                1..12,
            ),
        ) {
            let (mut estimate, mut calls) = (Estimate::default(), Vec::new());
            let (mut last, mut reset): (Option<Moments>, f64) = (None, 0.0);
            let (mut count, mut sum) = (0, 0.0);
            for (forgotten, durations) in samples {
                if forgotten {
                    calls.clear();
                    reset += 1.0;
                }
                count += durations.len() as u64;
                sum += durations.iter().sum::<f64>();
                calls.extend(durations);
                let begun = Some(reset);
                let now = Moments { since: begun, extremes_since: begun, ..kept(&calls) };
                let before = cumulative(&estimate.histogram());
                estimate.add(&now.since(last.as_ref()));
                let after = estimate.histogram();
                prop_assert!(cumulative(&after).iter().zip(&before).all(|(now, then)| now >= then));
                prop_assert_eq!(after.count(), count);
                prop_assert!((after.sum() - sum).abs() < 1e-6 * sum.max(1.0));
                last = Some(now);
            }
        }

        #[test]
        fn the_estimate_lies_within_the_bounds(
            median in 1e-3..0.5_f64,
            intervals in prop::collection::vec(
                (0.0..2.5_f64, prop::collection::vec((-2.0..2.0_f64, 0.0..1.0_f64), 0..40)),
                1..6,
            ),
            slow in 0.0..0.3_f64,
        ) {
            let (mut estimate, mut calls) = (Estimate::default(), Vec::new());
            let mut last: Option<Moments> = None;
            for (sigma, draws) in intervals {
                calls.extend(draws.iter().map(|(draw, chance)| {
                    let seconds = median * (sigma * draw).exp();
                    if *chance < slow { 8.0 * seconds } else { seconds }
                }));
                let now = kept(&calls);
                let before = estimate.clone();
                estimate.add(&now.since(last.as_ref()));
                last = Some(now);
                for one in [&estimate, &estimate.since(&before)] {
                    let within = cumulative(&one.histogram());
                    for (within, bound) in within.iter().zip(BOUNDS) {
                        let (least, most) = one.calls_above(*bound);
                        let Some(share) = one.share_above(*bound) else { continue };
                        let above = share * one.calls() as f64;
                        let inside = least as f64 - 1e-6 <= above && above <= most as f64 + 1e-6;
                        prop_assert!(inside, "{} <= {} <= {} above {}", least, above, most, bound);
                        let shown = one.calls() - within;
                        prop_assert!((least..=most).contains(&shown), "{} above {}", shown, bound);
                    }
                }
            }
        }

        #[test]
        fn no_figure_whatever_it_is_breaks_it(
            now in prop::array::uniform4(0.0..1e9_f64),
            then in prop::array::uniform4(0.0..1e9_f64),
            calls in 0..1_000_000_u64,
            more in 0..1_000_000_u64,
        ) {
            let moments = |calls, [total, shortest, longest, deviation]: [f64; 4]| Moments {
                calls, total, shortest, longest, deviation, ..Moments::default()
            };
            let mut estimate = Estimate::default();
            let interval = moments(calls + more, now).since(Some(&moments(calls, then)));
            estimate.add(&interval);
            prop_assert_eq!(estimate.histogram().count(), interval.calls);
            prop_assert!(estimate.counts.iter().all(|count| count.is_finite() && *count >= 0.0));
        }
    }
}
