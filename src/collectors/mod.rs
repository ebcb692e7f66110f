//! The server's statistics as tables of SQL: one file a view, no code.
//!
//! To add one, write `NAME.rs` with one `pub(super) const` and add it to [`ALL`]. Its metrics are
//! `PREFIX_COLUMN`, where the column is the alias in the SQL, so that grep finds both. Units are
//! made base units in the SQL. NULL is left out. A column that moved with a version is one more
//! [`Query`]; a view that a version lacks has no query for it, and then nothing is asked.

mod stat_activity;
mod stat_database;

use crate::metric::Kind;

/// Every collector, in the order of the documentation.
pub const ALL: &[&Collector] = &[&stat_activity::COLLECTOR, &stat_database::COLLECTOR];

/// One group of figures that succeeds or fails together.
#[derive(Debug)]
pub struct Collector {
    /// Its name in the settings and in `poolwatch_source_up`.
    pub name: &'static str,
    /// How often it is read, unless the settings say otherwise.
    pub pace: Pace,
    /// Whether it is read, unless the settings say otherwise.
    pub enabled: bool,
    /// What is asked.
    pub tables: &'static [Table],
}

/// Which timer of the settings' `sampling` reads a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// `sampling.server`.
    Server,
    /// `sampling.statements`.
    Statements,
    /// `sampling.tables`.
    Tables,
    /// `sampling.sizes`.
    Sizes,
}

/// One statement's worth of families that share labels.
#[derive(Debug)]
pub struct Table {
    /// The beginning of each family's name.
    pub prefix: &'static str,
    /// The statement by the server's version, newest first.
    pub queries: &'static [Query],
    /// Columns that are labels.
    pub labels: &'static [&'static str],
    /// Columns that are figures.
    pub columns: &'static [Column],
}

/// A statement and the major version from which it works.
#[derive(Debug)]
pub struct Query {
    /// The first major version that has all it names.
    pub since: u32,
    /// The statement. Each label and column is an alias in it.
    pub sql: &'static str,
}

/// A column that is a figure.
#[derive(Debug)]
pub struct Column {
    /// The alias in the SQL, and the end of the family's name.
    pub name: &'static str,
    /// What kind of figure.
    pub kind: Kind,
    /// What it is, naming the view and column it comes from.
    pub help: &'static str,
    /// The first major version that has it.
    pub since: u32,
}

/// A column whose figure may go up and down.
pub const fn gauge(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: Kind::Gauge, help, since: 0 }
}

/// A column whose figure only grows.
pub const fn counter(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: Kind::Counter, help, since: 0 }
}

impl Column {
    /// The same column, absent before a major version.
    pub const fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }
}

impl Collector {
    /// The collector of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|collector| collector.name == name)
    }
}

impl Table {
    /// The family's whole name.
    pub fn family(&self, column: &Column) -> String {
        format!("{}_{}", self.prefix, column.name)
    }

    /// The columns that a major version has.
    pub fn columns(&self, major: u32) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().filter(move |column| column.since <= major)
    }

    /// The statement for a major version, its labels as text and its figures as floats; `None`
    /// when the version has no such view.
    pub fn statement(&self, major: u32) -> Option<String> {
        let query = self.queries.iter().find(|query| query.since <= major)?;
        let labels = self.labels.iter().map(|label| format!("\"{label}\"::text"));
        let figures = self.columns(major).map(|column| format!("\"{}\"::float8", column.name));
        let selected: Vec<_> = labels.chain(figures).collect();
        Some(format!("SELECT {} FROM ({}) AS reading", selected.join(", "), query.sql))
    }
}

/// Families that keep a name which Prometheus' linter would not choose, because dashboards and
/// alerts written for `postgres_exporter` or `pgbouncer_exporter` ask for it.
pub const COMPATIBLE_NAMES: &[&str] = &[
    "pg_stat_activity_count",
    "pg_stat_activity_max_tx_duration",
    "pg_stat_database_xact_commit",
    "pg_stat_database_xact_rollback",
    "pg_stat_database_blks_read",
    "pg_stat_database_blks_hit",
    "pg_stat_database_tup_returned",
    "pg_stat_database_tup_fetched",
    "pg_stat_database_tup_inserted",
    "pg_stat_database_tup_updated",
    "pg_stat_database_tup_deleted",
    "pg_stat_database_conflicts",
    "pg_stat_database_temp_files",
    "pg_stat_database_temp_bytes",
    "pg_stat_database_deadlocks",
    "pg_stat_database_blk_read_time",
    "pg_stat_database_blk_write_time",
    "pg_stat_database_stats_reset",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn tables() -> impl Iterator<Item = (&'static Collector, &'static Table)> {
        ALL.iter()
            .flat_map(|collector| collector.tables.iter().map(move |table| (*collector, table)))
    }

    #[test]
    fn queries_are_newest_first() {
        for (collector, table) in tables() {
            let since: Vec<_> = table.queries.iter().map(|query| query.since).collect();
            assert!(since.is_sorted_by(|a, b| a > b), "{}: {since:?}", collector.name);
            assert!(!since.is_empty(), "{}", collector.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = HashSet::new();
        assert!(ALL.iter().all(|collector| names.insert(collector.name)));
        let mut families = HashSet::new();
        for (_, table) in tables() {
            for column in table.columns {
                assert!(families.insert(table.family(column)), "{}", table.family(column));
            }
        }
    }

    #[test]
    fn help_is_a_sentence() {
        for (_, table) in tables() {
            for column in table.columns {
                assert!(column.help.ends_with('.'), "{}", table.family(column));
                assert!(column.help.starts_with(|c: char| !c.is_lowercase()), "{}", column.help);
            }
        }
    }

    #[test]
    fn counters_end_in_total_unless_kept_for_compatibility() {
        for (_, table) in tables() {
            for column in table.columns.iter().filter(|column| column.kind == Kind::Counter) {
                let name = table.family(column);
                let kept = COMPATIBLE_NAMES.contains(&name.as_str());
                assert!(kept || name.ends_with("_total"), "{name}");
            }
        }
    }

    #[test]
    fn every_column_and_label_is_an_alias_of_every_statement() {
        for (_, table) in tables() {
            for query in table.queries {
                let present = table.columns.iter().filter(|column| column.since <= query.since);
                for name in present.map(|column| column.name).chain(table.labels.iter().copied()) {
                    assert!(query.sql.contains(name), "{} lacks {name}", query.sql);
                }
            }
        }
    }
}
