//! Connections that are opened above the pool's size and closed again at once.

use std::time::Duration;

use serde::Deserialize;

use super::recent::{PoolStep, Recent};
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::PoolState;

const WITHIN: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OverflowChurn {
    enabled: bool,
    /// Connections opened in a minute, by all workers, from which it costs.
    opened_per_minute: u64,
}

impl Default for OverflowChurn {
    fn default() -> Self {
        Self { enabled: true, opened_per_minute: 60 }
    }
}

impl Rule for OverflowChurn {
    fn name(&self) -> &'static str {
        "overflow_churn"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        context.pools.iter().filter_map(|pool| self.judge_pool(pool, recent)).collect()
    }
}

impl OverflowChurn {
    /// A pool that never went above its size opens connections for another reason, and one that keeps
    /// none open between bursts of work is disposed of after each.
    fn judge_pool(&self, state: &PoolState, recent: &Recent) -> Option<Advice> {
        let opened = recent.grown(state, WITHIN, |totals| totals.opened);
        let mut steps = recent.pool(&state.pool.name)?.finished(12);
        let overflows = |step: &PoolStep| step.overflow > 0 && step.open_floor != Some(0);
        if opened < self.opened_per_minute || !steps.any(overflows) {
            return None;
        }
        let workers = state.pool.workers.len().max(1) as u64;
        let size = state.sum.size.map_or(0, |size| size / workers);
        let message = format!(
            "{opened} connections were opened in the last minute: the pool of {size} is outgrown \
             again and again, and what overflows is closed when it is returned"
        );
        let remedy = "raise pool_size to what is usually in use and lower max_overflow by as much: \
                      the capacity stays, the connections are kept";
        Some(Advice::new(Severity::Warning, &state.pool.name, message, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    fn after_a_minute(opened: u64, overflow: u64) -> Vec<Advice> {
        let mut fixture = Fixture::with_workers(&[7]);
        fixture.totals().opened = Some(1000);
        fixture.figures(|figures| figures.overflow = Some(overflow));
        fixture.advance(60);
        fixture.totals().opened = Some(1000 + opened);
        fixture.judge(&OverflowChurn::default())
    }

    #[test]
    fn overflow_opened_again_and_again_is_churn() {
        let advice = after_a_minute(90, 2);
        assert!(advice[0].message.starts_with("90 connections were opened"), "{advice:?}");
        assert!(advice[0].message.contains("the pool of 5"), "{advice:?}");
    }

    #[test]
    fn a_pool_that_is_disposed_of_after_each_burst_is_none() {
        let after_bursts = |resting: u64| {
            let mut fixture = Fixture::with_workers(&[0]);
            for burst in 1..10 {
                fixture.totals().opened = Some(12 * burst);
                for (checked_out, overflow, idle) in [(8, 3, 0), (0, 0, resting)] {
                    fixture.figures(|figures| {
                        figures.overflow = Some(overflow);
                        figures.checked_in = Some(idle);
                        figures.checked_out = Some(checked_out);
                    });
                    fixture.advance(4);
                }
            }
            fixture.judge(&OverflowChurn::default()).len()
        };
        assert_eq!((after_bursts(0), after_bursts(5)), (0, 1));
    }

    #[test]
    fn neither_a_start_nor_overflow_that_is_kept_is_churn() {
        assert_eq!(after_a_minute(90, 0), [], "workers that start");
        assert_eq!(after_a_minute(10, 2), []);
    }
}
