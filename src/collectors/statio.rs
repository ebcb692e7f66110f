//! Blocks of tables and indexes, read or found in shared buffers.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, counter};

pub(super) const INDEXES: Collector = Collector {
    name: "statio_user_indexes",
    pace: Pace::Tables,
    scope: Scope::Database,
    enabled: false,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_statio_user_indexes",
        labels: &["datname", "schemaname", "relname", "indexrelname"],
        queries: &[Query {
            since: 13,
            sql: "\
            SELECT current_database() AS datname, schemaname, relname, indexrelname, indexrelid,
                   idx_blks_read + idx_blks_hit AS activity,
                   idx_blks_read AS idx_blks_read_total, idx_blks_hit AS idx_blks_hit_total
              FROM pg_statio_user_indexes",
        }],
        columns: &[
            counter("idx_blks_read_total", "Blocks read; pg_statio_user_indexes.idx_blks_read."),
            counter(
                "idx_blks_hit_total",
                "Blocks found in shared buffers; pg_statio_user_indexes.idx_blks_hit.",
            ),
        ],
        bound: Some(Bound {
            rank: Rank::Server { key: "indexrelid", column: "activity", kept: &["datname"] },
            limit: 100,
        }),
        ..Table::EMPTY
    }],
};

pub(super) const TABLES: Collector = Collector {
    name: "statio_user_tables",
    pace: Pace::Tables,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_statio_user_tables",
        labels: &["datname", "schemaname", "relname"],
        queries: &[Query {
            since: 13,
            sql: "SELECT current_database() AS datname, schemaname, relname, relid,
         heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0) AS activity,
         heap_blks_read AS heap_blocks_read,
         heap_blks_hit AS heap_blocks_hit,
         idx_blks_read AS idx_blocks_read,
         idx_blks_hit AS idx_blocks_hit,
         toast_blks_read AS toast_blocks_read,
         toast_blks_hit AS toast_blocks_hit,
         tidx_blks_read AS tidx_blocks_read,
         tidx_blks_hit AS tidx_blocks_hit
    FROM pg_statio_user_tables",
        }],
        columns: &[
            counter(
                "heap_blocks_read",
                "Blocks of the table read; pg_statio_user_tables.heap_blks_read.",
            ),
            counter(
                "heap_blocks_hit",
                "Blocks of the table found in shared buffers; \
                pg_statio_user_tables.heap_blks_hit.",
            ),
            counter(
                "idx_blocks_read",
                "Blocks of its indexes read; pg_statio_user_tables.idx_blks_read.",
            ),
            counter(
                "idx_blocks_hit",
                "Blocks of its indexes found in shared buffers; \
                pg_statio_user_tables.idx_blks_hit.",
            ),
            counter(
                "toast_blocks_read",
                "Blocks of its TOAST table read; pg_statio_user_tables.toast_blks_read.",
            ),
            counter(
                "toast_blocks_hit",
                "Blocks of its TOAST table found in shared buffers; \
                pg_statio_user_tables.toast_blks_hit.",
            ),
            counter(
                "tidx_blocks_read",
                "Blocks of its TOAST table's indexes read; \
                pg_statio_user_tables.tidx_blks_read.",
            ),
            counter(
                "tidx_blocks_hit",
                "Blocks of its TOAST table's indexes found in shared buffers; \
                pg_statio_user_tables.tidx_blks_hit.",
            ),
        ],
        bound: Some(Bound {
            rank: Rank::Server { key: "relid", column: "activity", kept: &["datname"] },
            limit: 100,
        }),
        ..Table::EMPTY
    }],
};
