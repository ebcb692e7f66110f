//! A large table that is read from its beginning again and again, and the statements that likely
//! do so: they name it, and each call asks for as many blocks as it has.

mod choice;
mod expressions;

use std::cmp::Reverse;
use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::{Statement, StatementStats, TableScans};
use crate::statement::StatementKind;

pub(crate) use choice::{Choice, choose};

/// The least time over which scans are counted; tables are read twice a minute.
const WITHIN: Duration = Duration::from_secs(45);
/// The share of a table's blocks that a call must ask for to have read it whole; the count of
/// blocks is an estimate, and some may be known to be empty.
const MOST_OF: f64 = 0.8;
/// Steps of a statement, of some ten seconds each, any of which may tell.
const RECENT_STEPS: usize = 6;
/// Statements that are named.
const NAMED: usize = 2;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TableScansRule {
    enabled: bool,
    /// Rows from which a table is large.
    rows: u64,
    /// Scans of it in a minute from which it costs.
    per_minute: f64,
}

impl Default for TableScansRule {
    fn default() -> Self {
        Self { enabled: true, rows: 10_000, per_minute: 20.0 }
    }
}

impl Rule for TableScansRule {
    fn name(&self) -> &'static str {
        "table_scans"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        let tables = context.indexes.iter().flat_map(|of| of.tables.iter().map(move |t| (of, t)));
        let advice = tables.filter_map(|(of, table)| {
            let message = self.judge_table(&of.server, table, recent)?;
            let likely = likely(context, &of.server, table);
            let (message, remedy) = (message + &named(&likely), Remedy::new(&likely, table));
            let subject = context.within(&of.server, &table.table);
            let advice = Advice::new(Severity::Warning, subject, message, remedy.text);
            let tables = [Some(table.table.as_str()), table.partition_of.as_deref()];
            Some(advice.with_sql(remedy.sql).with_tables(tables.into_iter().flatten()))
        });
        advice.collect()
    }
}

/// The statements that likely read a table whole, the most frequent first.
fn likely<'a>(context: &RuleContext<'a>, server: &str, table: &TableScans) -> Vec<&'a Statement> {
    let whole = |stats: &StatementStats| {
        stats.calls > 0
            && stats.blocks as f64 >= MOST_OF * (table.pages.max(1) * stats.calls) as f64
    };
    let reads = |statement: &&Statement| {
        let recent = statement.steps.iter().rev().take(RECENT_STEPS);
        statement.in_current_database
            && statement.text.kind != StatementKind::Other
            && named_in(statement, table).is_some()
            && (whole(&statement.stats) || recent.into_iter().any(whole))
    };
    let mut found: Vec<_> = context.statements(server).filter(reads).collect();
    found.sort_by_key(|statement| Reverse(statement.stats.calls));
    found.truncate(NAMED);
    found
}

fn named(likely: &[&Statement]) -> String {
    let texts: Vec<_> = likely.iter().map(|one| format!("`{}`", one.text.brief())).collect();
    if texts.is_empty() { String::new() } else { format!(", likely by {}", texts.join(" and ")) }
}

/// A table as a statement names it: a partition by the table that it is part of.
fn named_in<'a>(
    statement: &'a Statement,
    table: &TableScans,
) -> Option<&'a crate::statement::NamedTable> {
    let text = &statement.text;
    text.table(&table.table).or_else(|| text.table(table.partition_of.as_deref()?))
}

/// A thing to do, and its SQL.
struct Remedy {
    text: String,
    sql: Vec<String>,
}

impl Remedy {
    /// The index that the first statement lacks for which one can be built, or the reason why none
    /// helps the first.
    fn new(likely: &[&Statement], table: &TableScans) -> Self {
        let choices =
            likely.iter().filter_map(|one| Some(choose(&one.text, named_in(one, table)?, table)));
        let choices: Vec<Choice> = choices.collect();
        let with_index = choices.iter().find(|choice| !choice.indexes.is_empty());
        let choice = with_index.or_else(|| choices.iter().find(|choice| choice.instead.is_some()));
        let Some(choice) = choice else {
            return Self { text: UNCLEAR.to_owned(), sql: Vec::new() };
        };
        let sql = choice.sql(&table.table);
        let text = match (&choice.instead, sql.is_empty()) {
            (Some(instead), true) => instead.clone(),
            (Some(instead), false) => {
                format!("{instead}; or, where that cannot be: {}", sql.join("; then "))
            }
            (None, _) => format!(
                "EXPLAIN the statement; where it asks for a few of the rows: {}",
                sql.join("; then ")
            ),
        };
        Self { text, sql }
    }
}

