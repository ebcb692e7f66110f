//! Indexes: how they are used, and which are invalid or never used. There are more of them than
//! tables, and whether one is of use shows in days.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_user_indexes",
    pace: Pace::Slow,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_user_indexes",
        labels: &["datname", "schemaname", "relname", "indexrelname"],
        queries: &[
            Query {
                since: 16,
                sql: "\
            SELECT current_database() AS datname, schemaname, relname, indexrelname, indexrelid,
                   idx_scan AS activity,
                   idx_scan AS idx_scan_total,
                   idx_tup_read AS idx_tup_read_total,
                   idx_tup_fetch AS idx_tup_fetch_total,
                   extract(epoch FROM last_idx_scan) AS last_idx_scan_timestamp_seconds
              FROM pg_stat_user_indexes",
            },
            Query {
                since: 13,
                sql: "\
            SELECT current_database() AS datname, schemaname, relname, indexrelname, indexrelid,
                   idx_scan AS activity,
                   idx_scan AS idx_scan_total,
                   idx_tup_read AS idx_tup_read_total,
                   idx_tup_fetch AS idx_tup_fetch_total
              FROM pg_stat_user_indexes",
            },
        ],
        columns: &[
            counter("idx_scan_total", "Scans of the index; pg_stat_user_indexes.idx_scan."),
            counter(
                "idx_tup_read_total",
                "Entries returned by scans; pg_stat_user_indexes.idx_tup_read.",
            ),
            counter(
                "idx_tup_fetch_total",
                "Rows fetched by simple scans; pg_stat_user_indexes.idx_tup_fetch.",
            ),
            gauge(
                "last_idx_scan_timestamp_seconds",
                "When the index was last scanned, in Unix seconds; \
                pg_stat_user_indexes.last_idx_scan.",
            )
            .since(16)
            .apart(),
        ],
        bound: Some(Bound {
            rank: Rank::Server { key: "indexrelid", column: "activity", kept: &["datname"] },
            limit: 100,
        }),
        ..Table::EMPTY
    }],
};

/// The rows of `pg_stat_user_indexes` with `pg_index`, which that view has joined already: to join
/// it once more costs more than to read it.
macro_rules! of_users {
    () => {
        "FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
        WHERE class.relkind = 'i'
          AND class.relnamespace NOT IN (
              SELECT oid FROM pg_namespace
               WHERE nspname IN ('pg_catalog', 'information_schema') OR nspname ~ '^pg_toast')"
    };
}

macro_rules! named {
    ($figure:literal) => {
        concat!(
            "SELECT current_database() AS datname,
                    (SELECT nspname FROM pg_namespace WHERE oid = class.relnamespace) AS schemaname,
                    (SELECT relname FROM pg_class WHERE oid = indrelid) AS relname,
                    class.relname AS indexrelname, indexrelid, class.relpages, ",
            $figure,
            " "
        )
    };
}

pub(super) const HEALTH: Collector = Collector {
    name: "index_health",
    pace: Pace::Slow,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_indexes",
            labels: &["datname"],
            queries: &[Query {
                since: 13,
                sql: concat!(
                    "SELECT current_database() AS datname,
                            count(*) FILTER (WHERE indisvalid) AS unused,
                            coalesce(sum(relpages::bigint) FILTER (WHERE indisvalid), 0)
                                * current_setting('block_size')::bigint AS unused_bytes,
                            count(*) FILTER (WHERE NOT indisvalid) AS invalid ",
                    of_users!(),
                    " AND CASE WHEN indisvalid
                               THEN NOT indisunique AND pg_stat_get_numscans(indexrelid) = 0
                               ELSE true END"
                ),
            }],
            columns: &[
                gauge(
                    "unused",
                    "Valid indexes that no scan has used since the statistics began, those that \
                keep rows unique left out; pg_stat_user_indexes.idx_scan.",
                ),
                gauge(
                    "unused_bytes",
                    "Their size in bytes as last vacuumed or analyzed; pg_class.relpages.",
                ),
                gauge(
                    "invalid",
                    "Indexes that slow writes and serve no query, left by a failed CREATE INDEX \
                CONCURRENTLY; pg_index.indisvalid.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_index",
            labels: &["datname", "schemaname", "relname", "indexrelname"],
            queries: &[Query {
                since: 13,
                sql: concat!(named!("1 AS invalid"), of_users!(), " AND NOT indisvalid"),
            }],
            columns: &[gauge("invalid", "1 for each invalid index; pg_index.indisvalid.")],
            bound: Some(Bound {
                rank: Rank::Server { key: "indexrelid", column: "relpages", kept: &["datname"] },
                limit: 20,
            }),
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_index",
            labels: &["datname", "schemaname", "relname", "indexrelname"],
            queries: &[Query {
                since: 13,
                sql: concat!(
                    named!(
                        "class.relpages::bigint * current_setting('block_size')::bigint
                             AS unused_bytes"
                    ),
                    of_users!(),
                    " AND NOT indisunique AND indisvalid AND pg_stat_get_numscans(indexrelid) = 0"
                ),
            }],
            columns: &[gauge(
                "unused_bytes",
                "Size in bytes, as last vacuumed or analyzed, of an index that no scan has \
                used since the statistics began; pg_class.relpages.",
            )],
            bound: Some(Bound {
                rank: Rank::Server { key: "indexrelid", column: "relpages", kept: &["datname"] },
                limit: 20,
            }),
            ..Table::EMPTY
        },
    ],
};
