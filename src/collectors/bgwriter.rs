//! Checkpoints and the background writer under the names of before `PostgreSQL` 17, which moved
//! the checkpoints to a view of their own.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_bgwriter",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_bgwriter",
        queries: &[
            Query {
                since: 18,
                sql: "SELECT buffers_clean AS buffers_clean_total,
                   maxwritten_clean AS maxwritten_clean_total,
                   buffers_alloc AS buffers_alloc_total,
                   extract(epoch FROM writer.stats_reset) AS stats_reset_total,
                   num_timed AS checkpoints_timed_total,
                   num_requested AS checkpoints_req_total,
                   write_time AS checkpoint_write_time_total,
                   sync_time AS checkpoint_sync_time_total,
                   buffers_written AS buffers_checkpoint_total,
                   written AS buffers_backend_total,
                   synced AS buffers_backend_fsync_total
              FROM pg_stat_bgwriter AS writer, pg_stat_checkpointer, (
                   SELECT sum(coalesce(write_bytes, 0) + coalesce(extend_bytes, 0))
                              / current_setting('block_size')::numeric AS written,
                          sum(fsyncs) AS synced
                     FROM pg_stat_io
                    WHERE object = 'relation'
                      AND backend_type NOT IN ('checkpointer', 'background writer')) AS sessions",
            },
            Query {
                since: 17,
                sql: "SELECT buffers_clean AS buffers_clean_total,
                   maxwritten_clean AS maxwritten_clean_total,
                   buffers_alloc AS buffers_alloc_total,
                   extract(epoch FROM writer.stats_reset) AS stats_reset_total,
                   num_timed AS checkpoints_timed_total,
                   num_requested AS checkpoints_req_total,
                   write_time AS checkpoint_write_time_total,
                   sync_time AS checkpoint_sync_time_total,
                   buffers_written AS buffers_checkpoint_total,
                   written AS buffers_backend_total,
                   synced AS buffers_backend_fsync_total
              FROM pg_stat_bgwriter AS writer, pg_stat_checkpointer, (
                   SELECT sum(coalesce(writes * op_bytes, 0) + coalesce(extends * op_bytes, 0))
                              / current_setting('block_size')::numeric AS written,
                          sum(fsyncs) AS synced
                     FROM pg_stat_io
                    WHERE object = 'relation'
                      AND backend_type NOT IN ('checkpointer', 'background writer')) AS sessions",
            },
            Query {
                since: 13,
                sql: "SELECT buffers_clean AS buffers_clean_total,
                         maxwritten_clean AS maxwritten_clean_total,
                         buffers_alloc AS buffers_alloc_total,
                         extract(epoch FROM stats_reset) AS stats_reset_total,
                         checkpoints_timed AS checkpoints_timed_total,
                         checkpoints_req AS checkpoints_req_total,
                         checkpoint_write_time AS checkpoint_write_time_total,
                         checkpoint_sync_time AS checkpoint_sync_time_total,
                         buffers_checkpoint AS buffers_checkpoint_total,
                         buffers_backend AS buffers_backend_total,
                         buffers_backend_fsync AS buffers_backend_fsync_total
                    FROM pg_stat_bgwriter",
            },
        ],
        columns: &[
            counter(
                "buffers_clean_total",
                "Buffers written by the background writer; pg_stat_bgwriter.buffers_clean.",
            ),
            counter(
                "maxwritten_clean_total",
                "Rounds that the background writer broke off, having written its limit; \
                pg_stat_bgwriter.maxwritten_clean.",
            ),
            counter("buffers_alloc_total", "Buffers allocated; pg_stat_bgwriter.buffers_alloc."),
            counter(
                "stats_reset_total",
                "When the statistics began, in Unix seconds; pg_stat_bgwriter.stats_reset.",
            ),
            counter(
                "checkpoints_timed_total",
                "Checkpoints for time; pg_stat_checkpointer.num_timed, before 17 \
                pg_stat_bgwriter.checkpoints_timed.",
            ),
            counter(
                "checkpoints_req_total",
                "Checkpoints that were requested, or that WAL forced; \
                pg_stat_checkpointer.num_requested, before 17 \
                pg_stat_bgwriter.checkpoints_req.",
            ),
            counter(
                "checkpoint_write_time_total",
                "Milliseconds checkpoints spent writing; pg_stat_checkpointer.write_time, \
                before 17 pg_stat_bgwriter.checkpoint_write_time.",
            ),
            counter(
                "checkpoint_sync_time_total",
                "Milliseconds checkpoints spent syncing; pg_stat_checkpointer.sync_time, \
                before 17 pg_stat_bgwriter.checkpoint_sync_time.",
            ),
            counter(
                "buffers_checkpoint_total",
                "Buffers written by checkpoints; pg_stat_checkpointer.buffers_written, before \
                17 pg_stat_bgwriter.buffers_checkpoint.",
            ),
            counter(
                "buffers_backend_total",
                "Buffers that sessions had to write themselves; pg_stat_io.writes and \
                extends, before 17 pg_stat_bgwriter.buffers_backend.",
            ),
            counter(
                "buffers_backend_fsync_total",
                "Files that sessions had to sync themselves; pg_stat_io.fsyncs, before 17 \
                pg_stat_bgwriter.buffers_backend_fsync.",
            ),
        ],
        ..Table::EMPTY
    }],
};
