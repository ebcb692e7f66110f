//! Statements that take longer than they should inside the server, where no client measures them.

use std::time::Duration;

use serde::Deserialize;

use super::query_latency::Exceeded;
use super::recent::Recent;
use super::{Advice, Rule, RuleContext};
use crate::reading::StatementTimes;
use crate::state::DatabaseState;

/// A latency is high when more than this share of statements is slower than it should be.
const SLOW_SHARE: f64 = 0.05;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StatementLatency {
    enabled: bool,
    /// Statements in the last five minutes, below which a percentile says little.
    min_samples: u64,
}

impl Default for StatementLatency {
    fn default() -> Self {
        Self { enabled: true, min_samples: 100 }
    }
}

/// The latency of the statements of one database in the last five minutes.
struct DatabaseLatency<'a> {
    database: &'a str,
    count: u64,
    figure: LatencyFigure<'a>,
}

/// A latency, by the source of its figures.
enum LatencyFigure<'a> {
    /// The 95th percentile in seconds, by the log.
    Logged(f64),
    /// Within bounds, by what the server keeps of each statement, and by a log of the slow ones.
    Bounded(&'a StatementTimes),
}

impl LatencyFigure<'_> {
    /// Returns true if more than one statement in twenty surely took longer.
    fn is_above(&self, threshold: Duration) -> bool {
        match self {
            Self::Logged(p95) => *p95 > threshold.as_secs_f64(),
            Self::Bounded(times) => least_above(times, threshold) > SLOW_SHARE,
        }
    }

    fn describe(&self, count: u64, threshold: Duration) -> String {
        match self {
            Self::Logged(p95) => format!(
                "95 % of {count} statements in the last five minutes took up to {:.0} ms inside \
                 the server, by its log",
                1000.0 * p95,
            ),
            Self::Bounded(times) => format!(
                "at least {:.0} % of {count} statements in the last five minutes took longer than \
                 {} ms inside the server, by {}",
                100.0 * least_above(times, threshold),
                threshold.as_millis(),
                match times.logged_share(threshold.as_secs_f64()) {
                    Some(_) => "its log",
                    None => "the figures of pg_stat_statements",
                },
            ),
        }
    }
}

/// The least share of statements that can have taken longer.
fn least_above(times: &StatementTimes, threshold: Duration) -> f64 {
    times.share_bounds(threshold.as_secs_f64()).map_or(0.0, |(least, _)| least)
}

impl Rule for StatementLatency {
    fn name(&self) -> &'static str {
        "statement_latency"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Nothing where a client measures what the application feels.
    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        if context.pools.iter().any(|pool| pool.pool.timings.query.is_some()) {
            return Vec::new();
        }
        let of_server = |server| {
            let latencies = latencies(server).into_iter();
            let counted = latencies.filter(|latency| latency.count >= self.min_samples);
            counted.filter_map(move |latency| judge(context, &server.name, &latency))
        };
        context.databases.iter().flat_map(of_server).collect()
    }
}

/// By the log, where each statement is in it, and not a sample of them; else within the bounds that the server's figures
/// allow.
fn latencies(server: &DatabaseState) -> Vec<DatabaseLatency<'_>> {
    let whole = || server.logged.iter().filter(|logged| logged.complete_from == Some(0.0));
    let logged = whole().filter_map(|logged| {
        let (count, p95) = (logged.recent.count(), logged.recent.quantile(0.95)?);
        Some(DatabaseLatency {
            database: &logged.database,
            count,
            figure: LatencyFigure::Logged(p95),
        })
    });
    // A log may not say of which database, but it has the statements of all.
    let unlogged = server.statements.iter().filter(|_| whole().next().is_none());
    let bounded = unlogged.map(|times| DatabaseLatency {
        database: &times.database,
        count: times.recent.calls(),
        figure: LatencyFigure::Bounded(times),
    });
    logged.chain(bounded).collect()
}

