//! Statements that run for longer than a second.

use std::time::Duration;

use serde::Deserialize;

use super::history::History;
use super::{Advice, Known, Rule, Severity, say};
use crate::latency::Histogram;
use crate::state::{DatabaseState, PoolState};

const WITHIN: Duration = Duration::from_mins(1);

const REMEDY: &str = "EXPLAIN (ANALYZE, BUFFERS) the statement; look for a missing index, a lock \
                      it waits for, or more rows than are needed; a statement_timeout bounds the \
                      harm";

/// By the mark `thresholds.slow_query`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SlowQueries {
    enabled: bool,
    /// Slow statements in the last minute that a pool's application saw.
    min_samples: u64,
    /// Looks in the last minute, one a second, at which the server was seen running one.
    min_slow_samples: u64,
}

impl Default for SlowQueries {
    fn default() -> Self {
        Self { enabled: true, min_samples: 3, min_slow_samples: 10 }
    }
}

impl Rule for SlowQueries {
    fn name(&self) -> &'static str {
        "slow_queries"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, known: &Known<'_>, past: &History) -> Vec<Advice> {
        let mark = known.thresholds.slow_query.as_secs_f64();
        let pools = known.pools.iter().filter_map(|pool| self.judge_pool(pool, past, mark));
        let servers = known.databases.iter().filter_map(|d| self.judge_server(d, past, mark));
        pools.chain(servers).collect()
    }
}

impl SlowQueries {
    fn judge_pool(&self, state: &PoolState, past: &History, mark: f64) -> Option<Advice> {
        let queries = past.queries(state, WITHIN)?;
        let slow = above(&queries, mark);
        if slow < self.min_samples {
            return None;
        }
        let all = queries.count();
        let share = 100.0 * slow as f64 / all as f64;
        let message = format!(
            "{slow} of {all} queries ({share:.1} %) in the last minute took longer than {mark} s"
        );
        Some(say(Severity::Warning, &state.pool.name, message, REMEDY))
    }

    /// What the server was seen doing; a backup or the building of an index is seen too.
    fn judge_server(&self, database: &DatabaseState, past: &History, mark: f64) -> Option<Advice> {
        let looks = past.server(&database.name)?;
        let looks = looks.last()?.slow_looks - looks.before(WITHIN)?.slow_looks;
        if looks < self.min_slow_samples {
            return None;
        }
        let oldest = database.sessions.as_ref().and_then(|s| s.oldest_statement_seconds);
        let now = oldest.map(|oldest| format!("; the oldest runs for {oldest:.1} s now"));
        let message = format!(
            "statements longer than {mark} s were running at {looks} looks in the last minute{}",
            now.unwrap_or_default()
        );
        Some(say(Severity::Info, &database.name, message, REMEDY))
    }
}

/// How many lie in buckets wholly above a mark.
fn above(histogram: &Histogram, mark: f64) -> u64 {
    let below = histogram.bounds().partition_point(|bound| *bound < mark) + 1;
    histogram.counts().iter().skip(below).fold(0, |all, count| all.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::reading::Sessions;

    #[test]
    fn slow_queries_of_the_last_minute_are_counted() {
        let mut scene = Scene::of(&[1]);
        scene.queries(50, 3.0);
        scene.pass(60);
        scene.queries(95, 0.01);
        scene.queries(5, 1.5);
        let message = scene.message(&SlowQueries::default());
        assert!(message.starts_with("5 of 100 queries (5.0 %)"), "{message}");
    }

    #[test]
    fn one_slow_query_or_one_of_just_a_second_is_nothing() {
        let mut scene = Scene::of(&[1]);
        scene.queries(1, 0.1);
        scene.pass(60);
        scene.queries(50, 1.0);
        scene.queries(2, 9.0);
        assert_eq!(scene.ask(&SlowQueries::default()), []);
    }

    #[test]
    fn the_server_is_seen_running_them_where_no_client_reports() {
        let sessions = Sessions { oldest_statement_seconds: Some(4.2), ..Sessions::default() };
        let mut scene = Scene::with_sessions(sessions);
        scene.pass(4);
        assert_eq!(scene.ask(&SlowQueries::default()), [], "once is no habit");
        scene.pass(15);
        let message = scene.message(&SlowQueries::default());
        assert!(message.contains("the oldest runs for 4.2 s"), "{message}");
    }
}
