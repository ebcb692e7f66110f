//! Connections that reach their age limit all at once.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::renewals::Herd;
use crate::state::PoolState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RecycleHerd {
    enabled: bool,
    /// Connections that are replaced at once, over all workers, from which it costs.
    min_connections: u64,
}

impl Default for RecycleHerd {
    fn default() -> Self {
        Self { enabled: true, min_connections: 10 }
    }
}

impl Rule for RecycleHerd {
    fn name(&self) -> &'static str {
        "recycle_herd"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.pools.iter().filter_map(|pool| self.judge_pool(pool)).collect()
    }
}

impl RecycleHerd {
    fn judge_pool(&self, state: &PoolState) -> Option<Advice> {
        let herd = state.herd.as_ref().filter(|herd| herd.replaced >= self.min_connections)?;
        let Herd { replaced, open, .. } = herd;
        let seconds = herd.elapsed.as_secs() + 1;
        let message = format!(
            "everything expires at once: {replaced} of {open} connections were replaced within \
             {seconds} s, {} after they had been opened together, and so again and again: callers wait \
             for as many logins at one moment",
            rounded(herd.interval)
        );
        let seconds = herd.age_limit.unwrap_or(herd.interval).as_secs();
        let remedy = format!(
            "give each worker another age limit: pool_recycle={seconds} + random.randrange({}) in \
             place of one number, and let workers start one after the other. A limit that the pool \
             varies by itself, as psycopg_pool's max_lifetime, needs nothing",
            (seconds / 5).max(1)
        );
        Some(Advice::new(Severity::Info, &state.pool.name, message, remedy))
    }
}

/// Such as "60 minutes".
fn rounded(interval: Duration) -> String {
    match interval.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} minutes", (seconds + 30) / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    fn judge(herd: Option<Herd>) -> Vec<Advice> {
        let mut fixture = Fixture::with_workers(&[2; 4]);
        fixture.pools[0].herd = herd;
        fixture.judge(&RecycleHerd::default())
    }

    fn herd(replaced: u64) -> Herd {
        Herd {
            replaced,
            open: 20,
            elapsed: Duration::from_secs(1),
            interval: Duration::from_secs(3607),
            age_limit: Some(Duration::from_hours(1)),
        }
    }

    #[test]
    fn a_herd_is_told_with_its_figures_and_a_remedy() {
        let advice = judge(Some(herd(20)));
        let expected = "everything expires at once: 20 of 20 connections were replaced within 2 s, 60 \
                        minutes after they had been opened together";
        assert!(advice[0].message.starts_with(expected), "{advice:?}");
        assert!(
            advice[0].remedy.contains("pool_recycle=3600 + random.randrange(720)"),
            "{advice:?}"
        );
        assert_eq!(advice[0].severity, Severity::Info);
    }

    #[test]
    fn a_few_connections_and_those_that_expire_one_by_one_are_not_spoken_of() {
        assert_eq!(judge(Some(herd(6))), []);
        assert_eq!(judge(None), []);
    }
}
