//! The four signs that it is time to scale: pools, latency, processors, size.

use std::time::Duration;

use serde::Deserialize;

use super::context::ServerFigures;
use super::recent::{PoolStep, REACH, Recent};
use super::server_cpu::busy;
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::{PoolState, Thresholds};
use crate::window::Window;

const POOL_REMEDY: &str = "give the pool more connections or workers, once the rules about leaks, \
                           slow queries and missing indexes are silent";
const SERVER_REMEDY: &str = "a larger machine or read replicas; before that: caching, partitions \
                             for the largest tables, old data moved away";

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TimeToScale {
    enabled: bool,
    /// The least time for which it must have been observed: before that a sign may be a passing
    /// cloud.
    #[serde(with = "humantime_serde")]
    min_observed: Duration,
    /// The share of all processors.
    #[serde(deserialize_with = "crate::yaml::share")]
    cpu: f64,
    /// The size of the databases, in gigabytes (10⁹ bytes).
    gigabytes: f64,
}

impl Default for TimeToScale {
    fn default() -> Self {
        Self { enabled: true, min_observed: Duration::from_mins(5), cpu: 0.70, gigabytes: 100.0 }
    }
}

impl Rule for TimeToScale {
    fn name(&self) -> &'static str {
        "time_to_scale"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        let pools = context.pools.iter().filter_map(|pool| {
            let signs = self.pool_signs(pool, recent, context.thresholds);
            advice(&pool.pool.name, &signs, POOL_REMEDY)
        });
        let servers = context.servers.iter().filter_map(|server| {
            advice(&server.name, &self.server_signs(server, recent), SERVER_REMEDY)
        });
        pools.chain(servers).collect()
    }
}

fn advice(subject: &str, signs: &[String], remedy: &str) -> Option<Advice> {
    let signs = (!signs.is_empty()).then(|| signs.join("; "))?;
    let message = format!("it is time to think of scaling: {signs}");
    Some(Advice::new(Severity::Info, subject, message, remedy))
}

/// The lowest utilization of the busiest worker, and whether the mean rises.
fn utilization(window: &Window<PoolStep>) -> Option<(f64, &'static str)> {
    let steps: Vec<f64> = window.finished(usize::MAX).filter_map(|step| step.utilization).collect();
    let lowest = steps.iter().copied().reduce(f64::min)?;
    let (early, late) = steps.split_at(steps.len() / 2);
    let mean = |steps: &[f64]| steps.iter().sum::<f64>() / steps.len().max(1) as f64;
    Some((lowest, trend(mean(early), mean(late))))
}

/// The p95 of all that was timed, and whether its later half is slower.
fn latency(state: &PoolState, window: &Window<PoolStep>) -> Option<(f64, &'static str)> {
    let now = state.pool.timings.query.as_ref()?;
    let first = window.before(REACH)?.query.as_ref()?;
    let middle = window.before(window.length() / 2)?.query.as_ref()?;
    let all = now.since(first).quantile(0.95)?;
    let (early, late) = (middle.since(first).quantile(0.95), now.since(middle).quantile(0.95));
    Some((all, early.zip(late).map_or("steady", |(early, late)| trend(early, late))))
}

impl TimeToScale {
    fn pool_signs(
        &self,
        state: &PoolState,
        recent: &Recent,
        thresholds: &Thresholds,
    ) -> Vec<String> {
        let window = recent.pool(&state.pool.name);
        let Some(window) = window.filter(|window| window.length() >= self.min_observed) else {
            return Vec::new();
        };
        let mut signs = Vec::new();
        if let Some((lowest, trend)) =
            utilization(window).filter(|(lowest, _)| *lowest > thresholds.warning)
        {
            signs.push(format!("the pool was never below {:.0} % ({trend})", 100.0 * lowest));
        }
        if let Some((p95, trend)) = latency(state, window)
            && p95 > thresholds.scale_at.as_secs_f64()
        {
            signs.push(format!("95 % of queries take up to {:.0} ms ({trend})", 1000.0 * p95));
        }
        signs
    }

    fn server_signs(&self, server: &ServerFigures, recent: &Recent) -> Vec<String> {
        let mut signs = Vec::new();
        let share = busy(server, recent, REACH).filter(|share| *share > self.cpu);
        if let Some(share) = share {
            let late = busy(server, recent, REACH / 5).unwrap_or(share);
            let trend = trend(share, late);
            signs.push(format!("{:.0} % of the processors are in use ({trend})", 100.0 * share));
        }
        let gigabytes = server.bytes.map(|bytes| bytes / 1e9);
        if let Some(size) = gigabytes.filter(|size| *size > self.gigabytes) {
            let digits = usize::from(size < 10.0);
            signs.push(format!("the databases have {size:.digits$} GB"));
        }
        signs
    }
}

/// A tenth more or less is no trend.
fn trend(early: f64, late: f64) -> &'static str {
    if late > 1.1 * early {
        "rising"
    } else if late < 0.9 * early {
        "falling"
    } else {
        "steady"
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn a_pool_that_is_always_nearly_full_is_a_sign_with_its_trend() {
        let mut fixture = Fixture::with_workers(&[16]);
        fixture.advance(180);
        assert_eq!(fixture.judge(&TimeToScale::default()), [], "not seen for long enough");
        fixture.check_out(19);
        fixture.advance(200);
        let message = fixture.message(&TimeToScale::default());
        assert!(message.contains("never below 80 % (rising)"), "{message}");
        fixture.check_out(2);
        assert_eq!(fixture.judge(&TimeToScale::default()).len(), 1, "the step is not over");
        fixture.advance(6);
        assert_eq!(fixture.judge(&TimeToScale::default()), []);
    }

    #[test]
    fn slow_queries_all_along_are_a_sign() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.queries(1, 0.001);
        for _ in 0..40 {
            fixture.advance(10);
            fixture.queries(10, 0.4);
        }
        let message = fixture.message(&TimeToScale::default());
        assert!(message.contains("ms (steady)"), "{message}");
    }

    #[test]
    fn a_large_database_is_a_sign() {
        let mut fixture = Fixture::with_workers(&[]);
        fixture.servers = vec![ServerFigures {
            name: "primary".into(),
            bytes: Some(1.5e11),
            ..ServerFigures::default()
        }];
        assert!(fixture.message(&TimeToScale::default()).ends_with("the databases have 150 GB"));
    }
}
