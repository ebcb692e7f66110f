//! Callers wait for a connection, or gave up waiting.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity, holders, pgbouncer};
use crate::reading::Origin;
use crate::state::PoolState;

/// The time in which callers who gave up count.
const WITHIN: Duration = Duration::from_mins(1);

const REMEDY: &str = "find what holds the connections (oldest checkout, slow queries, sessions \
                      that are never closed); raise max_overflow only if the server has \
                      connections to spare";

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PoolExhausted {
    enabled: bool,
}

impl Default for PoolExhausted {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Rule for PoolExhausted {
    fn name(&self) -> &'static str {
        "pool_exhausted"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        context.pools.iter().filter_map(|pool| judge(pool, recent)).collect()
    }
}

fn judge(state: &PoolState, recent: &Recent) -> Option<Advice> {
    if state.pool.origin == Origin::Pgbouncer {
        return pgbouncer::waiting(state);
    }
    let gave_up = recent.grown(state, WITHIN, |totals| totals.timeouts);
    let message = match (waiting(state), gave_up) {
        (None, 0) => return None,
        (Some(1), 0) => "1 caller waits for a connection and there is none left for it".into(),
        (Some(callers), 0) => {
            format!("{callers} callers wait for a connection and there is none left for them")
        }
        (waiting, gave_up) => format!(
            "{gave_up} callers gave up waiting for a connection in the last minute, and {} wait now",
            waiting.unwrap_or(0)
        ),
    };
    let message = holders::with_holders(message, state);
    Some(Advice::new(Severity::Critical, &state.pool.name, message, REMEDY))
}

/// Callers pass through "pending" for an instant while a connection is made; only a worker with
/// nothing left keeps them there.
fn waiting(state: &PoolState) -> Option<u64> {
    let pending = state.sum.pending.filter(|pending| *pending > 0)?;
    state.busiest.filter(|utilization| *utilization >= 1.0).map(|_| pending)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn callers_of_a_full_worker_wait() {
        let mut fixture = Fixture::with_workers(&[20]);
        fixture.figures(|figures| figures.pending = Some(3));
        assert!(fixture.message(&PoolExhausted::default()).starts_with("3 callers wait"));
    }

    #[test]
    fn a_caller_whose_connection_is_just_being_made_does_not() {
        let mut fixture = Fixture::with_workers(&[4]);
        fixture.figures(|figures| figures.pending = Some(1));
        assert_eq!(fixture.judge(&PoolExhausted::default()), []);
    }

    #[test]
    fn who_gave_up_is_spoken_of_for_a_minute() {
        let mut fixture = Fixture::with_workers(&[4]);
        fixture.totals().timeouts = Some(7);
        assert_eq!(
            fixture.judge(&PoolExhausted::default()),
            [],
            "that was before poolwatch looked"
        );
        fixture.advance(60);
        fixture.totals().timeouts = Some(9);
        assert!(fixture.message(&PoolExhausted::default()).starts_with("2 callers gave up"));
        fixture.advance(70);
        assert_eq!(fixture.judge(&PoolExhausted::default()), []);
    }
}
