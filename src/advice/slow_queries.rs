//! Statements that run for longer than a second, and which they are.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::latency::Histogram;
use crate::state::{DatabaseState, PoolState};

const WITHIN: Duration = Duration::from_mins(1);

const REMEDY: &str = "EXPLAIN (ANALYZE, BUFFERS) the statement; look for a missing index, a lock \
                      it waits for, or more rows than are needed; a statement_timeout bounds the \
                      harm";

/// By the threshold `thresholds.slow_query`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SlowQueries {
    enabled: bool,
    /// Slow statements in the last minute that a pool's application saw.
    min_samples: u64,
    /// Samples in the last minute, one a second, in which the server was running one.
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

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        let threshold = context.thresholds.slow_query.as_secs_f64();
        let pools = context.pools.iter().filter_map(|pool| {
            let own = context.thresholds.of_pool(&pool.pool.name);
            self.judge_pool(pool, context, recent, own.slow_query.as_secs_f64())
        });
        let servers = context.databases.iter().filter_map(|server| {
            let named = named_of_server(&server.name, context, recent, threshold);
            self.judge_server(server, recent, threshold, named)
        });
        pools.chain(servers).collect()
    }
}

impl SlowQueries {
    fn judge_pool(
        &self,
        state: &PoolState,
        context: &RuleContext<'_>,
        recent: &Recent,
        threshold: f64,
    ) -> Option<Advice> {
        let queries = recent.queries(state, WITHIN)?;
        let slow = above(&queries, threshold);
        if slow < self.min_samples {
            return None;
        }
        let all = queries.count();
        let share = 100.0 * slow as f64 / all as f64;
        let named = named_of_pool(state, context, recent, threshold);
        let message = format!(
            "{slow} of {all} queries ({share:.1} %) in the last minute took longer than {threshold} s{}",
            named.map(|named| format!(": {named}")).unwrap_or_default()
        );
        Some(Advice::new(Severity::Warning, &state.pool.name, message, REMEDY))
    }

    /// Judges the samples of the server's sessions; a backup or the building of an index is seen
    /// too.
    fn judge_server(
        &self,
        database: &DatabaseState,
        recent: &Recent,
        threshold: f64,
        named: Option<String>,
    ) -> Option<Advice> {
        let steps = recent.server(&database.name)?;
        let samples = steps.last()?.slow_samples - steps.before(WITHIN)?.slow_samples;
        if samples < self.min_slow_samples {
            return None;
        }
        let oldest = database.sessions.as_ref().and_then(|s| s.oldest_statement_seconds);
        let now = oldest.map(|oldest| format!("; the oldest runs for {oldest:.1} s now"));
        let message = format!(
            "statements longer than {threshold} s were running in {samples} samples of the last minute{}{}",
            now.unwrap_or_default(),
            named.map(|named| format!(": {named}")).unwrap_or_default()
        );
        Some(Advice::new(Severity::Info, &database.name, message, REMEDY))
    }
}

/// A slow statement of a pool: one that its client saw running or, where there is a single server,
/// one of that server.
fn named_of_pool(
    state: &PoolState,
    context: &RuleContext<'_>,
    recent: &Recent,
    threshold: f64,
) -> Option<String> {
    let by_client = recent.slow_of_pool(&state.pool.name, WITHIN).map(ToString::to_string);
    by_client.or_else(|| match context.databases {
        [only] => named_of_server(&only.name, context, recent, threshold),
        _ => None,
    })
}

/// A slow statement of a server: one that a session was running or, where `pg_stat_statements` counts,
/// the one that took most time of those that are slow on average.
fn named_of_server(
    server: &str,
    context: &RuleContext<'_>,
    recent: &Recent,
    threshold: f64,
) -> Option<String> {
    let running = recent.slow_of_server(server, WITHIN).map(ToString::to_string);
    running.or_else(|| {
        let steps = context.statements(server).filter_map(|one| Some((one, one.steps.last()?)));
        let slow = steps.filter(|(_, step)| step.calls > 0 && step.mean() >= threshold);
        let (statement, step) = slow.max_by(|(_, a), (_, b)| a.seconds.total_cmp(&b.seconds))?;
        let (brief, id) = (statement.text.brief(), statement.query_id);
        Some(format!("`{brief}` takes {:.1} s on average (queryid {id})", step.mean()))
    })
}

