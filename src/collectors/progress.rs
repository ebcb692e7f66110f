//! The progress of long commands. A table of another database is shown by its `oid`, because
//! only that database can give its name.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_progress",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_stat_progress_create_index",
            labels: &["datname", "relname", "command", "phase"],
            queries: &[Query {
                since: 13,
                sql: "\
             SELECT progress.datname, coalesce(relname, relid::text) AS relname, command, phase,
                    sum(lockers_total) AS lockers,
                    sum(lockers_done) AS lockers_done,
                    sum(blocks_total) AS blocks,
                    sum(blocks_done) AS blocks_done,
                    sum(tuples_total) AS tuples,
                    sum(tuples_done) AS tuples_done,
                    sum(partitions_total) AS partitions,
                    sum(partitions_done) AS partitions_done
               FROM pg_stat_progress_create_index AS progress
               LEFT JOIN pg_class
                 ON pg_class.oid = relid AND progress.datname = current_database()
              GROUP BY 1, 2, 3, 4",
            }],
            columns: &[
                gauge(
                    "lockers",
                    "Sessions to wait for; pg_stat_progress_create_index.lockers_total.",
                ),
                gauge(
                    "lockers_done",
                    "Sessions waited for; pg_stat_progress_create_index.lockers_done.",
                ),
                gauge(
                    "blocks",
                    "Blocks to process in this phase; pg_stat_progress_create_index.blocks_total.",
                ),
                gauge(
                    "blocks_done",
                    "Blocks processed in this phase; pg_stat_progress_create_index.blocks_done.",
                ),
                gauge(
                    "tuples",
                    "Rows to process in this phase; pg_stat_progress_create_index.tuples_total.",
                ),
                gauge(
                    "tuples_done",
                    "Rows processed in this phase; pg_stat_progress_create_index.tuples_done.",
                ),
                gauge(
                    "partitions",
                    "Partitions to index; pg_stat_progress_create_index.partitions_total.",
                ),
                gauge(
                    "partitions_done",
                    "Partitions indexed; pg_stat_progress_create_index.partitions_done.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_analyze",
            labels: &["datname", "relname", "phase"],
            queries: &[Query {
                since: 13,
                sql: "\
                  SELECT progress.datname, coalesce(relname, relid::text) AS relname, phase,
                         sum(sample_blks_total) AS sample_blks,
                         sum(sample_blks_scanned) AS sample_blks_scanned,
                         sum(child_tables_total) AS child_tables,
                         sum(child_tables_done) AS child_tables_done
                    FROM pg_stat_progress_analyze AS progress
                    LEFT JOIN pg_class
                      ON pg_class.oid = relid AND progress.datname = current_database()
                   GROUP BY 1, 2, 3",
            }],
            columns: &[
                gauge(
                    "sample_blks",
                    "Blocks to sample; pg_stat_progress_analyze.sample_blks_total.",
                ),
                gauge(
                    "sample_blks_scanned",
                    "Blocks sampled; pg_stat_progress_analyze.sample_blks_scanned.",
                ),
                gauge(
                    "child_tables",
                    "Child tables to scan; pg_stat_progress_analyze.child_tables_total.",
                ),
                gauge(
                    "child_tables_done",
                    "Child tables scanned; pg_stat_progress_analyze.child_tables_done.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_analyze",
            labels: &["datname", "relname", "started_by"],
            queries: &[Query {
                since: 19,
                sql: "\
                  SELECT progress.datname, coalesce(relname, relid::text) AS relname, started_by,
                         1 AS info
                    FROM pg_stat_progress_analyze AS progress
                    LEFT JOIN pg_class
                      ON pg_class.oid = relid AND progress.datname = current_database()
                   GROUP BY 1, 2, 3",
            }],
            columns: &[gauge(
                "info",
                "1 with who started the analyze, manual or autovacuum; \
                pg_stat_progress_analyze.started_by.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_copy",
            labels: &["datname", "relname", "command", "type"],
            queries: &[Query {
                since: 14,
                sql: "\
              SELECT progress.datname, coalesce(relname, relid::text) AS relname, command, type,
                     sum(bytes_total) AS bytes,
                     sum(bytes_processed) AS bytes_processed,
                     sum(tuples_processed) AS tuples_processed,
                     sum(tuples_excluded) AS tuples_excluded
                FROM pg_stat_progress_copy AS progress
                LEFT JOIN pg_class
                  ON pg_class.oid = relid AND progress.datname = current_database()
               GROUP BY 1, 2, 3, 4",
            }],
            columns: &[
                gauge(
                    "bytes",
                    "Bytes of the file, 0 when it comes through a pipe; \
                pg_stat_progress_copy.bytes_total.",
                ),
                gauge("bytes_processed", "Bytes copied; pg_stat_progress_copy.bytes_processed."),
                gauge("tuples_processed", "Rows copied; pg_stat_progress_copy.tuples_processed."),
                gauge(
                    "tuples_excluded",
                    "Rows left out by WHERE; pg_stat_progress_copy.tuples_excluded.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_cluster",
            labels: &["datname", "relname", "command", "phase"],
            // 19 shows the same commands, and REPACK as if it were one of them.
            queries: &[
                Query {
                    since: 19,
                    sql: "\
             SELECT progress.datname, coalesce(relname, relid::text) AS relname, command, phase,
                    sum(heap_blks_total) AS heap_blks,
                    sum(heap_blks_scanned) AS heap_blks_scanned,
                    sum(heap_tuples_scanned) AS heap_tuples_scanned,
                    sum(heap_tuples_inserted + heap_tuples_updated) AS heap_tuples_written,
                    sum(index_rebuild_count) AS index_rebuilds
               FROM pg_stat_progress_repack AS progress
               LEFT JOIN pg_class
                 ON pg_class.oid = relid AND progress.datname = current_database()
              WHERE command <> 'REPACK'
              GROUP BY 1, 2, 3, 4",
                },
                Query {
                    since: 13,
                    sql: "\
                 SELECT progress.datname, coalesce(relname, relid::text) AS relname, command, phase,
                        sum(heap_blks_total) AS heap_blks,
                        sum(heap_blks_scanned) AS heap_blks_scanned,
                        sum(heap_tuples_scanned) AS heap_tuples_scanned,
                        sum(heap_tuples_written) AS heap_tuples_written,
                        sum(index_rebuild_count) AS index_rebuilds
                   FROM pg_stat_progress_cluster AS progress
                   LEFT JOIN pg_class
                     ON pg_class.oid = relid AND progress.datname = current_database()
                  GROUP BY 1, 2, 3, 4",
                },
            ],
            columns: &[
                gauge(
                    "heap_blks",
                    "Blocks of the table; pg_stat_progress_cluster.heap_blks_total.",
                ),
                gauge(
                    "heap_blks_scanned",
                    "Blocks scanned; pg_stat_progress_cluster.heap_blks_scanned.",
                ),
                gauge(
                    "heap_tuples_scanned",
                    "Rows scanned; pg_stat_progress_cluster.heap_tuples_scanned.",
                ),
                gauge(
                    "heap_tuples_written",
                    "Rows written; pg_stat_progress_cluster.heap_tuples_written.",
                ),
                gauge(
                    "index_rebuilds",
                    "Indexes built again; pg_stat_progress_cluster.index_rebuild_count.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_repack",
            labels: &["datname", "relname", "phase"],
            queries: &[Query {
                since: 19,
                sql: "\
             SELECT progress.datname, coalesce(relname, relid::text) AS relname, phase,
                    sum(heap_blks_total) AS heap_blks,
                    sum(heap_blks_scanned) AS heap_blks_scanned,
                    sum(heap_tuples_scanned) AS heap_tuples_scanned,
                    sum(heap_tuples_inserted) AS heap_tuples_inserted,
                    sum(heap_tuples_updated) AS heap_tuples_updated,
                    sum(heap_tuples_deleted) AS heap_tuples_deleted,
                    sum(index_rebuild_count) AS index_rebuilds
               FROM pg_stat_progress_repack AS progress
               LEFT JOIN pg_class
                 ON pg_class.oid = relid AND progress.datname = current_database()
              WHERE command = 'REPACK'
              GROUP BY 1, 2, 3",
            }],
            columns: &[
                gauge("heap_blks", "Blocks of the table; pg_stat_progress_repack.heap_blks_total."),
                gauge(
                    "heap_blks_scanned",
                    "Blocks scanned; pg_stat_progress_repack.heap_blks_scanned.",
                ),
                gauge(
                    "heap_tuples_scanned",
                    "Rows scanned; pg_stat_progress_repack.heap_tuples_scanned.",
                ),
                gauge(
                    "heap_tuples_inserted",
                    "Rows written to the new table; pg_stat_progress_repack.heap_tuples_inserted.",
                ),
                gauge(
                    "heap_tuples_updated",
                    "Rows changed meanwhile and then in the new table; \
                    pg_stat_progress_repack.heap_tuples_updated.",
                ),
                gauge(
                    "heap_tuples_deleted",
                    "Rows deleted meanwhile and then from the new table; \
                    pg_stat_progress_repack.heap_tuples_deleted.",
                ),
                gauge(
                    "index_rebuilds",
                    "Indexes built again; pg_stat_progress_repack.index_rebuild_count.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_basebackup",
            labels: &["phase"],
            queries: &[Query {
                since: 13,
                sql: "SELECT phase,
                         sum(backup_total) AS backup_bytes,
                         sum(backup_streamed) AS backup_streamed_bytes,
                         sum(tablespaces_total) AS tablespaces,
                         sum(tablespaces_streamed) AS tablespaces_streamed
                    FROM pg_stat_progress_basebackup AS progress
                   GROUP BY 1",
            }],
            columns: &[
                gauge(
                    "backup_bytes",
                    "Bytes to send, as estimated; pg_stat_progress_basebackup.backup_total.",
                ),
                gauge(
                    "backup_streamed_bytes",
                    "Bytes sent; pg_stat_progress_basebackup.backup_streamed.",
                ),
                gauge(
                    "tablespaces",
                    "Tablespaces to send; pg_stat_progress_basebackup.tablespaces_total.",
                ),
                gauge(
                    "tablespaces_streamed",
                    "Tablespaces sent; pg_stat_progress_basebackup.tablespaces_streamed.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_progress_basebackup",
            labels: &["backup_type"],
            queries: &[Query {
                since: 19,
                sql: "SELECT backup_type, count(*) AS backups
                        FROM pg_stat_progress_basebackup GROUP BY 1",
            }],
            columns: &[gauge(
                "backups",
                "Backups running, full or incremental; pg_stat_progress_basebackup.backup_type.",
            )],
            ..Table::EMPTY
        },
    ],
};
