//! The distribution that calls are taken to have of which only the mean, the variance and the ends
//! are known. Found by simulating many; `docs/estimator.md` has the figures.

use super::Interval;
use super::beta::Fit;

/// Of fewer calls one is likely at an end, where the beta has it.
const FEW: u64 = 20;
/// The places in the interval where a slow hump is taken to be, the likeliest first; where the
/// variance is too large for it, it must be nearer to the end.
const SLOW: [f64; 5] = [0.8, 0.85, 0.9, 0.95, 0.98];
/// Its standard deviation, as a share of the interval, where that leaves room to the end.
const SLOW_SPREAD: f64 = 0.1;
/// The standard deviation of a fast hump, as a share of its mean's distance from the lowest.
const FAST_SPREAD: f64 = 0.6;
/// The furthest that a fast hump may reach, in such distances.
const FAST_REACH: f64 = 8.0;
/// Halvings until the share of the slow is known to 1e-15.
const HALVINGS: u32 = 50;
/// With so small an α nearly all calls are at the lowest, and those between it and the highest are
/// not many but spread evenly over each doubling: unlikely, unless β says that few are far out.
const NEARLY_ALL: f64 = 0.1;
const LONG_TAIL: f64 = 1.6;
/// The distance of α below 1 from which it is surely no slope but a hump with a tail.
const SURELY_TAILED: f64 = 2.0 / 3.0;
/// A beta distribution with a smaller α than this may be of two humps as well as of one with a
/// long tail.
const SURELY_ONE: f64 = 0.7;
/// The distance of both α and β below 1 from which there are surely two humps. Where either is just
/// below, it may be a slope or a plateau with a few calls more at its ends by chance.
const SURELY_TWO: f64 = 0.25;

/// Durations from a lowest to a highest, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// One hump, or a slope.
    Beta(Fit),
    /// One hump at the lowest with a tail: something of a beta, which rises without bound there,
    /// and something of a log-normal, which falls to nothing.
    Tailed {
        /// The beta.
        beta: Fit,
        /// The log-normal.
        other: LogNormal,
        /// Its share.
        share: f64,
    },
    /// Two humps, where the beta would be a U, with all calls at its very ends.
    Humps(Humps),
    /// Something of a beta that is nearly a U, and something of two humps.
    Dented {
        /// The beta.
        beta: Fit,
        /// The humps.
        humps: Humps,
        /// Their share.
        share: f64,
    },
}

/// A mixture of two humps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Humps {
    /// Most calls.
    fast: Fit,
    /// The others.
    slow: Fit,
    /// Their share.
    share: f64,
}

impl Shape {
    /// `None` when there is no spread, or the mean is not between the ends: then all lies at the
    /// mean.
    pub(super) fn new(calls: &Interval) -> Option<Self> {
        let (lowest, highest) = calls.ends();
        let beta = Fit::new(calls.mean(), calls.variance(), lowest, highest)?;
        if calls.calls < FEW {
            return Some(Self::Beta(beta));
        }
        Some(Self::like(beta, calls.mean(), calls.variance(), (lowest, highest)))
    }

    fn like(beta: Fit, mean: f64, variance: f64, (lowest, highest): (f64, f64)) -> Self {
        let (alpha, other) = beta.parameters();
        if alpha < 1.0 && other < 1.0 || alpha < NEARLY_ALL && other < LONG_TAIL {
            let Some(humps) = Humps::new(mean, variance, lowest, highest) else {
                return Self::Beta(beta);
            };
            let [left, right] = [alpha, other].map(|end| ((1.0 - end) / SURELY_TWO).min(1.0));
            let share = left * right;
            return if alpha < NEARLY_ALL || share >= 1.0 {
                Self::Humps(humps)
            } else {
                Self::Dented { beta, humps, share }
            };
        }
        let share = ((1.0 - alpha) / SURELY_TAILED).min(1.0) * (alpha / SURELY_ONE).min(1.0);
        let tail = LogNormal::new(mean, variance, lowest, highest).filter(|_| share > 0.0);
        tail.map_or(Self::Beta(beta), |other| Self::Tailed { beta, other, share })
    }

    /// The share of durations up to so many seconds.
    pub(super) fn below(&self, seconds: f64) -> f64 {
        match self {
            Self::Beta(beta) => beta.below(seconds),
            Self::Tailed { beta, other, share } => {
                (1.0 - share) * beta.below(seconds) + share * other.below(seconds)
            }
            Self::Humps(humps) => humps.below(seconds),
            Self::Dented { beta, humps, share } => {
                (1.0 - share) * beta.below(seconds) + share * humps.below(seconds)
            }
        }
    }
}

impl Humps {
    /// With the share p of the slow, whose mean u and spread are given, the fast have the mean
    /// l = (m − pu)/(1 − p), and both together the variance of the calls.
    fn new(mean: f64, variance: f64, lowest: f64, highest: f64) -> Option<Self> {
        let width = highest - lowest;
        SLOW.iter().find_map(|at| {
            let center = lowest + at * width;
            let deviation = width * SLOW_SPREAD.min((1.0 - at) / 2.0);
            let fast = |share: f64| (mean - share * center) / (1.0 - share);
            let spread = |share: f64| {
                let within = FAST_SPREAD * (fast(share) - lowest);
                let apart = center - fast(share);
                (1.0 - share) * within.powi(2)
                    + share * deviation.powi(2)
                    + share * (1.0 - share) * apart.powi(2)
            };
            let most = (1.0 - 1e-9) * (mean - lowest) / (center - lowest);
            if mean >= center || spread(most) < variance {
                return None;
            }
            let share = bisected(most, |share| spread(share) < variance);
            let distance = fast(share) - lowest;
            let reach = highest.min(lowest + FAST_REACH * distance);
            Some(Self {
                fast: Fit::new(fast(share), (FAST_SPREAD * distance).powi(2), lowest, reach)?,
                slow: Fit::new(center, deviation.powi(2), 2.0 * center - highest, highest)?,
                share,
            })
        })
    }

