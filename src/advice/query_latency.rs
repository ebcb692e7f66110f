//! Statements that take longer than they should, as the application sees them.

use std::time::Duration;

use serde::Deserialize;

use super::history::History;
use super::{Advice, Known, Rule, Severity, say};
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

    fn judge(&self, known: &Known<'_>, past: &History) -> Vec<Advice> {
        let marks = known.thresholds;
        known.pools.iter().filter_map(|pool| self.judge_pool(pool, past, marks)).collect()
    }
}

impl QueryLatency {
    fn judge_pool(&self, state: &PoolState, past: &History, marks: &Thresholds) -> Option<Advice> {
        let queries = past.queries(state, WITHIN)?;
        let p95 = queries.quantile(0.95).filter(|_| queries.count() >= self.min_samples)?;
        let (severity, mark) = passed(|threshold| p95 > threshold, marks)?;
        let message = format!(
            "95 % of {} queries in the last minute took up to {:.0} ms; {mark}",
            queries.count(),
            1000.0 * p95,
        );
        let remedy = "see which statements take the time (pg_stat_statements), whether their \
                      indexes are there (`poolwatch indexes`), and whether the server is busy";
        Some(say(severity, &state.pool.name, message, remedy))
    }
}

/// The graver of the two thresholds, in seconds, that something is above, in words.
pub(super) fn passed(
    is_above: impl Fn(f64) -> bool,
    marks: &Thresholds,
) -> Option<(Severity, String)> {
    let (severity, name, mark) = if is_above(marks.scale_at.as_secs_f64()) {
        (Severity::Warning, "mark for scaling", marks.scale_at)
    } else if is_above(marks.query_target.as_secs_f64()) {
        (Severity::Info, "target", marks.query_target)
    } else {
        return None;
    };
    Some((severity, format!("the {name} is {} ms", mark.as_millis())))
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    fn after_a_minute(count: u64, seconds: f64) -> Vec<Advice> {
        let mut scene = Scene::of(&[1]);
        scene.queries(10_000, 0.001);
        scene.pass(60);
        scene.queries(count, seconds);
        scene.ask(&QueryLatency::default())
    }

    #[test]
    fn the_marks_are_the_target_and_the_one_for_scaling() {
        let severity = |seconds| after_a_minute(200, seconds)[0].severity;
        assert_eq!([severity(0.14), severity(0.6)], [Severity::Info, Severity::Warning]);
        assert_eq!(after_a_minute(200, 0.06), []);
    }

    #[test]
    fn a_few_queries_say_nothing() {
        assert_eq!(after_a_minute(20, 5.0), []);
    }
}
