//! A statement that takes many times longer than it did.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::Statement;
use crate::state::DatabaseState;

/// The highest standard deviation, as a share of the mean: where it is higher, a few calls are slow
/// and not the statement.
const EVEN: f64 = 1.5;

/// A statement's last ten seconds or so are compared with the earlier half of the last five minutes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StatementSlowdown {
    enabled: bool,
    /// The least ratio of its mean duration to what it was.
    times: f64,
    /// The least mean duration.
    #[serde(with = "humantime_serde")]
    longer_than: Duration,
    /// The fewest calls before, and half as many now.
    min_samples: u64,
}

impl Default for StatementSlowdown {
    fn default() -> Self {
        let longer_than = Duration::from_millis(100);
        Self { enabled: true, times: 10.0, longer_than, min_samples: 10 }
    }
}

impl Rule for StatementSlowdown {
    fn name(&self) -> &'static str {
        "statement_slowdown"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.databases.iter().filter_map(|server| self.judge_server(server)).collect()
    }
}

impl StatementSlowdown {
    fn judge_server(&self, server: &DatabaseState) -> Option<Advice> {
        let statements = server.top.iter().flat_map(|top| &top.statements);
        let mut slow: Vec<_> = statements.filter(|statement| self.is_slower(statement)).collect();
        let cost = |statement: &Statement| statement.steps.last().map_or(0.0, |step| step.seconds);
        slow.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
        let worst = slow.first()?;
        let (now, before) = (worst.steps.last()?.mean(), worst.earlier.mean());
        let others = match slow.len() - 1 {
            0 => String::new(),
            others => format!("; and {others} more statements are slower than they were"),
        };
        let message = format!(
            "`{}` takes {:.0} ms on average, {:.0} times what it took minutes ago ({:.1} ms; {} \
             calls in the last ten seconds, queryid {}){others}",
            worst.text.brief(),
            1000.0 * now,
            now / before.max(1e-6),
            1000.0 * before,
            worst.steps.last()?.calls,
            worst.query_id,
        );
        let remedy = "EXPLAIN (ANALYZE, BUFFERS) it: a plan that changed (ANALYZE its tables), an \
                      index that was dropped, a table that grew, or a function that waits for \
                      something; see what was deployed or migrated at that time";
        Some(Advice::new(Severity::Warning, &server.name, message, remedy))
    }

    fn is_slower(&self, statement: &Statement) -> bool {
        let Some(now) = statement.steps.last() else { return false };
        let before = &statement.earlier;
        let enough = before.calls >= self.min_samples && now.calls >= self.min_samples.div_ceil(2);
        enough
            && now.mean() >= self.longer_than.as_secs_f64()
            && now.mean() >= self.times * before.mean()
            && now.variation() <= EVEN
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Sessions, StatementStats, Top};
    use crate::statement::Text;

    fn stats(durations: &[f64]) -> StatementStats {
        StatementStats {
            calls: durations.len() as u64,
            seconds: durations.iter().sum(),
            squares: durations.iter().map(|seconds| seconds * seconds).sum(),
            ..StatementStats::default()
        }
    }

    fn judge(before: &[f64], now: &[f64]) -> Vec<Advice> {
        let text = Text::read("SELECT * FROM orders WHERE id = $1", 500);
        let statement = Statement {
            text: text.into(),
            query_id: 77,
            steps: vec![stats(before), stats(now)],
            earlier: stats(before),
            ..Statement::default()
        };
        let mut fixture = Fixture::with_sessions(Sessions::default());
        fixture.databases[0].top =
            Some(Top { statements: vec![statement], ..Top::default() }.into());
        fixture.judge(&StatementSlowdown::default())
    }

    #[test]
    fn a_statement_that_is_a_hundred_times_slower_is_named() {
        let advice = judge(&[0.005; 40], &[0.5; 9]);
        let message = &advice[0].message;
        assert!(message.contains("FROM orders"), "{message}");
        assert!(message.contains("takes 500 ms on average, 100 times"), "{message}");
    }

    #[test]
    fn noise_is_not_spoken_of() {
        assert_eq!(judge(&[0.005; 40], &[0.03; 40]), [], "it is quick still");
        assert_eq!(judge(&[0.1; 40], &[0.6; 40]), [], "six times");
        assert_eq!(judge(&[0.005; 3], &[0.5; 40]), [], "it hardly ran before");
        let mut outlier = [0.005; 20];
        outlier[7] = 4.0;
        assert_eq!(judge(&[0.005; 40], &outlier), [], "one call was slow");
    }
}