fn judge(context: &RuleContext<'_>, server: &str, latency: &DatabaseLatency<'_>) -> Option<Advice> {
    let is_above = |threshold| latency.figure.is_above(threshold);
    let exceeded = Exceeded::find(is_above, context.thresholds)?;
    let described = latency.figure.describe(latency.count, exceeded.threshold);
    let message = format!("{described}; {exceeded}");
    let remedy = "see which statements take the time (`poolwatch check`, top_statements in \
                  /health/detailed), whether their indexes are there (`poolwatch indexes`), and \
                  whether the server is busy";
    let subject = match latency.database {
        "" => server.to_owned(),
        database => context.within(server, database),
    };
    Some(Advice::new(exceeded.severity, subject, message, remedy))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::fixture::Fixture;
    use super::*;
    use crate::latency::{BOUNDS, Estimate, Histogram, Interval};
    use crate::reading::{LoggedCalls, LoggedTimes, Sessions};

    fn estimated(calls: u64, seconds: f64) -> StatementTimes {
        let mut recent = Estimate::default();
        for _ in 0..calls {
            let one = Interval { calls: 1, sum: seconds, highest: 10.0, ..Interval::default() };
            recent.add(&one);
        }
        StatementTimes { database: "app".into(), recent, logged: None }
    }

    fn logged(count: u64, seconds: f64, complete_from: Option<f64>) -> LoggedTimes {
        let mut recent = Histogram::new(BOUNDS);
        (0..count).for_each(|_| recent.observe(seconds));
        LoggedTimes { database: "app".into(), recent, counted_from: Some(0.0), complete_from }
    }

    fn advise(statements: Vec<StatementTimes>, logged: Vec<LoggedTimes>) -> Vec<Advice> {
        let mut fixture = Fixture::with_sessions(Sessions::default());
        fixture.databases[0].statements = statements;
        fixture.databases[0].logged = logged;
        fixture.judge(&StatementLatency::default())
    }

    #[test]
    fn the_thresholds_are_the_target_and_the_one_for_scaling() {
        let severity = |seconds| advise(vec![estimated(200, seconds)], Vec::new())[0].severity;
        assert_eq!([severity(0.14), severity(0.6)], [Severity::Info, Severity::Warning]);
        assert_eq!(advise(vec![estimated(200, 0.06)], Vec::new()), []);
        assert_eq!(advise(vec![estimated(20, 5.0)], Vec::new()), [], "a few say nothing");
    }

    #[test]
    fn what_only_an_estimate_says_is_not_told() {
        // All statements may have taken 0.15 s, or a few of them half a second.
        let mut recent = Estimate::default();
        let calls = 1000;
        let (sum, squares) = (0.05 * calls as f64, 0.0025 * calls as f64);
        recent.add(&Interval { calls, sum, squares, highest: 1.0, ..Interval::default() });
        assert!(recent.quantile(0.95).unwrap() > 0.14);
        let times = StatementTimes { database: "app".into(), recent, logged: None };
        assert_eq!(advise(vec![times.clone()], Vec::new()), []);
        // The log may know it.
        let logged = |from, above| {
            let (least, most) = ([above; BOUNDS.len()], [above + 5; BOUNDS.len()]);
            let logged = Some(LoggedCalls { from, calls, least, most });
            StatementTimes { logged, ..times.clone() }
        };
        let advice = advise(vec![logged(0.2, 120)], Vec::new());
        assert_eq!((advice.len(), advice[0].severity), (1, Severity::Warning));
        let message = "at least 12 % of 1000 statements in the last five minutes took longer than \
                       200 ms inside the server, by its log";
        assert!(advice[0].message.contains(message), "{}", advice[0].message);
        assert_eq!(advise(vec![logged(0.1, 40)], Vec::new()), []);
        assert_eq!(advise(vec![logged(0.5, 120)], Vec::new()), [], "it lacks those in between");
    }

    #[test]
    fn a_log_that_has_all_statements_is_believed_and_one_of_some_is_not() {
        let advice = advise(vec![estimated(200, 0.6)], vec![logged(200, 0.14, Some(0.0))]);
        assert_eq!(advice.len(), 1, "{advice:?}");
        assert_eq!(advice[0].severity, Severity::Info);
        assert!(advice[0].message.contains("by its log"), "{}", advice[0].message);
        let advice = advise(vec![estimated(200, 0.01)], vec![logged(200, 0.6, Some(0.5))]);
        assert_eq!(advice, []);
        let advice = advise(vec![estimated(200, 0.01)], vec![logged(200, 0.6, None)]);
        assert_eq!(advice, [], "two of a hundredth of them, each for a hundred");
    }

    #[test]
    fn what_a_client_measures_is_left_to_query_latency() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.databases = Fixture::with_sessions(Sessions::default()).databases;
        fixture.databases[0].statements = vec![estimated(200, 0.6)];
        assert_eq!(fixture.judge(&StatementLatency::default()).len(), 1);
        fixture.queries(10, 0.001);
        assert_eq!(fixture.judge(&StatementLatency::default()), []);
    }
}
