//! The least and the greatest number of calls that can have taken longer than a threshold, when
//! only their number, mean, variance and ends are known.

use super::{BOUNDS, Interval};

/// The most by which rounding may move a share: far more than it does, far less than one call in a
/// million.
const SLACK: f64 = 1e-9;

/// The most numbers at either end of the bounds that are tried: whole calls allow one or two fewer
/// than shares do.
const TRIED: usize = 16;

/// Calls above each of [`BOUNDS`], counted as the least and the most that can be. Both only grow,
/// and the truth lies between them.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareBounds {
    least: [u64; BOUNDS.len()],
    most: [u64; BOUNDS.len()],
}

impl Default for ShareBounds {
    fn default() -> Self {
        Self { least: [0; BOUNDS.len()], most: [0; BOUNDS.len()] }
    }
}

impl ShareBounds {
    /// Adds a call whose duration is known.
    pub(super) fn add_known(&mut self, seconds: f64) {
        self.count(&AboveEach::from_each(|bound| if seconds > bound { (1, 1) } else { (0, 0) }));
    }

    /// Adds calls of one statement in one interval, of which only the moments are known, and returns
    /// the bounds for these calls alone.
    pub(super) fn add_rest(&mut self, rest: &Interval) -> AboveEach {
        let spread = Spread::new(rest);
        let above = AboveEach::from_each(|bound| spread.above(bound));
        self.count(&above);
        above
    }

    fn count(&mut self, above: &AboveEach) {
        for ((least, most), above) in self.least.iter_mut().zip(&mut self.most).zip(above.0) {
            *least += above.0;
            *most += above.1;
        }
    }

    /// The least and the most calls that took longer than so many seconds. Between two of
    /// [`BOUNDS`], the least is that of the next above and the most that of the next below.
    pub fn above(&self, seconds: f64, calls: u64) -> (u64, u64) {
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        let exact = BOUNDS.get(at).is_some_and(|bound| *bound <= seconds);
        let below = if exact { Some(at) } else { at.checked_sub(1) };
        let least = self.least.get(at).copied().unwrap_or(0);
        (least, below.map_or(calls, |below| self.most[below]))
    }

    /// The calls added since an earlier state of the same bounds.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let grown = |now: &[u64; BOUNDS.len()], then: &[u64; BOUNDS.len()]| {
            std::array::from_fn(|at| now[at].saturating_sub(then[at]))
        };
        Self { least: grown(&self.least, &earlier.least), most: grown(&self.most, &earlier.most) }
    }
}

/// The least and the most of some calls that can be above each of [`BOUNDS`].
pub(super) struct AboveEach([(u64, u64); BOUNDS.len()]);

impl AboveEach {
    fn from_each(above: impl Fn(f64) -> (u64, u64)) -> Self {
        Self(std::array::from_fn(|at| above(BOUNDS[at])))
    }

    /// For so many calls, a share of them up to so many seconds, moved into the bounds. Between two
    /// of [`BOUNDS`], those of the two together.
    pub(super) fn confine(&self, calls: f64, seconds: f64, share: f64) -> f64 {
        let within = |above: u64| (calls - above as f64) / calls;
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        let exact = BOUNDS.get(at).is_some_and(|bound| *bound <= seconds);
        let below = if exact { Some(at) } else { at.checked_sub(1) };
        let fewest = below.map_or(0.0, |below| within(self.0[below].1));
        share.max(fewest).min(self.0.get(at).map_or(1.0, |(least, _)| within(*least)))
    }
}

/// The moments of some calls, with what rounding leaves open of them.
struct Spread {
    calls: f64,
    means: [f64; 2],
    variances: [f64; 2],
    lowest: f64,
    highest: f64,
}

impl Spread {
    fn new(rest: &Interval) -> Self {
        let calls = rest.calls as f64;
        let (mean, variance) = (rest.mean(), rest.variance());
        let (mean_error, variance_error) = (rest.sum_error / calls, rest.squares_error / calls);
        let variances = [(variance - variance_error).max(0.0), variance + variance_error];
        let reach = (variances[1] * (calls - 1.0)).sqrt() + mean_error;
        Self {
            calls,
            means: [mean - mean_error, mean + mean_error],
            variances,
            lowest: rest.lowest.max(mean - reach),
            highest: rest.highest.min(mean + reach),
        }
    }

