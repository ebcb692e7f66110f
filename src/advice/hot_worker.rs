//! One worker has all the work while the others rest.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::Origin;
use crate::state::{PoolState, is_small};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HotWorker {
    enabled: bool,
    /// The least ratio of the busiest worker's utilization to the mean of the others.
    times: f64,
}

impl Default for HotWorker {
    fn default() -> Self {
        Self { enabled: true, times: 3.0 }
    }
}

impl Rule for HotWorker {
    fn name(&self) -> &'static str {
        "hot_worker"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// No longer than callers have to wait until that is told.
    fn after_consequence(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let threshold = context.thresholds.warning;
        context.pools.iter().filter_map(|pool| self.judge_pool(pool, threshold)).collect()
    }
}

impl HotWorker {
    fn judge_pool(&self, state: &PoolState, threshold: f64) -> Option<Advice> {
        // Databases and users are not alike, as the workers of one application are.
        if state.pool.origin == Origin::Pgbouncer {
            return None;
        }
        let busiest = state.busiest.filter(|busiest| *busiest >= threshold)?;
        // With so few connections a busy worker says nothing.
        let workers = state.pool.workers.iter().filter(|worker| !is_small(&worker.figures));
        let utilizations: Vec<_> = workers
            .filter_map(|worker| Some((worker.pid, worker.figures.utilization()?)))
            .collect();
        let (pid, _) = utilizations.iter().find(|(_, utilization)| *utilization == busiest)?;
        let others = utilizations.len().checked_sub(1).filter(|others| *others > 0)?;
        let sum: f64 = utilizations.iter().map(|(_, utilization)| utilization).sum();
        let mean = (sum - busiest) / others as f64;
        if mean * self.times > busiest {
            return None;
        }
        let message = format!(
            "the worker {} uses {:.0} % of its connections while the other {others} use {:.0} % \
             on average",
            pid.map_or_else(|| "that is busiest".to_owned(), |pid| pid.to_string()),
            100.0 * busiest,
            100.0 * mean,
        );
        let remedy = "a larger pool does not help: see what this worker does that the others do \
                      not (a leak, one long request, work that always goes to the same worker); \
                      restarting it gives its connections back";
        Some(Advice::new(Severity::Warning, &state.pool.name, message, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::super::{Advisor, Settings};
    use super::*;
    use crate::reading::MaxOverflow;

    /// The first advice on a hot worker whose callers wait, and the second of it.
    fn first_told(settings: Settings) -> (u64, Vec<Advice>) {
        let mut fixture = Fixture::with_workers(&[20, 1, 0]);
        fixture.figures(|figures| figures.pending = Some(3));
        let mut advisor = Advisor::new(settings);
        let mut told = (0..60).map(|second| {
            let now = fixture.now + Duration::from_secs(second);
            (second, advisor.review(&fixture.context(), now))
        });
        told.find(|(_, advice)| !advice.is_empty()).unwrap()
    }

    #[test]
    fn it_is_the_cause_from_the_moment_that_callers_are_known_to_wait() {
        let (second, advice) = first_told(Settings::default());
        let [cause, consequence] = &advice[..] else { panic!("{advice:?}") };
        assert_eq!((cause.rule, consequence.rule), ("hot_worker", "pool_exhausted"));
        assert_eq!(consequence.explained_by.as_ref().map(|cause| cause.rule), Some("hot_worker"));
        assert_eq!(second, 2);
    }

    #[test]
    fn by_itself_it_has_ten_seconds_to_pass() {
        let off = serde_json::json!({"enabled": false});
        let settings = serde_json::json!({"pool_usage": off, "pool_exhausted": off});
        let (second, advice) = first_told(serde_json::from_value(settings).unwrap());
        assert_eq!((second, advice[0].rule), (10, "hot_worker"));
    }

    #[test]
    fn one_full_worker_among_quiet_ones_is_named() {
        let message = Fixture::with_workers(&[1, 20, 0, 2]).message(&HotWorker::default());
        assert!(message.starts_with("the worker 2 uses 100 %"), "{message}");
        assert!(message.contains("the other 3 use 5 %"), "{message}");
    }

    #[test]
    fn neither_a_single_worker_nor_a_busy_crowd_is_hot() {
        for workers in [&[20][..], &[20, 16, 18], &[10, 0, 0]] {
            assert_eq!(
                Fixture::with_workers(workers).judge(&HotWorker::default()),
                [],
                "{workers:?}"
            );
        }
    }

    #[test]
    fn a_busy_worker_with_a_single_connection_is_not_hot() {
        let mut fixture = Fixture::with_workers(&[1, 0, 0]);
        fixture.figures(|figures| {
            (figures.size, figures.max_overflow) = (Some(1), Some(MaxOverflow::Limited(0)));
        });
        assert_eq!(fixture.judge(&HotWorker::default()), []);
    }

    #[test]
    fn the_databases_behind_pgbouncer_need_not_be_alike() {
        let mut fixture = Fixture::with_workers(&[1, 20, 0, 2]);
        fixture.pools[0].pool.origin = Origin::Pgbouncer;
        assert_eq!(fixture.judge(&HotWorker::default()), []);
    }
}
