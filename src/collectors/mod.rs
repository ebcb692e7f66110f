//! The server's statistics as tables of SQL: one file a view, no code.
//!
//! To add one, write `NAME.rs` with one `pub(super) const` and add it to [`ALL`]. Where a statement
//! does not say all, its [`Reader`] names the source. Its metrics are
//! `PREFIX_COLUMN`, where the column is the alias in the SQL, so that grep finds both. Units are
//! made base units in the SQL. NULL is left out. A column that moved with a version is one more
//! [`Query`]; a view that a version lacks has no query for it, and then nothing is asked.

mod archiver;
mod autovacuum;
mod autovacuum_scores;
mod bgwriter;
mod bound;
mod buffercache;
mod checkpointer;
mod compatible;
mod conflicts;
mod connections;
mod database;
mod indexes;
mod io;
mod lock_waits;
mod locks;
mod long_running;
mod pending_restart;
mod postmaster;
mod prepared;
mod process_idle;
mod progress;
mod progress_vacuum;
mod replication;
mod replication_slots;
mod roles;
mod sampled;
mod sequences;
mod settings;
mod slru;
mod stat_activity;
mod stat_database;
mod stat_lock;
mod stat_recovery;
mod stat_replication;
mod statements;
mod static_info;
mod statio;
mod subscriptions;
mod unseen;
mod user_tables;
mod wal;
mod wal_receiver;
mod wraparound;

use crate::metric::Kind;

pub use bound::{Bound, Measure, OTHER, Rank};
pub use compatible::{COMPATIBLE_NAMES, DEFAULT_METRICS, RENAMED};
pub use sampled::{DATABASE_SIZE, OTHER_DATABASES, SERVER_CPU, STATEMENT_DURATIONS, WAIT_EVENTS};
pub use unseen::{UNSEEN, Unseen};

/// Every collector, in the order of the documentation.
pub const ALL: &[&Collector] = &[
    &archiver::COLLECTOR,
    &autovacuum::COLLECTOR,
    &autovacuum::WORKERS,
    &autovacuum_scores::COLLECTOR,
    &bgwriter::COLLECTOR,
    &buffercache::COLLECTOR,
    &checkpointer::COLLECTOR,
    &conflicts::COLLECTOR,
    &connections::COLLECTOR,
    &database::COLLECTOR,
    &DATABASE_SIZE,
    &indexes::COLLECTOR,
    &indexes::HEALTH,
    &io::COLLECTOR,
    &lock_waits::COLLECTOR,
    &locks::COLLECTOR,
    &long_running::COLLECTOR,
    &pending_restart::COLLECTOR,
    &OTHER_DATABASES,
    &postmaster::COLLECTOR,
    &prepared::COLLECTOR,
    &process_idle::COLLECTOR,
    &progress::COLLECTOR,
    &progress_vacuum::COLLECTOR,
    &replication::COLLECTOR,
    &replication_slots::COLLECTOR,
    &roles::COLLECTOR,
    &SERVER_CPU,
    &sequences::COLLECTOR,
    &settings::COLLECTOR,
    &slru::COLLECTOR,
    &stat_activity::COLLECTOR,
    &stat_database::COLLECTOR,
    &stat_lock::COLLECTOR,
    &stat_recovery::COLLECTOR,
    &stat_replication::COLLECTOR,
    &statements::COLLECTOR,
    &STATEMENT_DURATIONS,
    &static_info::COLLECTOR,
    &statio::INDEXES,
    &statio::TABLES,
    &subscriptions::COLLECTOR,
    &user_tables::COLLECTOR,
    &user_tables::SIZE,
    &wal::COLLECTOR,
    &wal::ACTIVITY,
    &wal_receiver::COLLECTOR,
    &WAIT_EVENTS,
    &wraparound::COLLECTOR,
    &wraparound::TABLES,
];

/// One group of figures that succeeds or fails together.
#[derive(Debug)]
pub struct Collector {
    /// Its name in the settings and in `poolwatch_source_up`.
    pub name: &'static str,
    /// The timer by which it is read, unless the settings say otherwise.
    pub pace: Pace,
    /// The scope of its figures: the server, or each database.
    pub scope: Scope,
    /// True when it is read, unless the settings say otherwise.
    pub enabled: bool,
    /// The collector that `postgres_exporter` has it in: switched off with that one.
    pub part_of: Option<&'static str>,
    /// The code that reads it.
    pub reader: Reader,
    /// The tables that it reads.
    pub tables: &'static [Table],
}

