//! An index that a failed build left: it costs every write and serves no query.

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InvalidIndex {
    enabled: bool,
}

impl Default for InvalidIndex {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Rule for InvalidIndex {
    fn name(&self) -> &'static str {
        "invalid_index"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let invalid = context.indexes.iter().flat_map(|of| of.invalid.iter().map(move |i| (of, i)));
        let advice = invalid.map(|(of, index)| {
            let message = format!(
                "the index {} on {} is invalid: a build that failed left it, every write pays for \
                 it and no query uses it",
                index.name, index.place
            );
            let remedy = format!("build it again or drop it: {}", index.statement);
            let subject = context.within(&of.server, &index.name);
            let advice = Advice::new(Severity::Warning, subject, message, remedy);
            advice.with_tables([index.table()])
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
    fn with_several_databases_each_says_which_it_is_in() {
        let index = Index { name: "i".into(), ..Index::default() };
        let indexes = Indexes { server: "b".into(), invalid: vec![index], ..Indexes::default() };
        let mut fixture = Fixture::with_sessions(crate::reading::Sessions::default());
        fixture.indexes = vec![indexes];
        assert_eq!(fixture.judge(&InvalidIndex::default())[0].subject, "i");
        fixture.databases.push(crate::state::DatabaseState::default());
        assert_eq!(fixture.judge(&InvalidIndex::default())[0].subject, "b/i");
    }
}
