//! Write-ahead log: what is written, and what lies in its folder.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "wal",
    pace: Pace::Tables,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_wal",
        queries: &[Query {
            since: 13,
            sql: "SELECT count(*) AS segments, sum(size) AS size_bytes
                    FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'",
        }],
        columns: &[
            gauge("segments", "Segments in the folder; pg_ls_waldir()."),
            gauge("size_bytes", "Their size in bytes; pg_ls_waldir()."),
        ],
        ..Table::EMPTY
    }],
};

pub(super) const ACTIVITY: Collector = Collector {
    name: "stat_wal",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_stat_wal",
            queries: &[
                Query {
                    since: 19,
                    sql: "SELECT wal_records AS records_total, wal_fpi AS full_page_images_total,
                         wal_bytes AS bytes_total, wal_buffers_full AS buffers_full_total,
                         wal_fpi_bytes AS full_page_image_bytes_total
                    FROM pg_stat_wal",
                },
                Query {
                    since: 14,
                    sql: "SELECT wal_records AS records_total, wal_fpi AS full_page_images_total,
                         wal_bytes AS bytes_total, wal_buffers_full AS buffers_full_total
                    FROM pg_stat_wal",
                },
            ],
            columns: &[
                counter("records_total", "Records written; pg_stat_wal.wal_records."),
                counter("full_page_images_total", "Whole pages written; pg_stat_wal.wal_fpi."),
                counter("bytes_total", "Bytes written; pg_stat_wal.wal_bytes."),
                counter(
                    "buffers_full_total",
                    "Writes because the buffers were full; pg_stat_wal.wal_buffers_full.",
                ),
                counter(
                    "full_page_image_bytes_total",
                    "Bytes of whole pages written, of bytes_total; pg_stat_wal.wal_fpi_bytes.",
                )
                .since(19),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_wal",
            queries: &[
                Query {
                    since: 18,
                    sql: "SELECT sum(writes) AS writes_total, sum(fsyncs) AS syncs_total,
                         sum(write_time) / 1000.0 AS write_seconds_total,
                         sum(fsync_time) / 1000.0 AS sync_seconds_total
                    FROM pg_stat_io WHERE object = 'wal'",
                },
                Query {
                    since: 14,
                    sql: "SELECT wal_write AS writes_total, wal_sync AS syncs_total,
                         wal_write_time / 1000.0 AS write_seconds_total,
                         wal_sync_time / 1000.0 AS sync_seconds_total
                    FROM pg_stat_wal",
                },
            ],
            columns: &[
                counter(
                    "writes_total",
                    "Writes of the buffers to disk; pg_stat_io.writes, before 18 \
                pg_stat_wal.wal_write.",
                ),
                counter("syncs_total", "Syncs; pg_stat_io.fsyncs, before 18 pg_stat_wal.wal_sync."),
                counter(
                    "write_seconds_total",
                    "Time spent writing, 0 without track_wal_io_timing; pg_stat_io.write_time, \
                before 18 pg_stat_wal.wal_write_time.",
                ),
                counter(
                    "sync_seconds_total",
                    "Time spent syncing, 0 without track_wal_io_timing; pg_stat_io.fsync_time, \
                before 18 pg_stat_wal.wal_sync_time.",
                ),
            ],
            ..Table::EMPTY
        },
    ],
};