/// The code that reads a collector: the statements of its tables are enough, or it needs its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Its tables alone: `sources/collector`.
    Tables,
    /// `sources/database_sizes.rs`.
    DatabaseSizes,
    /// `sources/other_databases.rs`.
    OtherDatabases,
    /// `sources/server_cpu.rs`.
    ServerCpu,
    /// `sources/statements`.
    Statements,
    /// `sources/wait_events.rs`.
    WaitEvents,
}

/// The timer of the settings' `sampling` that reads a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// `sampling.activity`.
    Activity,
    /// `sampling.server`.
    Server,
    /// `sampling.statements`.
    Statements,
    /// `sampling.tables`.
    Tables,
    /// `sampling.sizes`, for what changes slowly.
    Slow,
    /// `sampling.sizes`, and never more often than it may be: what walks the disk.
    Sizes,
}

/// The scope within which a collector's views show the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every database: asked once.
    Server,
    /// In no other database: asked in each.
    Database,
}

/// One statement's worth of families that share labels.
#[derive(Debug)]
pub struct Table {
    /// The beginning of each family's name.
    pub prefix: &'static str,
    /// The extension that has the view. Its version then stands in for the server's, 1.8 as 108,
    /// and `@extension.` in the SQL for its schema.
    pub extension: Option<&'static str>,
    /// The statement by version, newest first.
    pub queries: &'static [Query],
    /// Columns that are labels.
    pub labels: &'static [&'static str],
    /// Columns that are figures.
    pub columns: &'static [Column],
    /// The limit of rows that are shown, where there may be any number.
    pub bound: Option<Bound>,
    /// Rows that are there even when there is nothing to count, so that a sum over them does not
    /// vanish.
    pub every: Option<Every>,
    /// True when the rows name the families: `name` and `help` are then columns of the statement.
    pub named_by_row: bool,
}

/// Each of these values of a label is there for each value of the first label: the statement has
/// at least one row of that, and gives what there is.
#[derive(Debug)]
pub struct Every {
    /// The label. Rows with another value of it, or none, only name the first.
    pub label: &'static str,
    /// Its values.
    pub values: &'static [&'static str],
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
    /// The kind of figure.
    pub kind: Kind,
    /// The help text, which names the view and column that the figure comes from.
    pub help: &'static str,
    /// The first version that has it.
    pub since: u32,
    /// True when the figures of several rows add up to one figure for all of them.
    pub adds_up: bool,
    /// True for an age, which is left out where it is below 0 because a clock was set back.
    pub is_age: bool,
    /// Upper bounds of a histogram, whose rows are each one observation.
    pub bounds: &'static [f64],
}

/// A column whose figure may go up and down.
pub const fn gauge(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: Kind::Gauge, help, since: 0, adds_up: true, is_age: false, bounds: &[] }
}

/// A column whose figure is how long ago something was, in seconds.
pub const fn age(name: &'static str, help: &'static str) -> Column {
    Column { is_age: true, ..gauge(name, help) }
}

/// A column whose figure only grows.
pub const fn counter(name: &'static str, help: &'static str) -> Column {
    Column { kind: Kind::Counter, ..gauge(name, help) }
}

/// A column whose rows are each one observation.
pub const fn histogram(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Column {
    Column { kind: Kind::Histogram, bounds, ..gauge(name, help) }
}

impl Column {
    /// The same column, absent before a version.
    pub const fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }

    /// The same column, whose sum over rows has no meaning.
    pub const fn apart(self) -> Self {
        Self { adds_up: false, ..self }
    }
}

impl Query {
    /// The newest of these statements that a version takes.
    pub fn newest(queries: &'static [Self], version: u32) -> Option<&'static str> {
        queries.iter().find(|query| query.since <= version).map(|query| query.sql)
    }
}

impl Collector {
    /// The name of the collector that has settings of its own.
    pub const STATEMENTS: &str = "stat_statements";

    /// The collector of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|collector| collector.name == name)
    }
}

impl Table {
    /// A table without anything, to be filled.
    pub const EMPTY: Self = Self {
        prefix: "",
        extension: None,
        queries: &[],
        labels: &[],
        columns: &[],
        bound: None,
        every: None,
        named_by_row: false,
    };

