//! An index whose queries another serves as well.

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CoveredIndex {
    enabled: bool,
    /// Smaller ones cost too little to speak of.
    megabytes: u64,
}

impl Default for CoveredIndex {
    fn default() -> Self {
        Self { enabled: true, megabytes: 10 }
    }
}

impl Rule for CoveredIndex {
    fn name(&self) -> &'static str {
        "covered_index"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let covered = context.indexes.iter().flat_map(|of| of.covered.iter().map(move |i| (of, i)));
        let large = covered.filter(|(_, index)| index.bytes >> 20 >= self.megabytes);
        let advice = large.filter_map(|(of, index)| {
            let message = format!(
                "the index {} on {} ({} MB) serves no query that {} does not serve",
                index.name,
                index.place,
                index.bytes >> 20,
                index.covered_by.as_ref()?
            );
            let subject = context.within(&of.server, &index.name);
            let advice = Advice::new(Severity::Info, subject, message, index.statement.clone());
            Some(advice.with_sql(vec![index.statement.clone()]))
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
    fn the_one_that_serves_as_well_is_named() {
        let index = Index {
            name: "i".into(),
            covered_by: Some("j".into()),
            bytes: 12 << 20,
            ..Index::default()
        };
        let mut fixture = Fixture::with_workers(&[]);
        fixture.indexes = vec![Indexes { covered: vec![index], ..Indexes::default() }];
        assert!(fixture.message(&CoveredIndex::default()).ends_with("that j does not serve"));
    }
}