    /// The least and the most of the calls that can be longer than so many seconds.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    fn above(&self, seconds: f64) -> (u64, u64) {
        let (mut least, mut most) = (1.0_f64, 0.0_f64);
        for mean in self.means {
            for variance in self.variances {
                let at_most = self.most_within(mean, variance, seconds);
                let at_least = self.least_within(mean, variance, seconds);
                least = least.min(1.0 - at_most);
                most = most.max(1.0 - at_least);
            }
        }
        // A share of n calls is a whole number of n-ths.
        let least = (self.calls * (least - SLACK)).ceil().max(0.0);
        let most = (self.calls * (most + SLACK)).floor().min(self.calls);
        self.narrowed(least as u64, most.max(least) as u64, seconds)
    }

    /// Leaves out the numbers at either end that whole calls cannot have. The inequalities are
    /// reached by shares at two or three points, of which few calls may not be able to make up each.
    fn narrowed(&self, least: u64, most: u64, seconds: f64) -> (u64, u64) {
        let first = (least..most).take(TRIED).find(|above| self.allows(*above, seconds));
        let least = first.unwrap_or(least);
        let last = (least..=most).rev().take(TRIED).find(|above| self.allows(*above, seconds));
        (least, last.unwrap_or(most))
    }

    /// Returns true if some calls with these moments have so many above a threshold: if the variance
    /// lies between the smallest and the greatest that such calls can have.
    fn allows(&self, above: u64, seconds: f64) -> bool {
        let width = self.highest - self.lowest;
        let mean_error = self.means[1] - self.means[0];
        let slack = SLACK * width.powi(2) + 4.0 * width * mean_error;
        self.means.iter().any(|mean| {
            let range = self.variances_with(above as f64, *mean, seconds);
            range.is_some_and(|[smallest, greatest]| {
                smallest - slack <= self.variances[1] && self.variances[0] <= greatest + slack
            })
        })
    }

    /// The smallest and the greatest variance of calls of which so many lie from a threshold to the
    /// highest, and the others from the lowest to the threshold; `None` where they cannot have the
    /// mean. The calls below the threshold lack some time together, and those above have some more;
    /// the difference is given. The variance is smallest where both are as little as they can be, in
    /// equal parts, and greatest where both are as much as they can be, on as few calls as possible.
    fn variances_with(&self, above: f64, mean: f64, seconds: f64) -> Option<[f64; 2]> {
        let below = self.calls - above;
        let (down, up) = (seconds - self.lowest, self.highest - seconds);
        let apart = self.calls * (mean - seconds);
        let (little, much) = ((-apart).max(0.0), (below * down).min(above * up - apart));
        let width = self.highest - self.lowest;
        let slack = self.calls * (SLACK * width + self.means[1] - self.means[0]);
        let variance = |squares: f64| squares / self.calls - (mean - seconds).powi(2);
        (much + slack >= little).then(|| {
            let much = much.max(little);
            let more = |less: f64| (less + apart).max(0.0);
            let smallest = evenly(little, below) + evenly(more(little), above);
            let greatest = packed(much, down) + packed(more(much), up);
            [variance(smallest), variance(greatest)]
        })
    }

    /// The greatest share that can take up to so many seconds: the inequalities of Chebyshev,
    /// Markov and Stieltjes for two moments on a finite interval, reached by a distribution on two
    /// or three points (S. Karlin and W. J. Studden, "Tchebycheff Systems", 1966, chapter XII; for
    /// an infinite interval it is Cantelli's).
    fn most_within(&self, mean: f64, variance: f64, seconds: f64) -> f64 {
        let (lowest, highest) = (self.lowest, self.highest);
        if seconds >= highest {
            return 1.0;
        } else if seconds < lowest {
            return 0.0;
        }
        if seconds >= mean && (seconds - mean) * (mean - lowest) >= variance {
            // The calls can all be at the lowest and at one point up to the bound.
            1.0
        } else if seconds < mean && (mean - seconds) * (highest - mean) >= variance {
            // Some are at the bound, the others at one point above.
            share(variance, variance + (mean - seconds).powi(2))
        } else {
            // Some are at the bound, some at each end; as few as can be at the highest.
            let at_highest = variance + (mean - lowest) * (mean - seconds);
            1.0 - share(at_highest, (highest - lowest) * (highest - seconds))
        }
    }

    /// The smallest share that can take up to so many seconds: the same from the other end.
    fn least_within(&self, mean: f64, variance: f64, seconds: f64) -> f64 {
        let mirrored =
            Self { lowest: -self.highest, highest: -self.lowest, means: [0.0; 2], ..*self };
        1.0 - mirrored.most_within(-mean, variance, -seconds)
    }
}

