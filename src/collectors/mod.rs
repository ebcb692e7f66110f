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
mod catalog;
mod checkpointer;
mod client_sessions;
mod collector;
mod column;
mod compatible;
mod conflicts;
mod connections;
mod database;
mod extensions;
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
mod ssl;
mod stat_activity;
mod stat_database;
mod stat_lock;
mod stat_recovery;
mod stat_replication;
mod statements;
mod static_info;
mod statio;
mod subscriptions;
mod table;
mod temp_files;
mod unseen;
mod user_tables;
mod wal;
mod wal_receiver;
mod wraparound;

pub use bound::{Bound, Measure, OTHER, Rank};
pub use collector::{Collector, Pace, Reader, Scope};
pub use column::{Column, age, counter, gauge, histogram};
pub use compatible::{COMPATIBLE_NAMES, DEFAULT_METRICS, RENAMED};
pub use sampled::{DATABASE_SIZE, OTHER_DATABASES, SERVER_CPU, STATEMENT_DURATIONS, WAIT_EVENTS};
pub use table::{Every, Query, Table};
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
    &client_sessions::COLLECTOR,
    &conflicts::COLLECTOR,
    &connections::COLLECTOR,
    &database::COLLECTOR,
    &DATABASE_SIZE,
    &extensions::COLLECTOR,
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
    &ssl::COLLECTOR,
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
    &catalog::COLLECTOR,
    &temp_files::COLLECTOR,
    &user_tables::COLLECTOR,
    &user_tables::SIZE,
    &wal::COLLECTOR,
    &wal::ACTIVITY,
    &wal_receiver::COLLECTOR,
    &WAIT_EVENTS,
    &wraparound::COLLECTOR,
    &wraparound::TABLES,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Kind;
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
            // Its reader makes no more of them than its limit says, by default none.
            let limited = collector.name == "statement_durations";
            assert!(!many || brief || limited || table.bound.is_some(), "{}", collector.name);
        }
    }

    #[test]
    fn a_part_is_of_a_collector_that_there_is() {
        for collector in ALL.iter().filter_map(|collector| collector.part_of) {
            assert!(Collector::named(collector).is_some(), "{collector}");
        }
    }
}
