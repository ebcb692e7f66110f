//! Locks held and waited for, by mode. Every mode of every database is always there, so that a
//! sum does not vanish with its last lock.

use super::{Collector, Pace, Query, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "locks",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    tables: &[Table {
        prefix: "pg_locks",
        labels: &["datname", "mode"],
        queries: &[Query {
            since: 13,
            sql: "SELECT databases.datname, modes.mode, coalesce(locks.count, 0) AS count,
        coalesce(locks.waiting_count, 0) AS waiting_count
   FROM pg_database AS databases
  CROSS JOIN unnest(ARRAY['accesssharelock', 'rowsharelock', 'rowexclusivelock',
                          'shareupdateexclusivelock', 'sharelock', 'sharerowexclusivelock',
                          'exclusivelock', 'accessexclusivelock', 'sireadlock']) AS modes (mode)
   LEFT JOIN (
        SELECT database, lower(mode) AS mode, count(*) AS count,
               count(*) FILTER (WHERE NOT granted) AS waiting_count
          FROM pg_locks WHERE database IS NOT NULL GROUP BY 1, 2) AS locks
     ON locks.database = databases.oid AND locks.mode = modes.mode",
        }],
        columns: &[
            gauge("count", "Locks held or waited for; pg_locks.mode."),
            gauge("waiting_count", "Of them those waited for; pg_locks.granted."),
        ],
        ..Table::EMPTY
    }],
};
