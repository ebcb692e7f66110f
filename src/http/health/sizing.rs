//! The size that each worker's pool needs.

use serde::Serialize;

use super::{percent, rounded, seconds};
use crate::sizing::{Sizing, TARGET};

/// The smallest pool that serves what was seen, and what that follows from.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct SizingBody {
    /// With so many connections in each worker at most one checkout in a hundred waits longer than
    /// `target_seconds`.
    pub(in crate::http) pool_size: u64,
    /// With so many more the highest peak that was seen would have had a connection for each.
    pub(in crate::http) max_overflow: u64,
    target_seconds: f64,
    /// The share of the checkouts that would wait longer than `target_seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_percent: Option<f64>,
    /// The same with one connection less.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_percent_with_one_less: Option<f64>,
    /// The share that did wait longer, with the present size.
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_percent: Option<f64>,
    /// The share of the seconds in which more were taken than the pool keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    above_size_percent: Option<f64>,
    /// The time in which this was seen: that with workers that reported.
    pub(in crate::http) observed_seconds: f64,
    /// The time from the first reading of it to the last, at most a week.
    pub(in crate::http) observed_within_seconds: f64,
    /// True where the busiest hour needs a larger pool than all of that time together. Then
    /// `checkouts_per_second`, `hold_seconds`, `in_use` and the shares are those of that hour.
    pub(in crate::http) of_busiest_hour: bool,
    /// In all workers.
    checkouts: u64,
    /// In each worker, on average.
    pub(in crate::http) checkouts_per_second: f64,
    /// On average.
    pub(in crate::http) hold_seconds: f64,
    /// Connections in use in each worker, on average: the product of the two.
    pub(in crate::http) in_use: f64,
    /// The most that were in use or waited for at once in one worker.
    pub(in crate::http) in_use_peak: u64,
}

impl From<&Sizing> for SizingBody {
    fn from(sizing: &Sizing) -> Self {
        Self {
            pool_size: sizing.size,
            max_overflow: sizing.overflow(),
            target_seconds: seconds(TARGET),
            late_percent: percent(Some(sizing.late)),
            late_percent_with_one_less: percent(Some(sizing.late_with_less)),
            waited_percent: percent(Some(sizing.waited)),
            above_size_percent: percent(Some(sizing.above_size)),
            observed_seconds: seconds(sizing.observed),
            observed_within_seconds: seconds(sizing.span),
            of_busiest_hour: sizing.is_of_busiest_hour,
            checkouts: sizing.checkouts,
            checkouts_per_second: rounded(sizing.rate, 1000.0),
            hold_seconds: rounded(sizing.hold, 1e6),
            in_use: rounded(sizing.load(), 100.0),
            in_use_peak: sizing.peak,
        }
    }
}
