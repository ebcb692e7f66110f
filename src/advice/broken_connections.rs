//! Connections that are found broken again and again.

use serde::Deserialize;

use super::history::{History, REACH};
use super::{Advice, Known, Rule, Severity, say};
use crate::state::PoolState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BrokenConnections {
    enabled: bool,
    /// At so many different times within ten minutes: a server that restarts breaks all at once.
    times: usize,
}

impl Default for BrokenConnections {
    fn default() -> Self {
        Self { enabled: true, times: 4 }
    }
}

impl Rule for BrokenConnections {
    fn name(&self) -> &'static str {
        "broken_connections"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, known: &Known<'_>, past: &History) -> Vec<Advice> {
        known.pools.iter().filter_map(|pool| self.judge_pool(pool, past)).collect()
    }
}

impl BrokenConnections {
    fn judge_pool(&self, state: &PoolState, past: &History) -> Option<Advice> {
        let steps = past.pool(&state.pool.name)?.finished(usize::MAX);
        let counts: Vec<u64> = steps.filter_map(|step| step.totals.invalidated).collect();
        let times = counts.windows(2).filter(|pair| pair[1] > pair[0]).count();
        if times < self.times {
            return None;
        }
        let broken = past.grown(state, REACH, |totals| totals.invalidated);
        let message = format!(
            "{broken} connections were found broken at {times} different times in the last ten \
             minutes: something between closes them while they rest"
        );
        let remedy = "set pool_pre_ping=True, and pool_recycle below the time after which the \
                      firewall, the balancer or the server closes resting connections";
        Some(say(Severity::Warning, &state.pool.name, message, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    #[test]
    fn connections_that_break_again_and_again_are_told() {
        let mut scene = Scene::of(&[1]);
        for count in 0..7 {
            scene.totals().invalidated = Some(count);
            scene.pass(30);
        }
        assert!(scene.message(&BrokenConnections::default()).contains("broken at 6 different"));
    }

    #[test]
    fn a_server_that_restarted_once_is_not() {
        let mut scene = Scene::of(&[1]);
        scene.totals().invalidated = Some(0);
        scene.pass(60);
        scene.totals().invalidated = Some(80);
        scene.pass(60);
        assert_eq!(scene.ask(&BrokenConnections::default()), []);
    }
}
