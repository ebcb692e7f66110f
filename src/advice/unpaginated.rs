//! A list that is read whole.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::Finding;
use crate::state::PoolState;
use crate::statement::Text;

const WITHIN: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Unpaginated {
    enabled: bool,
    /// Such statements in the last minute: an export now and then is none of our business.
    min_samples: u64,
}

impl Default for Unpaginated {
    fn default() -> Self {
        Self { enabled: true, min_samples: 3 }
    }
}

impl Rule for Unpaginated {
    fn name(&self) -> &'static str {
        "unpaginated"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        context.pools.iter().filter_map(|pool| self.judge_pool(pool, context, recent)).collect()
    }
}

impl Unpaginated {
    fn judge_pool(
        &self,
        state: &PoolState,
        context: &RuleContext<'_>,
        recent: &Recent,
    ) -> Option<Advice> {
        let statements = recent.grown(state, WITHIN, |totals| totals.unpaginated);
        if statements < self.min_samples {
            return None;
        }
        let found = context.found(&state.pool.name, "unpaginated").next();
        let example = found.map(|finding| format!(": {}", described(finding)));
        let message = format!(
            "{statements} SELECTs without LIMIT returned 1,000 rows or more in the last minute{}",
            example.unwrap_or_default()
        );
        let remedy = "ask by the page (LIMIT and OFFSET, or a key to go on from); where only the \
                      number of rows is wanted, ask for count(*)";
        let advice = Advice::new(Severity::Warning, &state.pool.name, message, remedy);
        let tables: Vec<_> =
            context.found(&state.pool.name, "unpaginated").flat_map(read_whole).collect();
        Some(advice.with_tables(tables.iter().map(String::as_str)))
    }
}

/// The tables of which a statement asks for all rows.
fn read_whole(finding: &Finding) -> Vec<String> {
    let tables = Text::read(&finding.sql, finding.sql.len()).tables;
    let whole = tables.into_iter().filter(|table| table.conditions.is_empty());
    whole.map(|table| table.name).collect()
}

fn described(finding: &Finding) -> String {
    let place = finding.location.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("`{}` returned {} rows{place}", finding.sql, finding.rows)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn a_list_read_whole_again_and_again_is_told_and_an_export_is_not() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.totals().unpaginated = Some(0);
        fixture.advance(60);
        fixture.totals().unpaginated = Some(1);
        assert_eq!(fixture.judge(&Unpaginated::default()), []);
        fixture.totals().unpaginated = Some(5);
        assert!(fixture.message(&Unpaginated::default()).starts_with("5 SELECTs without LIMIT"));
    }
}
