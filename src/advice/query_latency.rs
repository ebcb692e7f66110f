//! Statements that take longer than they should, as the application sees them.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::{PoolState, Thresholds};

const WITHIN: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QueryLatency {
    enabled: bool,
    /// Statements in the last minute, below which a percentile says little.
    min_samples: u64,
}

impl Default for QueryLatency {
    fn default() -> Self {
        Self { enabled: true, min_samples: 100 }
    }
}

impl Rule for QueryLatency {
    fn name(&self) -> &'static str {
        "query_latency"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        let thresholds = context.thresholds;
        context.pools.iter().filter_map(|pool| self.judge_pool(pool, recent, thresholds)).collect()
    }
}

impl QueryLatency {
    fn judge_pool(
        &self,
        state: &PoolState,
        recent: &Recent,
        thresholds: &Thresholds,
    ) -> Option<Advice> {
        let queries = recent.queries(state, WITHIN)?;
        let p95 = queries.quantile(0.95).filter(|_| queries.count() >= self.min_samples)?;
        let exceeded = Exceeded::find(|threshold| p95 > threshold.as_secs_f64(), thresholds)?;
        let message = format!(
            "95 % of {} queries in the last minute took up to {:.0} ms; {exceeded}",
            queries.count(),
            1000.0 * p95,
        );
        let remedy = "see which statements take the time (pg_stat_statements), whether their \
                      indexes are there (`poolwatch indexes`), and whether the server is busy";
        Some(Advice::new(exceeded.severity, &state.pool.name, message, remedy))
    }
}

/// A threshold that a latency exceeds.
pub(super) struct Exceeded {
    pub(super) severity: Severity,
    name: &'static str,
    pub(super) threshold: Duration,
}

impl Exceeded {
    /// The graver of the two thresholds that are exceeded.
    pub(super) fn find(
        is_above: impl Fn(Duration) -> bool,
        thresholds: &Thresholds,
    ) -> Option<Self> {
        let (severity, name, threshold) = if is_above(thresholds.scale_at) {
            (Severity::Warning, "threshold for scaling", thresholds.scale_at)
        } else if is_above(thresholds.query_target) {
            (Severity::Info, "target", thresholds.query_target)
        } else {
            return None;
        };
        Some(Self { severity, name, threshold })
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} is {} ms", self.name, self.threshold.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    fn after_a_minute(count: u64, seconds: f64) -> Vec<Advice> {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.queries(10_000, 0.001);
        fixture.advance(60);
        fixture.queries(count, seconds);
        fixture.judge(&QueryLatency::default())
    }

    #[test]
    fn the_thresholds_are_the_target_and_the_one_for_scaling() {
        let severity = |seconds| after_a_minute(200, seconds)[0].severity;
        assert_eq!([severity(0.14), severity(0.6)], [Severity::Info, Severity::Warning]);
        assert_eq!(after_a_minute(200, 0.06), []);
    }

    #[test]
    fn a_few_queries_say_nothing() {
        assert_eq!(after_a_minute(20, 5.0), []);
    }
}