const UNCLEAR: &str = "EXPLAIN the statements that ask for a few of its rows, and index the \
                       columns of their WHERE; `poolwatch indexes` says whether an expected index \
                       is missing";

impl TableScansRule {
    /// A scan that a LIMIT ends early is none of the whole table.
    fn judge_table(&self, server: &str, table: &TableScans, recent: &Recent) -> Option<String> {
        let (ago, before) = recent.table(server, &table.table)?.before_with_age(WITHIN)?;
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
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Indexes, Top};
    use crate::statement::Text;

    fn table(rows: u64, scans: u64, rows_scanned: u64) -> Vec<Indexes> {
        let columns = ["kind", "at", "id"].map(str::to_owned).to_vec();
        let table = TableScans {
            table: "events".into(),
            rows,
            scans,
            rows_scanned,
            pages: 500,
            columns,
            ..TableScans::default()
        };
        let (server, number) = ("primary".to_owned(), scans);
        vec![Indexes { server, number, tables: vec![table], ..Indexes::default() }]
    }

    fn statement(sql: &str, calls: u64, blocks: u64) -> Statement {
        let stats = StatementStats { calls, blocks, ..StatementStats::default() };
        let text = Text::read(sql, 500).into();
        Statement {
            in_current_database: true,
            text,
            stats,
            steps: vec![stats],
            ..Statement::default()
        }
    }

    fn look_with(
        (rows, scans, rows_scanned): (u64, u64, u64),
        statements: Vec<Statement>,
    ) -> Vec<Advice> {
        let sessions = crate::reading::Sessions::default();
        let mut fixture =
            Fixture { indexes: table(rows, 9, 9), ..Fixture::with_sessions(sessions) };
        fixture.databases[0].top = Some(Top { statements, ..Top::default() }.into());
        assert_eq!(fixture.judge(&TableScansRule::default()), [], "one look is not enough");
        fixture.advance(59);
        fixture.indexes = table(rows, 9 + scans, 9 + rows_scanned);
        fixture.judge(&TableScansRule::default())
    }

    fn look(rows: u64, scans: u64, rows_scanned: u64) -> Vec<Advice> {
        look_with((rows, scans, rows_scanned), Vec::new())
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

    #[test]
    fn the_statement_that_asks_for_as_many_blocks_is_named_with_its_index() {
        let statements = vec![
            statement("SELECT * FROM events WHERE id = $1", 90_000, 270_000),
            statement("SELECT count(*) FROM events WHERE at > $1 AND kind = $2", 200, 100_000),
            statement("SELECT count(*) FROM others WHERE at > $1", 200, 900_000),
            statement("ANALYZE events", 1, 500),
        ];
        let advice = look_with((50_000, 200, 10_000_000), statements);
        let Advice { message, remedy, .. } = &advice[0];
        assert!(
            message
                .ends_with("likely by `SELECT count(*) FROM events WHERE at > $1 AND kind = $2`"),
            "{message}"
        );
        assert!(remedy.ends_with("CREATE INDEX CONCURRENTLY ON events (kind, at)"), "{remedy}");
    }

    #[test]
    fn an_index_is_suggested_only_of_columns_that_are_there() {
        let sql = "SELECT count(*) FROM events WHERE nothing > $1";
        let advice = look_with((50_000, 200, 10_000_000), vec![statement(sql, 200, 100_000)]);
        assert!(advice[0].message.contains("likely by"), "{advice:?}");
        assert!(!advice[0].remedy.contains("CREATE"), "{advice:?}");
    }

    #[test]
    fn a_table_that_is_scanned_no_more_is_spoken_of_no_more() {
        let sessions = crate::reading::Sessions::default();
        let mut fixture =
            Fixture { indexes: table(50_000, 9, 9), ..Fixture::with_sessions(sessions) };
        fixture.advance(30);
        fixture.indexes = table(50_000, 209, 10_000_009);
        assert_eq!(fixture.judge(&TableScansRule::default()).len(), 1);
        for _ in 0..2 {
            fixture.advance(29);
            fixture.indexes[0].number += 1;
            fixture.advance(1);
        }
        assert_eq!(fixture.judge(&TableScansRule::default()), [], "an index was built");
    }
}
