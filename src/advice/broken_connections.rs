//! Connections that are found broken again and again.

use std::time::Duration;

use serde::Deserialize;

use super::recent::{REACH, Recent};
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::PoolState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BrokenConnections {
    enabled: bool,
    /// At so many different times: a server that restarts breaks all at once.
    times: usize,
    /// The time within which they count, at most ten minutes.
    #[serde(with = "humantime_serde")]
    within: Duration,
}

impl Default for BrokenConnections {
    fn default() -> Self {
        Self { enabled: true, times: 4, within: REACH }
    }
}

impl Rule for BrokenConnections {
    fn name(&self) -> &'static str {
        "broken_connections"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        context.pools.iter().filter_map(|pool| self.judge_pool(pool, recent)).collect()
    }
}

impl BrokenConnections {
    fn judge_pool(&self, state: &PoolState, recent: &Recent) -> Option<Advice> {
        let steps = recent.pool(&state.pool.name)?.since(self.within);
        let counts: Vec<u64> = steps.filter_map(|(_, step)| step.totals.invalidated).collect();
        let times = counts.windows(2).filter(|pair| pair[1] > pair[0]).count();
        if times < self.times {
            return None;
        }
        let broken = recent.grown(state, self.within, |totals| totals.invalidated);
        let message = format!(
            "{broken} connections were found broken at {times} different times in the last {}: \
             something between closes them while they rest",
            humantime::format_duration(self.within)
        );
        let errors = recent.grown(state, self.within, |totals| totals.query_errors);
        // Where the client does not know: those that no check before use found gave an error each.
        let no_errors = state.pool.totals.query_errors.is_some() && errors < times as u64;
        let remedy = match checks_before_use(state) {
            Some(true) => CHECKED,
            None if no_errors => NO_ERRORS,
            _ => CHECK_AND_RECYCLE,
        };
        Some(Advice::new(Severity::Warning, &state.pool.name, message, remedy))
    }
}

/// Returns true if the pools of all workers check connections before use; `None` where that is not
/// known of each.
fn checks_before_use(state: &PoolState) -> Option<bool> {
    let checks = state.pool.workers.iter().map(|worker| worker.figures.pre_ping);
    let checks: Vec<_> = checks.collect::<Option<_>>()?;
    (!checks.is_empty()).then(|| checks.iter().all(|checks| *checks > 0))
}

const CHECK_AND_RECYCLE: &str = "set pool_pre_ping=True, and pool_recycle below the time after \
                                 which the firewall, the balancer or the server closes resting \
                                 connections";
macro_rules! recycle {
    ($checked:literal) => {
        concat!(
            $checked,
            " (pool_pre_ping) and opens others, for which callers wait. Set pool_recycle below the \
             time after which the firewall, the balancer or the server closes resting connections \
             (idle_session_timeout, tcp_keepalives_idle)"
        )
    };
}
const CHECKED: &str = recycle!("the pool checks connections before use");
const NO_ERRORS: &str = recycle!("callers got no errors: the pool checks connections before use");

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn connections_that_break_again_and_again_are_told() {
        let mut fixture = Fixture::with_workers(&[1]);
        for count in 0..7 {
            fixture.totals().invalidated = Some(count);
            fixture.advance(30);
        }
        assert!(fixture.message(&BrokenConnections::default()).contains("broken at 6 different"));
    }

    #[test]
    fn a_check_before_use_is_advised_only_where_there_is_none() {
        for (errors, expected) in [(None, true), (Some(1), true), (Some(0), false)] {
            let mut fixture = Fixture::with_workers(&[1]);
            for count in 0..7 {
                fixture.totals().invalidated = Some(count);
                fixture.totals().query_errors = errors.map(|each| each * count);
                fixture.advance(30);
            }
            let advice = fixture.judge(&BrokenConnections::default());
            assert_eq!(advice[0].remedy.contains("set pool_pre_ping"), expected, "{advice:?}");
            assert!(advice[0].remedy.to_lowercase().contains("pool_recycle"), "{advice:?}");
        }
    }

    #[test]
    fn a_check_that_the_client_reports_is_not_advised_again() {
        let is_advised = |pre_ping| {
            let mut fixture = Fixture::with_workers(&[1, 1]);
            for count in 0..7 {
                fixture.totals().invalidated = Some(count);
                // Of another kind: a constraint, or a statement that was cancelled.
                fixture.totals().query_errors = Some(9 * count);
                fixture.figures(|figures| figures.pre_ping = pre_ping);
                fixture.advance(30);
            }
            let advice = fixture.judge(&BrokenConnections::default());
            advice[0].remedy.contains("set pool_pre_ping")
        };
        assert_eq!([Some(1), Some(0), None].map(is_advised), [false, true, true]);
    }

    #[test]
    fn a_server_that_restarted_once_is_not() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.totals().invalidated = Some(0);
        fixture.advance(60);
        fixture.totals().invalidated = Some(80);
        fixture.advance(60);
        assert_eq!(fixture.judge(&BrokenConnections::default()), []);
    }
}
