//! Checkpoints by `PostgreSQL` 17's view of them.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_checkpointer",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_checkpointer",
        queries: &[
            Query {
                since: 18,
                sql: "SELECT num_timed AS num_timed_total,
                         num_requested AS num_requested_total,
                         restartpoints_timed AS restartpoints_timed_total,
                         restartpoints_req AS restartpoints_req_total,
                         restartpoints_done AS restartpoints_done_total,
                         write_time AS write_time_total,
                         sync_time AS sync_time_total,
                         buffers_written AS buffers_written_total,
                         num_done AS num_done_total,
                         slru_written AS slru_written_total,
                         extract(epoch FROM stats_reset) AS stats_reset_total
                    FROM pg_stat_checkpointer",
            },
            Query {
                since: 17,
                sql: "SELECT num_timed AS num_timed_total,
                         num_requested AS num_requested_total,
                         restartpoints_timed AS restartpoints_timed_total,
                         restartpoints_req AS restartpoints_req_total,
                         restartpoints_done AS restartpoints_done_total,
                         write_time AS write_time_total,
                         sync_time AS sync_time_total,
                         buffers_written AS buffers_written_total,
                         extract(epoch FROM stats_reset) AS stats_reset_total
                    FROM pg_stat_checkpointer",
            },
        ],
        columns: &[
            counter("num_timed_total", "Checkpoints for time; pg_stat_checkpointer.num_timed."),
            counter(
                "num_requested_total",
                "Checkpoints that were requested, or that WAL forced; \
                pg_stat_checkpointer.num_requested.",
            ),
            counter(
                "restartpoints_timed_total",
                "Restartpoints for time; pg_stat_checkpointer.restartpoints_timed.",
            ),
            counter(
                "restartpoints_req_total",
                "Restartpoints that were requested; pg_stat_checkpointer.restartpoints_req.",
            ),
            counter(
                "restartpoints_done_total",
                "Restartpoints made; pg_stat_checkpointer.restartpoints_done.",
            ),
            counter(
                "write_time_total",
                "Milliseconds spent writing; pg_stat_checkpointer.write_time.",
            ),
            counter(
                "sync_time_total",
                "Milliseconds spent syncing; pg_stat_checkpointer.sync_time.",
            ),
            counter(
                "buffers_written_total",
                "Buffers written; pg_stat_checkpointer.buffers_written.",
            ),
            counter(
                "stats_reset_total",
                "When the statistics began, in Unix seconds; pg_stat_checkpointer.stats_reset.",
            ),
            counter("num_done_total", "Checkpoints made; pg_stat_checkpointer.num_done.").since(18),
            counter(
                "slru_written_total",
                "Buffers of transaction status and the like written; \
                pg_stat_checkpointer.slru_written.",
            )
            .since(18),
        ],
        ..Table::EMPTY
    }],
};
