//! The beta distribution stretched over an interval: with a mean, a spread and two ends it takes
//! the shape of one hump, of a slope or of a U.

/// The share of the greatest spread possible that is allowed: all of it would be two points.
const GREATEST_SPREAD: f64 = 0.999;
/// Terms of the continued fraction; some `√max(α, β)` are needed.
const MOST_TERMS: u32 = 10_000;
const SMALLEST: f64 = 1e-300;

/// A beta distribution over durations from `lowest` to `highest` seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    lowest: f64,
    highest: f64,
    alpha: f64,
    beta: f64,
    /// ln B(α, β).
    scale: f64,
}

impl Fit {
    /// By the method of moments: with μ and s the mean and the variance on \[0, 1\],
    /// k = μ(1 − μ)/s − 1, α = μk and β = (1 − μ)k. `None` when there is no spread, or the mean
    /// is not between the ends: then all lies at the mean.
    pub(super) fn new(mean: f64, variance: f64, lowest: f64, highest: f64) -> Option<Self> {
        let width = highest - lowest;
        let center = (mean - lowest) / width;
        let greatest = center * (1.0 - center);
        let spread = (variance / (width * width)).min(GREATEST_SPREAD * greatest);
        let weight = greatest / spread - 1.0;
        let (alpha, beta) = (center * weight, (1.0 - center) * weight);
        // False as well for what is not a number.
        let is_one = width > 0.0 && center > 0.0 && center < 1.0 && spread > 0.0;
        let fits = is_one && alpha.is_finite() && beta.is_finite();
        fits.then(|| Self { lowest, highest, alpha, beta, scale: ln_beta(alpha, beta) })
    }

    /// α and β: it rises without bound towards the lowest where α < 1, and towards the highest
    /// where β < 1.
    pub(super) fn parameters(&self) -> (f64, f64) {
        (self.alpha, self.beta)
    }

    /// The share of durations up to so many seconds.
    pub(super) fn below(&self, seconds: f64) -> f64 {
        if seconds <= self.lowest {
            return 0.0;
        }
        if seconds >= self.highest {
            return 1.0;
        }
        let x = (seconds - self.lowest) / (self.highest - self.lowest);
        regularized(self.alpha, self.beta, x, self.scale)
    }
}

/// The regularised incomplete beta function `I_x(α, β)`, by the continued fraction 8.17.22 of the
/// Digital Library of Mathematical Functions, on the side where it converges fast.
fn regularized(alpha: f64, beta: f64, x: f64, scale: f64) -> f64 {
    let front = libm::exp(alpha * libm::log(x) + beta * libm::log1p(-x) - scale);
    let share = if x < (alpha + 1.0) / (alpha + beta + 2.0) {
        front * fraction(alpha, beta, x) / alpha
    } else {
        1.0 - front * fraction(beta, alpha, 1.0 - x) / beta
    };
    share.clamp(0.0, 1.0)
}

/// The fraction by Lentz's method, a pair of terms at a time.
fn fraction(alpha: f64, beta: f64, x: f64) -> f64 {
    let (mut numerator, mut denominator) =
        (1.0, away_from_zero(1.0 - (alpha + beta) * x / (alpha + 1.0)).recip());
    let mut value = denominator;
    for term in 1..=MOST_TERMS {
        let m = f64::from(term);
        let even = m * (beta - m) * x / ((alpha + 2.0 * m - 1.0) * (alpha + 2.0 * m));
        let odd =
            -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2.0 * m) * (alpha + 2.0 * m + 1.0));
        let before = value;
        for coefficient in [even, odd] {
            denominator = away_from_zero(1.0 + coefficient * denominator).recip();
            numerator = away_from_zero(1.0 + coefficient / numerator);
            value *= numerator * denominator;
        }
        if (value - before).abs() <= 1e-15 * value.abs() {
            break;
        }
    }
    value
}

fn away_from_zero(value: f64) -> f64 {
    if value.abs() < SMALLEST { SMALLEST } else { value }
}

fn ln_beta(alpha: f64, beta: f64) -> f64 {
    libm::lgamma(alpha) + libm::lgamma(beta) - libm::lgamma(alpha + beta)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By mpmath 1.3.0 with 25 digits and more.
    const EXPECTED: [(f64, f64, f64, f64); 14] = [
        (0.5, 0.5, 0.1, 0.204_832_764_699_133_46),
        (0.5, 0.5, 0.9, 0.795_167_235_300_866_6),
        (2.0, 3.0, 0.4, 0.5248),
        (0.01, 0.02, 0.5, 0.666_719_461_041_272_2),
        (0.001, 5.0, 1e-6, 0.988_335_669_345_459_3),
        (1.0, 1.0, 0.3, 0.3),
        (5.0, 0.2, 0.99, 0.415_330_146_824_594_2),
        (100.0, 6e5, 0.0001, 1.489_671_098_161_095_7e-6),
        (100.0, 6e5, 0.0002, 0.972_260_213_683_670_6),
        (5e4, 5e4, 0.501, 0.736_455_061_702_958_6),
        (3.0, 40.0, 0.02, 0.051_549_540_392_376_18),
        (1e5, 3e5, 0.2505, 0.767_482_353_803_312_1),
        (0.05, 30.0, 0.2, 0.999_989_578_890_290_5),
        (2000.0, 0.01, 0.999, 0.000_496_318_275_951_736),
    ];

    #[test]
    fn the_incomplete_beta_function_is_right_to_nine_digits() {
        for (alpha, beta, x, expected) in EXPECTED {
            let found = regularized(alpha, beta, x, ln_beta(alpha, beta));
            assert!(
                (found - expected).abs() < 1e-9,
                "I_{x}({alpha}, {beta}) is {found}, not {expected}"
            );
        }
    }

    #[test]
    fn a_fit_has_the_mean_and_variance_it_was_given() {
        let fit = Fit::new(0.3, 0.01, 0.1, 0.9).unwrap();
        let steps = 20_000;
        let (mut mean, mut square, mut before) = (0.0, 0.0, 0.0);
        for step in 1..=steps {
            let at = |step| 0.1 + 0.8 * f64::from(step) / f64::from(steps);
            let below = fit.below(at(step));
            let middle = f64::midpoint(at(step), at(step - 1));
            mean += middle * (below - before);
            square += middle * middle * (below - before);
            before = below;
        }
        assert!((mean - 0.3).abs() < 1e-7 && (square - mean * mean - 0.01).abs() < 1e-7);
    }

    #[test]
    fn without_a_spread_there_is_no_fit() {
        assert_eq!(Fit::new(0.3, 0.0, 0.1, 0.9), None);
        assert_eq!(Fit::new(0.1, 0.01, 0.1, 0.9), None);
        assert_eq!(Fit::new(0.1, 0.01, 0.1, 0.1), None);
        assert_eq!(Fit::new(f64::NAN, 0.01, 0.1, 0.9), None);
    }
}
