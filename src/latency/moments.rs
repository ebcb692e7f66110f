//! The figures that a server keeps of one statement, and what two samples of them say of the time
//! between.

/// The figures that `pg_stat_statements` keeps of one statement. Durations are in seconds, times in
/// Unix seconds by the server's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// The number of calls that ended without an error.
    pub calls: u64,
    /// The total duration of all calls.
    pub total: f64,
    /// The duration of the shortest.
    pub shortest: f64,
    /// The duration of the longest.
    pub longest: f64,
    /// The standard deviation of all calls as a population: 0 for one.
    pub deviation: f64,
    /// The time at which counting began; from 1.11 on.
    pub since: Option<f64>,
    /// The time at which the shortest and the longest were last reset; from 1.11 on.
    pub extremes_since: Option<f64>,
}

/// The calls of one statement between two samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// The number of calls.
    pub calls: u64,
    /// Their total duration in seconds.
    pub sum: f64,
    /// The sum of their squared distances from their mean, in seconds squared.
    pub squares: f64,
    /// The shortest possible duration, in seconds.
    pub lowest: f64,
    /// The longest possible duration, in seconds.
    pub highest: f64,
    /// The durations of a new shortest and a new longest call, in seconds: each is one of them.
    pub extremes: [Option<f64>; 2],
    /// The most by which rounding may have moved the sum, in seconds.
    pub sum_error: f64,
    /// The most by which rounding may have moved the squares, in seconds squared.
    pub squares_error: f64,
}

/// The error of one operation on figures of double precision, as a share of its result, with
/// room for the few that a figure goes through.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

impl Moments {
    /// The calls since an earlier sample; without one, or when the statement was forgotten between
    /// (reset, or evicted and then added again), all calls.
    ///
    /// With c calls, total T and deviation d before (0) and now (1), n = c₁ − c₀ and the mean
    /// m = (T₁ − T₀)/n, the squares are d₁²c₁ − d₀²c₀ − (m − T₀/c₀)² c₀n/c₁: the parallel axis
    /// theorem, as in Chan, Golub and `LeVeque`, "Updating formulae and a pairwise algorithm for
    /// computing sample variances" (1979), solved for the second sample.
    pub fn since(&self, earlier: Option<&Self>) -> Interval {
        let none = Self::default();
        let before = earlier.filter(|before| self.continues(before)).unwrap_or(&none);
        let calls = self.calls - before.calls;
        let sum = (self.total - before.total).max(0.0);
        let (lowest, highest) = self.ends(before);
        let sum_error = self.rounding(self.total);
        Interval {
            calls,
            sum,
            squares: self.squares_since(before, calls, sum),
            lowest,
            highest,
            extremes: self.extremes_since_look(before),
            sum_error,
            squares_error: self.squares_error(before, calls, sum, sum_error),
        }
    }

    /// The most by which rounding may have moved a figure that the server adds up call by call:
    /// errors that are as often up as down grow with the root of their number.
    fn rounding(&self, figure: f64) -> f64 {
        ROUNDING * (self.calls as f64).sqrt().max(1.0) * figure
    }

    fn squares_error(&self, before: &Self, calls: u64, sum: f64, sum_error: f64) -> f64 {
        let squares = |moments: &Self| moments.deviation.powi(2) * moments.calls as f64;
        // The mean is kept with an error of its own, which the deviations are taken from.
        let mean = self.total / self.calls.max(1) as f64;
        let own = self.rounding(squares(self) + squares(before))
            + self.calls as f64 * (ROUNDING * mean).powi(2);
        if before.calls == 0 || calls == 0 {
            return own;
        }
        let (calls, then) = (calls as f64, before.calls as f64);
        let apart = (sum / calls - before.total / then).abs();
        let apart_error = sum_error / calls + sum_error / then;
        let weight = then * calls / self.calls as f64;
        own + weight * apart_error * (2.0 * apart + apart_error)
    }

    /// Returns true if these are the earlier calls and some more. Before 1.11 a reset is known only
    /// by a figure that went the wrong way.
    pub fn continues(&self, before: &Self) -> bool {
        let rounding = 1e-12 * before.total;
        let grown = self.calls >= before.calls && self.total >= before.total - rounding;
        let wider = self.longest >= before.longest && self.shortest <= before.shortest;
        let anew = self.extremes_since != before.extremes_since || before.is_without_extremes();
        self.since == before.since && grown && (wider || anew)
    }