/// The number in buckets wholly above a threshold.
fn above(histogram: &Histogram, threshold: f64) -> u64 {
    let below = histogram.bounds().partition_point(|bound| *bound < threshold) + 1;
    histogram.counts().iter().skip(below).fold(0, |all, count| all.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{
        Blocker, Conditions, Hold, Sessions, Statement, StatementStats, Top, WorkerHold,
    };
    use crate::statement::Text;

    /// Five slow statements of a pool.
    fn slow_pool() -> Fixture {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.queries(50, 0.01);
        fixture.advance(60);
        fixture.queries(5, 1.5);
        fixture
    }

    #[test]
    fn slow_queries_of_the_last_minute_are_counted() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.queries(50, 3.0);
        fixture.advance(60);
        fixture.queries(95, 0.01);
        fixture.queries(5, 1.5);
        let message = fixture.message(&SlowQueries::default());
        assert!(message.starts_with("5 of 100 queries (5.0 %)"), "{message}");
    }

    #[test]
    fn one_slow_query_or_one_of_just_a_second_is_nothing() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.queries(1, 0.1);
        fixture.advance(60);
        fixture.queries(50, 1.0);
        fixture.queries(2, 9.0);
        assert_eq!(fixture.judge(&SlowQueries::default()), []);
    }

    #[test]
    fn the_server_is_seen_running_them_where_no_client_reports() {
        let sessions = Sessions { oldest_statement_seconds: Some(4.2), ..Sessions::default() };
        let mut fixture = Fixture::with_sessions(sessions);
        fixture.advance(4);
        assert_eq!(fixture.judge(&SlowQueries::default()), [], "once is no habit");
        fixture.advance(15);
        let message = fixture.message(&SlowQueries::default());
        assert!(message.contains("the oldest runs for 4.2 s"), "{message}");
    }

    #[test]
    fn the_statement_is_named_that_the_client_saw_running() {
        let mut fixture = slow_pool();
        let hold = |running: Option<f64>, sql: &str| WorkerHold {
            hold: Hold {
                age: 40.0,
                active: Some(running.is_some()),
                running,
                sql: Some(sql.into()),
                location: Some("app/reports.py:7".into()),
                ..Hold::default()
            },
            ..WorkerHold::default()
        };
        let holds = vec![
            hold(None, "SELECT ?"),
            hold(Some(0.01), "SELECT n FROM orders"),
            hold(Some(1.4), "SELECT pg_sleep(?)"),
        ];
        fixture.pools[0].pool.holders.holds = holds;
        fixture.advance(1);
        fixture.pools[0].pool.holders.holds.clear();
        let message = fixture.message(&SlowQueries::default());
        let named = ": `SELECT pg_sleep(?)` was running on a connection taken at app/reports.py:7";
        assert!(message.ends_with(named), "{message}");
    }

    #[test]
    fn the_statement_of_the_only_server_is_named_where_the_client_names_none() {
        let mut fixture = slow_pool();
        fixture.databases = Fixture::with_sessions(Sessions::default()).databases;
        let text = Text::read("SELECT * FROM reports WHERE year = $1", 500).into();
        let stats = StatementStats { calls: 4, seconds: 8.0, ..StatementStats::default() };
        let statement = Statement { text, query_id: 7, steps: vec![stats], ..Statement::default() };
        fixture.databases[0].top =
            Some(Top { statements: vec![statement], ..Top::default() }.into());
        let message = fixture.message(&SlowQueries::default());
        let named = ": `SELECT * FROM reports WHERE year = $1` takes 2.0 s on average (queryid 7)";
        assert!(message.ends_with(named), "{message}");
        let session = |pid, seconds, statement: &str| Blocker {
            pid,
            application: "reporting".into(),
            state_seconds: Some(seconds),
            statement: statement.into(),
            ..Blocker::default()
        };
        let running = vec![session(5, 0.4, "SELECT ?"), session(6, 4.0, "SELECT year")];
        fixture.databases[0].conditions =
            Some(Conditions { running, ..Conditions::default() }.into());
        let message = fixture.message(&SlowQueries::default());
        let named = ": `SELECT year` was running in the session 6 (application reporting)";
        assert!(message.ends_with(named), "{message}");
    }
}
