//! Queries that recovery cancelled on a standby, by cause.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_database_conflicts",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_database_conflicts",
        labels: &["datid", "datname"],
        queries: &[
            Query {
                since: 19,
                sql: "\
           SELECT datid, datname, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin,
                  confl_deadlock, confl_active_logicalslot,
                  extract(epoch FROM stats_reset) AS stats_reset
             FROM pg_stat_database_conflicts",
            },
            Query {
                since: 16,
                sql: "\
           SELECT datid, datname, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin,
                  confl_deadlock, confl_active_logicalslot
             FROM pg_stat_database_conflicts",
            },
            Query {
                since: 13,
                sql: "\
           SELECT datid, datname, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin,
                  confl_deadlock
             FROM pg_stat_database_conflicts",
            },
        ],
        columns: &[
            counter(
                "confl_tablespace",
                "Queries cancelled for a dropped tablespace; \
                pg_stat_database_conflicts.confl_tablespace.",
            ),
            counter(
                "confl_lock",
                "Queries cancelled for a lock; pg_stat_database_conflicts.confl_lock.",
            ),
            counter(
                "confl_snapshot",
                "Queries cancelled for an old snapshot; \
                pg_stat_database_conflicts.confl_snapshot.",
            ),
            counter(
                "confl_bufferpin",
                "Queries cancelled for a pinned buffer; \
                pg_stat_database_conflicts.confl_bufferpin.",
            ),
            counter(
                "confl_deadlock",
                "Queries cancelled for a deadlock; pg_stat_database_conflicts.confl_deadlock.",
            ),
            counter(
                "confl_active_logicalslot",
                "Uses of logical slots cancelled; \
                pg_stat_database_conflicts.confl_active_logicalslot.",
            )
            .since(16),
            gauge(
                "stats_reset",
                "When the counting began, in Unix seconds, absent where it was never reset; \
                pg_stat_database_conflicts.stats_reset.",
            )
            .since(19),
        ],
        ..Table::EMPTY
    }],
};
