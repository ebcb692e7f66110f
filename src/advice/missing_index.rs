//! An index that is expected and not there.

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MissingIndex {
    enabled: bool,
}

impl Default for MissingIndex {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Rule for MissingIndex {
    fn name(&self) -> &'static str {
        "missing_index"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let missing = context.indexes.iter().flat_map(|of| of.missing.iter().map(move |i| (of, i)));
        let advice = missing.map(|(of, index)| {
            let message = format!(
                "the index {} on {} is in the catalogue and not in the database",
                index.name, index.place
            );
            let remedy = format!("poolwatch indexes --apply, which runs: {}", index.statement);
            let subject = context.within(&of.server, &index.name);
            let sql = vec![index.statement.clone()];
            let advice = Advice::new(Severity::Warning, subject, message, remedy);
            advice.with_sql(sql).with_tables([index.table()])
        });
        advice.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Index, Indexes};

    #[test]
    fn each_is_named_with_the_statement_that_creates_it() {
        let index = Index { name: "i".into(), place: "t (a)".into(), ..Index::default() };
        let mut fixture = Fixture::with_workers(&[]);
        assert_eq!(fixture.judge(&MissingIndex::default()), [], "nothing is expected");
        fixture.indexes = vec![Indexes { missing: vec![index], ..Indexes::default() }];
        assert!(fixture.message(&MissingIndex::default()).starts_with("the index i on t (a)"));
    }
}
