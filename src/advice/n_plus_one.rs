//! A list that asks once more for each of its rows.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
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

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        context.pools.iter().filter_map(|pool| self.judge_pool(pool, context, recent)).collect()
    }
}

impl NPlusOne {
    fn judge_pool(
        &self,
        state: &PoolState,
        context: &RuleContext<'_>,
        recent: &Recent,
    ) -> Option<Advice> {
        let checkouts = recent.grown(state, WITHIN, |totals| totals.n_plus_one);
        if checkouts < self.min_samples {
            return None;
        }
        let found = context.found(&state.pool.name, "n_plus_one").next();
        let example = found.map(|finding| format!(": {}", described(finding)));
        let message = format!(
            "{checkouts} checkouts in the last minute asked once more for each row of a list{}",
            example.unwrap_or_default()
        );
        let remedy = "load what belongs to the rows with them: selectinload() or joinedload() in \
                      SQLAlchemy, prefetch_related() or select_related() in Django";
        Some(Advice::new(Severity::Warning, &state.pool.name, message, remedy))
    }
}

fn described(finding: &Finding) -> String {
    let place = finding.location.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("`{}` ran {} times in one{place}", finding.sql, finding.count)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    fn after_a_minute(checkouts: u64) -> Vec<Advice> {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.totals().n_plus_one = Some(40);
        fixture.advance(60);
        fixture.totals().n_plus_one = Some(40 + checkouts);
        fixture.findings = vec![Finding {
            pool: "web".into(),
            kind: "n_plus_one".into(),
            sql: "SELECT … WHERE post_id = ?".into(),
            count: 50,
            rows: 50,
            location: Some("app/posts.py:41".into()),
        }];
        fixture.judge(&NPlusOne::default())
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
