//! A list that asks once more for each of its rows.

use std::time::Duration;

use serde::Deserialize;

use super::history::History;
use super::{Advice, Known, Rule, Severity, say};
use crate::reading::Finding;
use crate::state::PoolState;

const WITHIN: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NPlusOne {
    enabled: bool,
    /// Checkouts in the last minute that did so.
    min_samples: u64,
}

impl Default for NPlusOne {
    fn default() -> Self {
        Self { enabled: true, min_samples: 3 }
    }
}

impl Rule for NPlusOne {
    fn name(&self) -> &'static str {
        "n_plus_one"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, known: &Known<'_>, past: &History) -> Vec<Advice> {
        known.pools.iter().filter_map(|pool| self.judge_pool(pool, known, past)).collect()
    }
}

impl NPlusOne {
    fn judge_pool(&self, state: &PoolState, known: &Known<'_>, past: &History) -> Option<Advice> {
        let checkouts = past.grown(state, WITHIN, |totals| totals.n_plus_one);
        if checkouts < self.min_samples {
            return None;
        }
        let found = known.found(&state.pool.name, "n_plus_one").next();
        let example = found.map(|finding| format!(": {}", described(finding)));
        let message = format!(
            "{checkouts} checkouts in the last minute asked once more for each row of a list{}",
            example.unwrap_or_default()
        );
        let remedy = "load what belongs to the rows with them: selectinload() or joinedload() in \
                      SQLAlchemy, prefetch_related() or select_related() in Django";
        Some(say(Severity::Warning, &state.pool.name, message, remedy))
    }
}

fn described(finding: &Finding) -> String {
    let place = finding.location.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("`{}` ran {} times in one{place}", finding.sql, finding.count)
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;

    fn after_a_minute(checkouts: u64) -> Vec<Advice> {
        let mut scene = Scene::of(&[1]);
        scene.totals().n_plus_one = Some(40);
        scene.pass(60);
        scene.totals().n_plus_one = Some(40 + checkouts);
        scene.findings = vec![Finding {
            pool: "web".into(),
            kind: "n_plus_one".into(),
            sql: "SELECT … WHERE post_id = ?".into(),
            count: 50,
            rows: 50,
            location: Some("app/posts.py:41".into()),
        }];
        scene.ask(&NPlusOne::default())
    }

    #[test]
    fn the_source_line_is_named() {
        let advice = after_a_minute(12);
        assert!(
            advice[0].message.ends_with("ran 50 times in one at app/posts.py:41"),
            "{advice:?}"
        );
    }

    #[test]
    fn what_is_over_or_seldom_is_not_spoken_of() {
        assert_eq!(after_a_minute(0), [], "a finding is remembered for longer");
        assert_eq!(after_a_minute(2), []);
    }
}