/// The sum of squares of so many equal distances.
fn evenly(sum: f64, calls: f64) -> f64 {
    if calls > 0.0 { sum.powi(2) / calls } else { 0.0 }
}

/// The sum of squares of as few distances as possible, of which none is greater than this.
fn packed(sum: f64, greatest: f64) -> f64 {
    if greatest <= 0.0 {
        return 0.0;
    }
    let whole = (sum / greatest).floor();
    whole * greatest.powi(2) + (sum - whole * greatest).powi(2)
}

/// A part of a whole; all of it where there is no whole.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::moments::tests::kept;
    use super::*;

    fn bounds(calls: &[f64], at: usize) -> ShareBounds {
        let mut bounds = ShareBounds::default();
        let earlier = kept(&calls[..at]);
        let interval = kept(calls).since((at > 0).then_some(&earlier));
        let (extremes, rest) = interval.peeled();
        extremes.for_each(|seconds| bounds.add_known(seconds));
        bounds.add_rest(&rest);
        bounds
    }

    fn truth(calls: &[f64], bound: f64) -> u64 {
        calls.iter().filter(|seconds| **seconds > bound).count() as u64
    }

    #[test]
    fn two_calls_are_known() {
        let bounds = bounds(&[0.3, 0.04, 0.05, 0.12], 2);
        assert_eq!(bounds.above(0.1, 2), (1, 1));
        assert_eq!(bounds.above(0.2, 2), (0, 0));
        assert_eq!(bounds.above(0.001, 2), (2, 2));
    }

    #[test]
    fn calls_that_all_took_the_same_are_known() {
        let bounds = bounds(&[0.15; 500], 100);
        assert_eq!(bounds.above(0.1, 400), (400, 400));
        assert_eq!(bounds.above(0.2, 400), (0, 0));
    }

    #[test]
    fn between_two_bounds_the_wider_holds() {
        let bounds = bounds(&[0.12; 10], 0);
        assert_eq!(bounds.above(0.11, 10), (0, 10));
        assert_eq!(bounds.above(100.0, 10), (0, 0));
        assert_eq!(bounds.above(0.0001, 10), (10, 10));
    }

    #[test]
    fn a_few_slow_calls_among_many_fast_ones_cannot_be_many() {
        // One in a hundred takes half a second, the others two milliseconds.
        let calls: Vec<f64> = (0..2000)
            .map(|n| if n % 100 == 7 { 0.5 } else { 0.002 + 1e-6 * f64::from(n) })
            .collect();
        let (least, most) = bounds(&calls, 1000).above(0.2, 1000);
        assert!(least >= 9 && (10..=64).contains(&most), "{least} to {most}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn the_truth_lies_between_the_bounds(
            median in 1e-4..2.0_f64,
            sigma in 0.0..3.0_f64,
            draws in prop::collection::vec((-2.0..2.0_f64, 0.0..1.0_f64), 1..80),
            at in 0.0..1.0_f64,
            slow in 0.0..0.3_f64,
        ) {
            let duration = |(draw, chance): &(f64, f64)| {
                let seconds = median * (sigma * draw).exp();
                if *chance < slow { seconds + 0.5 } else { seconds }
            };
            let calls: Vec<f64> = draws.iter().map(duration).collect();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            let at = ((calls.len() - 1) as f64 * at) as usize;
            let bounds = bounds(&calls, at);
            for bound in BOUNDS {
                let (least, most) = bounds.above(*bound, (calls.len() - at) as u64);
                let truth = truth(&calls[at..], *bound);
                prop_assert!((least..=most).contains(&truth), "{} not in {}..={}", truth, least, most);
            }
        }

        /// Durations on a bound, or a hair from it, are where rounding would show.
        #[test]
        fn rounding_hides_no_call(
            picks in prop::collection::vec((0..17_usize, 0..3_usize, 1..200_usize), 1..6),
            before in 0..1000_usize,
        ) {
            let hair = [1.0 - 1e-12, 1.0, 1.0 + 1e-12];
            let mut calls = vec![0.0371; before];
            for (bound, nudge, times) in picks {
                calls.extend(std::iter::repeat_n(BOUNDS[bound] * hair[nudge], times));
            }
            let bounds = bounds(&calls, before);
            for bound in BOUNDS {
                let (least, most) = bounds.above(*bound, (calls.len() - before) as u64);
                let surely = truth(&calls[before..], bound * (1.0 + 1e-9));
                let perhaps = truth(&calls[before..], bound * (1.0 - 1e-9));
                prop_assert!(least <= perhaps && most >= surely, "{} {} {}", bound, least, most);
            }
        }
    }
}
