//! Statements: those that matter most by time, calls, time a call, or rows; the others summed,
//! so that sums are whole. Texts are read for new ones alone. Names are compared once rather than
//! for each statement, and a numeric becomes a float by way of an integer, which is ten times
//! faster. All are given: the server would take four times as long to rank them.

use super::{Bound, Collector, Measure, Pace, Query, Rank, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_statements",
    pace: Pace::Statements,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_stat_statements",
            extension: Some("pg_stat_statements"),
            labels: &["user", "datname", "queryid"],
            queries: &[
                Query {
                    since: 113,
                    sql: "SELECT pg_get_userbyid(userid) AS user, datname, coalesce(queryid, 0) AS queryid,
              calls AS calls_total,
              total_exec_time / 1000 AS seconds_total,
              rows AS rows_total,
              shared_blk_read_time / 1000 AS block_read_seconds_total,
              shared_blk_write_time / 1000 AS block_write_seconds_total,
              shared_blks_hit AS shared_blocks_hit_total,
              shared_blks_read AS shared_blocks_read_total,
              temp_blks_written AS temp_blocks_written_total,
              wal_bytes::int8 AS wal_bytes_total,
              generic_plan_calls AS generic_plan_calls_total,
              custom_plan_calls AS custom_plan_calls_total
         FROM @extension.pg_stat_statements(false) AS statements
         JOIN pg_database ON pg_database.oid = dbid
        WHERE dbid <> ALL (ARRAY(SELECT oid FROM pg_database WHERE datname = ANY ($1)))
          AND userid <> ALL (ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($2)))",
                },
                Query {
                    since: 111,
                    sql: "SELECT pg_get_userbyid(userid) AS user, datname, coalesce(queryid, 0) AS queryid,
              calls AS calls_total,
              total_exec_time / 1000 AS seconds_total,
              rows AS rows_total,
              shared_blk_read_time / 1000 AS block_read_seconds_total,
              shared_blk_write_time / 1000 AS block_write_seconds_total,
              shared_blks_hit AS shared_blocks_hit_total,
              shared_blks_read AS shared_blocks_read_total,
              temp_blks_written AS temp_blocks_written_total,
              wal_bytes::int8 AS wal_bytes_total
         FROM @extension.pg_stat_statements(false) AS statements
         JOIN pg_database ON pg_database.oid = dbid
        WHERE dbid <> ALL (ARRAY(SELECT oid FROM pg_database WHERE datname = ANY ($1)))
          AND userid <> ALL (ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($2)))",
                },
                Query {
                    since: 108,
                    sql: "SELECT pg_get_userbyid(userid) AS user, datname, coalesce(queryid, 0) AS queryid,
              calls AS calls_total,
              total_exec_time / 1000 AS seconds_total,
              rows AS rows_total,
              blk_read_time / 1000 AS block_read_seconds_total,
              blk_write_time / 1000 AS block_write_seconds_total,
              shared_blks_hit AS shared_blocks_hit_total,
              shared_blks_read AS shared_blocks_read_total,
              temp_blks_written AS temp_blocks_written_total,
              wal_bytes::int8 AS wal_bytes_total
         FROM @extension.pg_stat_statements(false) AS statements
         JOIN pg_database ON pg_database.oid = dbid
        WHERE dbid <> ALL (ARRAY(SELECT oid FROM pg_database WHERE datname = ANY ($1)))
          AND userid <> ALL (ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($2)))",
                },
                Query {
                    since: 104,
                    sql: "SELECT pg_get_userbyid(userid) AS user, datname, coalesce(queryid, 0) AS queryid,
              calls AS calls_total,
              total_time / 1000 AS seconds_total,
              rows AS rows_total,
              blk_read_time / 1000 AS block_read_seconds_total,
              blk_write_time / 1000 AS block_write_seconds_total,
              shared_blks_hit AS shared_blocks_hit_total,
              shared_blks_read AS shared_blocks_read_total,
              temp_blks_written AS temp_blocks_written_total,
              NULL AS wal_bytes_total
         FROM @extension.pg_stat_statements(false) AS statements
         JOIN pg_database ON pg_database.oid = dbid
        WHERE dbid <> ALL (ARRAY(SELECT oid FROM pg_database WHERE datname = ANY ($1)))
          AND userid <> ALL (ARRAY(SELECT oid FROM pg_roles WHERE rolname = ANY ($2)))",
                },
            ],
            columns: &[
                counter("calls_total", "Times the statement ran; pg_stat_statements.calls."),
                counter(
                    "seconds_total",
                    "Time spent running it, planning left out; pg_stat_statements.total_exec_time.",
                ),
                counter("rows_total", "Rows it returned or changed; pg_stat_statements.rows."),
                counter(
                    "block_read_seconds_total",
                    "Time spent reading blocks, 0 without track_io_timing; \
                pg_stat_statements.shared_blk_read_time, before 1.11 blk_read_time.",
                ),
                counter(
                    "block_write_seconds_total",
                    "Time spent writing blocks, 0 without track_io_timing; \
                pg_stat_statements.shared_blk_write_time, before 1.11 blk_write_time.",
                ),
                counter(
                    "shared_blocks_hit_total",
                    "Blocks found in shared buffers; pg_stat_statements.shared_blks_hit.",
                ),
                counter(
                    "shared_blocks_read_total",
                    "Blocks read into shared buffers; pg_stat_statements.shared_blks_read.",
                ),
                counter(
                    "temp_blocks_written_total",
                    "Blocks of temporary files written; pg_stat_statements.temp_blks_written.",
                ),
                counter(
                    "wal_bytes_total",
                    "Bytes of write-ahead log it wrote; pg_stat_statements.wal_bytes.",
                )
                .since(108),
                counter(
                    "generic_plan_calls_total",
                    "Times a prepared statement ran with a plan made once for all parameters; \
                pg_stat_statements.generic_plan_calls.",
                )
                .since(113),
                counter(
                    "custom_plan_calls_total",
                    "Times a prepared statement was planned for its parameters; \
                pg_stat_statements.custom_plan_calls.",
                )
                .since(113),
            ],
            bound: Some(Bound {
                rank: Rank::Each(&[
                    Measure::Column("seconds_total"),
                    Measure::Column("calls_total"),
                    Measure::Column("rows_total"),
                    Measure::Quotient("seconds_total", "calls_total"),
                ]),
                limit: 100,
            }),
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_statements",
            extension: Some("pg_stat_statements"),
            queries: &[Query {
                since: 109,
                sql: "\
SELECT dealloc AS deallocations_total, extract(epoch FROM stats_reset) AS reset_timestamp_seconds
  FROM @extension.pg_stat_statements_info()",
            }],
            columns: &[
                counter(
                    "deallocations_total",
                    "Times the least run statements were forgotten, for there were more than \
                pg_stat_statements.max; pg_stat_statements_info.dealloc.",
                ),
                gauge(
                    "reset_timestamp_seconds",
                    "When the statistics began, in Unix seconds; \
                pg_stat_statements_info.stats_reset.",
                ),
            ],
            ..Table::EMPTY
        },
    ],
};
