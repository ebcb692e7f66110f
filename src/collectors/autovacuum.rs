//! Autovacuum at work: its workers, and what they are on.

use super::{Collector, Pace, Query, Reader, Scope, Table, age, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_activity_autovacuum",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_activity_autovacuum",
        labels: &["relname"],
        queries: &[Query {
            since: 13,
            sql: "SELECT split_part(split_part(query, '.', 2), ' (', 1) AS relname,
                         min(extract(epoch FROM xact_start)) AS timestamp_seconds
                    FROM pg_stat_activity
                   WHERE backend_type = 'autovacuum worker' AND query LIKE 'autovacuum: %'
                   GROUP BY 1",
        }],
        columns: &[gauge(
            "timestamp_seconds",
            "When the worker on this table began, in Unix seconds; \
                pg_stat_activity.xact_start.",
        )],
        ..Table::EMPTY
    }],
};

pub(super) const WORKERS: Collector = Collector {
    name: "autovacuum",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_autovacuum",
        queries: &[Query {
            since: 13,
            sql: "SELECT count(*) AS workers,
             count(*) FILTER (WHERE query LIKE '%to prevent wraparound)') AS wraparound_workers,
             max(extract(epoch FROM clock_timestamp() - xact_start)) AS longest_seconds,
             current_setting('autovacuum_max_workers') AS workers_limit
        FROM pg_stat_activity
       WHERE backend_type = 'autovacuum worker'",
        }],
        columns: &[
            gauge("workers", "Autovacuum workers running; pg_stat_activity.backend_type."),
            gauge(
                "wraparound_workers",
                "Of them those that prevent wraparound and do not yield to locks; \
                pg_stat_activity.query.",
            ),
            age(
                "longest_seconds",
                "How long the longest running worker has been on its table; \
                pg_stat_activity.xact_start.",
            ),
            gauge(
                "workers_limit",
                "The most workers at a time; pg_settings.autovacuum_max_workers.",
            ),
        ],
        ..Table::EMPTY
    }],
};
