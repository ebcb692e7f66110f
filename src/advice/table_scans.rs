//! A large table that is read from its beginning again and again.

use std::time::Duration;

use serde::Deserialize;

use super::history::History;
use super::{Advice, Known, Rule, Severity, say};
use crate::reading::TableScans as Table;

/// How far back scans count; tables are read once a minute.
const WITHIN: Duration = Duration::from_secs(150);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TableScans {
    enabled: bool,
    /// Rows from which a table is large.
    rows: u64,
    /// Scans of it in a minute from which it costs.
    per_minute: f64,
}

impl Default for TableScans {
    fn default() -> Self {
        Self { enabled: true, rows: 10_000, per_minute: 20.0 }
    }
}

impl Rule for TableScans {
    fn name(&self) -> &'static str {
        "table_scans"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, known: &Known<'_>, past: &History) -> Vec<Advice> {
        let tables = known.indexes.iter().flat_map(|of| of.tables.iter().map(move |t| (of, t)));
        let advice = tables.filter_map(|(of, table)| {
            let message = self.judge_table(&of.server, table, past)?;
            let remedy = "EXPLAIN the statements that ask for a few of its rows, and index the \
                          columns of their WHERE; `poolwatch indexes` says whether an expected \
                          index is missing";
            let subject = known.within(&of.server, &table.table);
            Some(say(Severity::Warning, subject, message, remedy))
        });
        advice.collect()
    }
}

impl TableScans {
    /// A scan that a LIMIT ends early is none of the whole table.
    fn judge_table(&self, server: &str, table: &Table, past: &History) -> Option<String> {
        let (ago, before) = past.table(server, &table.table)?.before_at(WITHIN)?;
        let scans = table.scans.checked_sub(before.scans)?;
        let rows = table.rows_scanned.checked_sub(before.rows_scanned)?;
        let per_minute = 60.0 * scans as f64 / ago.as_secs_f64();
        let each = rows / scans.max(1);
        let whole = table.rows >= self.rows && each >= table.rows / 2;
        (whole && !ago.is_zero() && per_minute >= self.per_minute).then(|| {
            format!(
                "the table {} is read whole {per_minute:.0} times a minute, {each} rows each time",
                table.table
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Scene;
    use super::*;
    use crate::reading::Indexes;

    fn table(rows: u64, scans: u64, rows_scanned: u64) -> Vec<Indexes> {
        let table = Table { table: "events".into(), rows, scans, rows_scanned };
        vec![Indexes { server: "primary".into(), tables: vec![table], ..Indexes::default() }]
    }

    fn look(rows: u64, scans: u64, rows_scanned: u64) -> Vec<Advice> {
        let sessions = crate::reading::Sessions::default();
        let mut scene = Scene { indexes: table(rows, 9, 9), ..Scene::with_sessions(sessions) };
        assert_eq!(scene.ask(&TableScans::default()), [], "one look is not enough");
        scene.pass(59);
        scene.indexes = table(rows, 9 + scans, 9 + rows_scanned);
        scene.ask(&TableScans::default())
    }

    #[test]
    fn a_large_table_read_whole_again_and_again_is_told() {
        let advice = look(50_000, 200, 10_000_000);
        assert!(advice[0].message.contains("200 times a minute, 50000 rows"), "{advice:?}");
    }

    #[test]
    fn neither_a_report_nor_a_small_table_nor_a_limit_is() {
        assert_eq!(look(50_000, 3, 150_000), [], "a report now and then");
        assert_eq!(look(200, 900, 180_000), [], "a small table is best read whole");
        assert_eq!(look(50_000, 200, 2000), [], "a LIMIT ended it early");
    }
}
