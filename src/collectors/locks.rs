//! Locks held and waited for, by mode.

use super::{Collector, Every, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "locks",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_locks",
        labels: &["datname", "mode"],
        queries: &[Query {
            since: 13,
            sql: "SELECT databases.datname, locks.mode, locks.count, locks.waiting_count
   FROM pg_database AS databases
   LEFT JOIN (
        SELECT database, lower(mode) AS mode, count(*) AS count,
               count(*) FILTER (WHERE NOT granted) AS waiting_count
          FROM pg_locks WHERE database IS NOT NULL GROUP BY 1, 2) AS locks
     ON locks.database = databases.oid",
        }],
        every: Some(Every {
            label: "mode",
            values: &[
                "accesssharelock",
                "rowsharelock",
                "rowexclusivelock",
                "shareupdateexclusivelock",
                "sharelock",
                "sharerowexclusivelock",
                "exclusivelock",
                "accessexclusivelock",
                "sireadlock",
            ],
        }),
        columns: &[
            gauge("count", "Locks held or waited for; pg_locks.mode."),
            gauge("waiting_count", "Of them those waited for; pg_locks.granted."),
        ],
        ..Table::EMPTY
    }],
};
