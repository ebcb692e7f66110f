//! Waits for locks by what was locked, as the server counts them.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_lock",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_lock",
        labels: &["locktype"],
        queries: &[Query {
            since: 19,
            sql: "SELECT locktype, waits AS waits_total, wait_time / 1000.0::float8 AS wait_seconds_total,
                         fastpath_exceeded AS fastpath_exceeded_total,
                         extract(epoch FROM stats_reset) AS reset_timestamp_seconds
                    FROM pg_stat_lock",
        }],
        columns: &[
            counter(
                "waits_total",
                "Locks that were granted after a wait longer than deadlock_timeout; pg_stat_lock.waits.",
            ),
            counter("wait_seconds_total", "How long those waits were; pg_stat_lock.wait_time."),
            counter(
                "fastpath_exceeded_total",
                "Locks that did not fit into the session's fast-path slots, whose number follows \
                from max_locks_per_transaction; pg_stat_lock.fastpath_exceeded.",
            ),
            gauge(
                "reset_timestamp_seconds",
                "When the counting began, in Unix seconds; pg_stat_lock.stats_reset.",
            ),
        ],
        ..Table::EMPTY
    }],
};
