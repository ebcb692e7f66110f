//! A pool nearly full.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity, holders, pgbouncer};
use crate::reading::Origin;
use crate::state::{PoolState, Status, Thresholds};

/// Judged by the busiest worker and the thresholds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PoolUsage {
    enabled: bool,
}

impl Default for PoolUsage {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Rule for PoolUsage {
    fn name(&self) -> &'static str {
        "pool_usage"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context
            .pools
            .iter()
            .filter_map(|pool| judge(pool, &context.thresholds.of_pool(&pool.pool.name)))
            .collect()
    }
}

fn judge(state: &PoolState, thresholds: &Thresholds) -> Option<Advice> {
    let (severity, threshold) = match state.status? {
        Status::Healthy => return None,
        Status::Warning => (Severity::Warning, thresholds.warning),
        Status::Critical => (Severity::Critical, thresholds.critical),
    };
    let mut workers = state.pool.workers.iter();
    let worker = workers.find(|worker| worker.figures.utilization() == state.busiest)?;
    let (taken, capacity) = (worker.figures.checked_out?, worker.figures.capacity()?);
    let share = 100.0 * state.busiest?;
    let share = format!("({share:.0} %, the threshold is {:.0} %)", 100.0 * threshold);
    if state.pool.origin == Origin::Pgbouncer {
        let pair = pgbouncer::pair(worker);
        let message = format!("{taken} of {capacity} servers of {pair} are taken {share}");
        let remedy = pgbouncer::usage_remedy(worker);
        return Some(Advice::new(severity, &state.pool.name, message, remedy));
    }
    let busiest = if state.pool.workers.len() > 1 { " in the busiest worker" } else { "" };
    let message = format!("{taken} of {capacity} connections are checked out {share}{busiest}");
    let message = holders::with_holders(message, state);
    let remedy = "look for sessions that are not closed and for slow queries; \
                  if neither, raise max_overflow or add workers";
    Some(Advice::new(severity, &state.pool.name, message, remedy))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn nineteen_of_twenty_is_critical_and_says_so() {
        let advice = Fixture::with_workers(&[19, 2]).judge(&PoolUsage::default());
        assert_eq!(advice[0].severity, Severity::Critical);
        assert!(advice[0].message.starts_with("19 of 20 connections"), "{}", advice[0].message);
    }

    #[test]
    fn a_quiet_pool_or_one_without_a_capacity_is_not_spoken_of() {
        assert_eq!(Fixture::with_workers(&[3]).judge(&PoolUsage::default()), []);
        let mut fixture = Fixture::with_workers(&[300]);
        fixture.figures(|figures| figures.max_overflow = None);
        assert_eq!(fixture.judge(&PoolUsage::default()), []);
    }
}