    fn below(&self, seconds: f64) -> f64 {
        (1.0 - self.share) * self.fast.below(seconds) + self.share * self.slow.below(seconds)
    }
}

/// The greatest share up to `most` of which it is true, that is true of all smaller ones.
fn bisected(most: f64, is_less: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if is_less(middle) { low = middle } else { high = middle }
    }
    high
}

/// A log-normal distribution cut off at two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LogNormal {
    center: f64,
    deviation: f64,
    /// The shares below the lowest and up to the highest.
    ends: (f64, f64),
}

impl LogNormal {
    /// By the mean and variance before it is cut off.
    fn new(mean: f64, variance: f64, lowest: f64, highest: f64) -> Option<Self> {
        let deviation = libm::log1p(variance / mean.powi(2)).sqrt();
        let center = libm::log(mean) - deviation.powi(2) / 2.0;
        let whole = Self { center, deviation, ends: (0.0, 1.0) };
        let ends = (whole.uncut(lowest), whole.uncut(highest));
        let fits = center.is_finite() && deviation > 0.0 && ends.1 - ends.0 > 0.1;
        fits.then_some(Self { ends, ..whole })
    }

    fn uncut(&self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            0.0
        } else {
            normal((libm::log(seconds) - self.center) / self.deviation)
        }
    }

    fn below(&self, seconds: f64) -> f64 {
        let (from, to) = self.ends;
        ((self.uncut(seconds) - from) / (to - from)).clamp(0.0, 1.0)
    }
}

/// The standard normal distribution.
fn normal(x: f64) -> f64 {
    libm::erfc(-x / std::f64::consts::SQRT_2) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(mean: f64, variance: f64, lowest: f64, highest: f64) -> Option<Shape> {
        let beta = Fit::new(mean, variance, lowest, highest)?;
        Some(Shape::like(beta, mean, variance, (lowest, highest)))
    }

    #[test]
    fn a_few_slow_calls_are_a_hump_of_their_own() {
        // 0.4 % between 1.1 and 1.4 s, the others between 2 and 9 ms.
        let shape = shape(0.0105, 0.0062, 0.002, 1.4).unwrap();
        assert!(matches!(shape, Shape::Humps(_)), "{shape:?}");
        for seconds in [0.05, 0.1, 0.2, 0.5] {
            let above = 1.0 - shape.below(seconds);
            assert!((above - 0.004).abs() < 0.002, "{above} above {seconds} s");
        }
        assert!((shape.below(0.009) - 0.95).abs() < 0.05);
    }

    #[test]
    fn an_exponential_is_one_hump_with_a_tail() {
        let shape = shape(0.04, 0.0016, 0.0, 0.3).unwrap();
        assert!(matches!(shape, Shape::Tailed { .. }), "{shape:?}");
        assert!((1.0 - shape.below(0.1) - 0.082).abs() < 0.005);
        assert!((shape.below(0.0277) - 0.5).abs() < 0.03);
    }

    #[test]
    fn a_plateau_is_one_whatever_chance_adds_to_its_ends() {
        for spread in [0.97, 1.0, 1.03, 1.06] {
            let shape = shape(0.1, 0.18_f64.powi(2) / 12.0 * spread, 0.01, 0.19).unwrap();
            for (seconds, share) in [(0.05, 0.222), (0.1, 0.5), (0.15, 0.778)] {
                let below = shape.below(seconds);
                assert!((below - share).abs() < 0.015, "{below} below {seconds} s: {shape:?}");
            }
        }
    }

    #[test]
    fn the_normal_distribution_is_as_in_the_tables() {
        for (x, share) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9), (9.0, 1.0)] {
            assert!((normal(x) - share).abs() < 1e-7, "{x}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_distribution_between_its_ends(
            lowest in 0.0..1.0_f64,
            width in 1e-6..1e3_f64,
            center in 0.0..1.0_f64,
            spread in 0.0..1.5_f64,
        ) {
            let (highest, mean) = (lowest + width, lowest + center * width);
            let variance = spread * (mean - lowest) * (highest - mean);
            let Some(shape) = shape(mean, variance, lowest, highest) else { return Ok(()) };
            prop_assert!(shape.below(lowest) < 1e-9 && shape.below(highest) > 1.0 - 1e-9);
            let shares = (0..=50).map(|step| shape.below(lowest + width * f64::from(step) / 50.0));
            let shares: Vec<f64> = shares.collect();
            let rises = |pair: &[f64]| pair[1] >= pair[0] - 1e-7 && (0.0..=1.0).contains(&pair[1]);
            prop_assert!(shares.windows(2).all(rises), "{:?} {:?}", shape, shares);
        }
    }
}