    fn squares_since(&self, before: &Self, calls: u64, sum: f64) -> f64 {
        let (now, then) = (self.calls as f64, before.calls as f64);
        let squares = |moments: &Self| moments.deviation.powi(2) * moments.calls as f64;
        if before.calls == 0 || calls == 0 {
            return squares(self);
        }
        let calls = calls as f64;
        let apart = sum / calls - before.total / then;
        (squares(self) - squares(before) - apart.powi(2) * then * calls / now).max(0.0)
    }

    /// Extremes that are younger than the calls they are asked of say nothing of the others.
    fn ends(&self, before: &Self) -> (f64, f64) {
        let whole = match before.calls {
            0 => self.extremes_since == self.since,
            _ => self.extremes_since == before.extremes_since,
        };
        if whole && !self.is_without_extremes() {
            (self.shortest, self.longest)
        } else {
            (0.0, f64::INFINITY)
        }
    }

    fn extremes_since_look(&self, before: &Self) -> [Option<f64>; 2] {
        let same = before.calls > 0 && self.extremes_since == before.extremes_since;
        if self.is_without_extremes() {
            [None, None]
        } else if same && !before.is_without_extremes() {
            let shortest = (self.shortest < before.shortest).then_some(self.shortest);
            [shortest, (self.longest > before.longest).then_some(self.longest)]
        } else if self.shortest < self.longest {
            [Some(self.shortest), Some(self.longest)]
        } else {
            [Some(self.shortest), None]
        }
    }

    /// Nothing has run since they were forgotten, or they are none that calls can have.
    fn is_without_extremes(&self) -> bool {
        let is_forgotten = self.shortest == 0.0 && self.longest == 0.0;
        is_forgotten || !(0.0 <= self.shortest && self.shortest <= self.longest)
    }
}

/// More calls, and more seconds, than any server has in one interval.
const MOST_CALLS: u64 = 1 << 40;
const MOST_SECONDS: f64 = 1e15;

impl Interval {
    /// Returns true if calls can have such figures.
    pub fn is_possible(&self) -> bool {
        let are_figures = [self.sum, self.squares, self.sum_error, self.squares_error]
            .iter()
            .all(|figure| (0.0..=MOST_SECONDS.powi(2)).contains(figure));
        are_figures
            && self.calls <= MOST_CALLS
            && self.sum <= MOST_SECONDS
            && self.lowest <= self.highest
            && self.extremes.iter().flatten().all(|seconds| (0.0..=MOST_SECONDS).contains(seconds))
    }

    /// The mean in seconds, within the ends.
    pub fn mean(&self) -> f64 {
        (self.sum / self.calls as f64).max(self.lowest).min(self.highest)
    }

    /// The variance of the calls as a population, in seconds squared.
    pub fn variance(&self) -> f64 {
        self.squares / self.calls as f64
    }

    /// The extremes that are known for one call each, and the interval without them.
    pub fn peeled(&self) -> (impl Iterator<Item = f64>, Self) {
        let mut rest = self.clone();
        let mut extremes = [None, None];
        for (found, extreme) in extremes.iter_mut().zip(self.extremes) {
            // The last one is known by the sum.
            if let Some(seconds) = extreme.filter(|_| rest.calls > 1) {
                rest.take_out(seconds);
                *found = Some(seconds);
            }
        }
        (extremes.into_iter().flatten(), rest)
    }

    fn take_out(&mut self, seconds: f64) {
        let calls = (self.calls - 1) as f64;
        let sum = (self.sum - seconds).max(0.0);
        let apart = seconds - sum / calls;
        self.squares = (self.squares - apart.powi(2) * calls / (calls + 1.0)).max(0.0);
        self.sum = sum;
        self.calls -= 1;
    }

