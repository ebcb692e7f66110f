//! Archiving of write-ahead log.

use super::{Collector, Pace, Query, Reader, Scope, Table, age, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_archiver",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_archiver",
        queries: &[Query {
            since: 13,
            sql: "SELECT archived_count, failed_count,
                         extract(epoch FROM now() - last_archived_time) AS last_archive_age,
                         extract(epoch FROM last_failed_time) AS last_failed_timestamp_seconds
                    FROM pg_stat_archiver",
        }],
        columns: &[
            counter("archived_count", "Segments archived; pg_stat_archiver.archived_count."),
            counter(
                "failed_count",
                "Attempts at archiving that failed; pg_stat_archiver.failed_count.",
            ),
            age(
                "last_archive_age",
                "Seconds since a segment was last archived, absent before the first; \
                pg_stat_archiver.last_archived_time.",
            ),
            gauge(
                "last_failed_timestamp_seconds",
                "When archiving last failed, in Unix seconds; \
                pg_stat_archiver.last_failed_time.",
            ),
        ],
        ..Table::EMPTY
    }],
};