    /// The functions of its extension that its statements call.
    pub fn called(&self) -> Vec<&'static str> {
        let calls = self.queries.iter().flat_map(|query| query.sql.split("@extension.").skip(1));
        let name = |rest: &'static str| {
            let other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            rest.split(other).next().unwrap_or(rest)
        };
        calls.map(name).collect()
    }

    /// The family's whole name.
    pub fn family(&self, column: &Column) -> String {
        format!("{}_{}", self.prefix, column.name)
    }

    /// The columns that a version has.
    pub fn columns(&self, version: u32) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().filter(move |column| column.since <= version)
    }

    /// The first version of the server that has something to ask, where there is one that has not.
    pub fn since(&self) -> Option<u32> {
        self.queries.last().map(|query| query.since).filter(|_| self.extension.is_none())
    }

    /// The statement for a version, its labels as text and its figures as floats; `None` when the
    /// version has no such view. One that the server ranks takes the limit and the keys that are
    /// always shown.
    pub fn statement(&self, version: u32) -> Option<String> {
        let sql = Query::newest(self.queries, version)?;
        let labels = self.labels.iter().map(|label| format!("\"{label}\"::text"));
        let figures = self.columns(version).map(|column| format!("\"{}\"::float8", column.name));
        let selected = labels.chain(figures).collect::<Vec<_>>().join(", ");
        let ranked =
            self.bound.as_ref().and_then(|bound| bound.statement(self, version, sql, &selected));
        Some(ranked.unwrap_or_else(|| format!("SELECT {selected} FROM ({sql}) AS reading")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn tables() -> impl Iterator<Item = (&'static Collector, &'static Table)> {
        ALL.iter()
            .flat_map(|collector| collector.tables.iter().map(move |table| (*collector, table)))
    }

    #[test]
    fn what_its_tables_alone_read_has_statements_and_what_needs_code_has_none() {
        for collector in ALL {
            let has_statements = collector.tables.iter().any(|table| !table.queries.is_empty());
            let is_of_tables = collector.reader == Reader::Tables;
            assert_eq!(has_statements, is_of_tables, "{}", collector.name);
        }
    }

    #[test]
    fn queries_are_newest_first() {
        for (collector, table) in tables() {
            let since: Vec<_> = table.queries.iter().map(|query| query.since).collect();
            assert!(since.is_sorted_by(|a, b| a > b), "{}: {since:?}", collector.name);
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
                let bound = table.bound.iter().flat_map(Bound::names);
                let named = present.map(|column| column.name).chain(table.labels.iter().copied());
                for name in named.chain(bound) {
                    assert!(query.sql.contains(name), "{} lacks {name}", query.sql);
                }
            }
        }
    }

    #[test]
    fn of_an_extension_functions_are_called_and_no_views_read() {
        // Those without a statement are read by a source of their own.
        for (collector, table) in tables().filter(|(_, table)| !table.queries.is_empty()) {
            assert_eq!(table.called().is_empty(), table.extension.is_none(), "{}", collector.name);
            for name in table.called() {
                let sql = table.queries.iter().map(|query| query.sql).collect::<String>();
                let places = sql.matches(&format!("@extension.{name}")).count();
                let calls = sql.matches(&format!("@extension.{name}(")).count();
                assert_eq!(places, calls, "{name}");
            }
        }
    }

    #[test]
    fn every_database_of_a_server_has_the_same_columns() {
        let each = tables().filter(|(collector, _)| collector.scope == Scope::Database);
        for (collector, table) in each {
            assert!(table.extension.is_none(), "{}", collector.name);
        }
    }

    #[test]
    fn what_is_always_there_is_of_a_label_after_the_first() {
        for (collector, table) in tables() {
            let Some(every) = &table.every else { continue };
            assert!(table.labels[1..].contains(&every.label), "{}", collector.name);
            assert!(table.bound.is_none() && !table.named_by_row, "{}", collector.name);
        }
    }

    #[test]
    fn what_is_there_for_each_table_or_statement_is_bounded() {
        for (collector, table) in tables() {
            let each = ["relname", "indexrelname", "queryid", "sequencename"];
            let many = table.labels.iter().any(|label| each.contains(label));
            let brief = collector.name.starts_with("stat_progress")
                || collector.name == "stat_activity_autovacuum";
            assert!(!many || brief || table.bound.is_some(), "{}", collector.name);
        }
    }

    #[test]
    fn a_part_is_of_a_collector_that_there_is() {
        for collector in ALL.iter().filter_map(|collector| collector.part_of) {
            assert!(Collector::named(collector).is_some(), "{collector}");
        }
    }
}
