//! An index that no query used.

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UnusedIndex {
    enabled: bool,
    /// Days without use: a report may run once a month.
    days: u32,
    /// Smaller ones cost too little to speak of.
    megabytes: u64,
}

impl Default for UnusedIndex {
    fn default() -> Self {
        Self { enabled: true, days: 30, megabytes: 10 }
    }
}

impl Rule for UnusedIndex {
    fn name(&self) -> &'static str {
        "unused_index"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let counted = |days: f64| days >= f64::from(self.days);
        let long = context.indexes.iter().filter(|of| counted(of.counted_for / 86_400.0));
        let unused = long.flat_map(|of| of.unused.iter().map(move |index| (of, index)));
        let large = unused.filter(|(_, index)| index.bytes >> 20 >= self.megabytes);
        let advice = large.map(|(of, index)| {
            let message = format!(
                "the index {} on {} ({} MB) was not used in {:.0} days",
                index.name,
                index.place,
                index.bytes >> 20,
                of.counted_for / 86_400.0
            );
            let remedy = format!("unless a replica uses it: {}", index.statement);
            let subject = context.within(&of.server, &index.name);
            let sql = vec![index.statement.clone()];
            Advice::new(Severity::Info, subject, message, remedy).with_sql(sql)
        });
        advice.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Index, Indexes};

    fn look(days: f64, megabytes: u64) -> usize {
        let index = Index { name: "i".into(), bytes: megabytes << 20, ..Index::default() };
        let counted_for = days * 86_400.0;
        let mut fixture = Fixture::with_workers(&[]);
        fixture.indexes = vec![Indexes { unused: vec![index], counted_for, ..Indexes::default() }];
        fixture.judge(&UnusedIndex::default()).len()
    }

    #[test]
    fn only_large_ones_and_only_when_counted_for_long() {
        assert_eq!([look(31.0, 12), look(31.0, 2), look(3.0, 12)], [1, 0, 0]);
    }
}
