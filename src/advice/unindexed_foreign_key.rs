//! A foreign key without an index: each delete of what it refers to reads the whole table.

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UnindexedForeignKey {
    enabled: bool,
    /// Rows below which reading the table whole costs little.
    rows: u64,
}

impl Default for UnindexedForeignKey {
    fn default() -> Self {
        Self { enabled: true, rows: 10_000 }
    }
}

impl Rule for UnindexedForeignKey {
    fn name(&self) -> &'static str {
        "unindexed_foreign_key"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let keys =
            context.indexes.iter().flat_map(|of| of.foreign_keys.iter().map(move |k| (of, k)));
        let large = keys.filter(|(_, key)| key.rows >= self.rows);
        let advice = large.map(|(of, key)| {
            let place = format!("{} ({})", key.table, key.columns);
            let message = format!(
                "the foreign key {place} to {} has no index: each delete or key change there \
                 reads {} rows here, and holds its locks meanwhile",
                key.refers_to, key.rows
            );
            // A partitioned table takes none concurrently.
            let (concurrently, note) =
                if key.partitioned { ("", BLOCKS) } else { (" CONCURRENTLY", "") };
            let sql = format!("CREATE INDEX{concurrently} ON {place}");
            let (subject, remedy) = (context.within(&of.server, &place), format!("{sql}{note}"));
            Advice::new(Severity::Info, subject, message, remedy).with_sql(vec![sql])
        });
        advice.collect()
    }
}

const BLOCKS: &str = ", which blocks writers meanwhile; where that is too long, first CREATE INDEX \
                      CONCURRENTLY on each partition: it takes those over";

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{ForeignKey, Indexes};

    #[test]
    fn a_small_table_needs_none() {
        let key = |rows| ForeignKey { table: "t".into(), rows, ..ForeignKey::default() };
        let mut fixture = Fixture::with_workers(&[]);
        fixture.indexes = vec![Indexes { foreign_keys: vec![key(50)], ..Indexes::default() }];
        assert_eq!(fixture.judge(&UnindexedForeignKey::default()), []);
        fixture.indexes[0].foreign_keys = vec![key(50_000)];
        assert!(fixture.message(&UnindexedForeignKey::default()).contains("50000 rows"));
    }
}