    /// The ends, drawn in to where any of n calls can lie at most: √(n − 1) standard deviations
    /// from their mean (P. A. Samuelson, "How deviant can you be?", 1968).
    pub fn ends(&self) -> (f64, f64) {
        let reach = (self.variance() * (self.calls.saturating_sub(1)) as f64).sqrt();
        let mean = self.mean();
        (self.lowest.max(mean - reach), self.highest.min(mean + reach))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the server keeps them: Welford's sums, call by call.
    pub(in crate::latency) fn kept(calls: &[f64]) -> Moments {
        let (mut moments, mut mean, mut squares) = (Moments::default(), 0.0, 0.0);
        for seconds in calls {
            let apart = seconds - mean;
            moments.calls += 1;
            moments.total += seconds;
            mean += apart / moments.calls as f64;
            squares += apart * (seconds - mean);
            moments.deviation = (squares / moments.calls as f64).sqrt();
            let first = moments.calls == 1;
            moments.shortest = if first { *seconds } else { moments.shortest.min(*seconds) };
            moments.longest = moments.longest.max(*seconds);
        }
        moments
    }

    fn between(calls: &[f64], at: usize) -> Interval {
        kept(calls).since(Some(&kept(&calls[..at])))
    }

    #[test]
    fn new_extremes_are_known_and_taken_out() {
        let interval = between(&[0.02, 0.03, 0.01, 0.05, 0.02, 0.03, 0.025], 2);
        assert_eq!(interval.extremes, [Some(0.01), Some(0.05)]);
        let (extremes, rest) = interval.peeled();
        assert_eq!(extremes.collect::<Vec<_>>(), [0.01, 0.05]);
        assert_eq!(rest.calls, 3);
        assert!((rest.mean() - 0.025).abs() < 1e-12);
        assert!((rest.variance() - 5e-5 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_statement_that_was_forgotten_is_counted_from_nothing() {
        let before = kept(&[0.2, 0.3, 0.4]);
        assert_eq!(kept(&[0.3]).since(Some(&before)).calls, 1, "fewer calls");
        assert_eq!(kept(&[0.3; 3]).since(Some(&before)).calls, 3, "extremes drew in");
        let young = |calls: &[f64], since| Moments { since: Some(since), ..kept(calls) };
        let again = young(&[0.2, 0.3, 0.4, 0.4], 7.0).since(Some(&young(&[0.2, 0.3], 5.0)));
        assert_eq!((again.calls, again.sum), (4, 1.3));
        assert_eq!(kept(&[0.3]).since(None).calls, 1, "it is new in the sample");
        assert_eq!(before.since(Some(&before)).calls, 0, "nothing has run");
    }

    #[test]
    fn forgotten_extremes_bind_nobody_but_those_since() {
        let aged = |calls: &[f64], extremes: &[f64], since| Moments {
            since: Some(1.0),
            extremes_since: Some(since),
            shortest: kept(extremes).shortest,
            longest: kept(extremes).longest,
            ..kept(calls)
        };
        let before = aged(&[0.1, 0.2], &[0.1, 0.2], 1.0);
        let all = [0.1, 0.2, 9.0, 0.15, 0.16];
        let interval = aged(&all, &all[3..], 2.0).since(Some(&before));
        assert_eq!((interval.calls, interval.lowest), (3, 0.0));
        assert_eq!(interval.extremes, [Some(0.15), Some(0.16)]);
        let (_, rest) = interval.peeled();
        assert!((rest.mean() - 9.0).abs() < 1e-9);
        let quiet = aged(&all[..3], &[], 2.0).since(Some(&before));
        assert_eq!((quiet.calls, quiet.extremes), (1, [None, None]));
        let next = aged(&all, &all[3..], 2.0).since(Some(&aged(&all[..3], &[], 2.0)));
        assert_eq!((next.lowest, next.extremes), (0.15, [Some(0.15), Some(0.16)]));
    }

    proptest! {
        #[test]
        fn the_moments_of_an_interval_are_those_of_its_calls(
            calls in prop::collection::vec(1e-5..60.0_f64, 2..60),
            at in 0.0..1.0_f64,
        ) {
            let at = ((calls.len() - 1) as f64 * at).round();
            let at = (0..calls.len()).find(|index| *index as f64 >= at).unwrap_or(0);
            let interval = between(&calls, at);
            let (alone, rest) = (kept(&calls[at..]), calls.len() - at);
            prop_assert_eq!(interval.calls, rest as u64);
            prop_assert!((interval.mean() - alone.total / rest as f64).abs() < 1e-9);
            prop_assert!((interval.variance() - alone.deviation.powi(2)).abs() < 1e-7);
            let (lowest, highest) = interval.ends();
            let within = |seconds: &f64| (lowest - 1e-6..=highest + 1e-6).contains(seconds);
            prop_assert!(calls[at..].iter().all(within));
        }
    }
}
