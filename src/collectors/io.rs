//! Input and output by who does it, on what, and why (`PostgreSQL` 16). A kind that never
//! happened has no series.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_io",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_io",
        labels: &["backend_type", "object", "context"],
        queries: &[
            Query {
                since: 18,
                sql: "SELECT backend_type, object, context,
               reads AS reads_total,
               writes AS writes_total,
               writebacks AS writebacks_total,
               extends AS extends_total,
               hits AS hits_total,
               evictions AS evictions_total,
               reuses AS reuses_total,
               fsyncs AS fsyncs_total,
               read_time / 1000.0 AS read_seconds_total,
               write_time / 1000.0 AS write_seconds_total,
               writeback_time / 1000.0 AS writeback_seconds_total,
               extend_time / 1000.0 AS extend_seconds_total,
               fsync_time / 1000.0 AS fsync_seconds_total,
               read_bytes AS read_bytes_total,
               write_bytes AS write_bytes_total,
               extend_bytes AS extend_bytes_total
          FROM pg_stat_io
         WHERE greatest(reads, writes, writebacks, extends, hits, evictions, reuses, fsyncs) > 0",
            },
            Query {
                since: 16,
                sql: "SELECT backend_type, object, context,
               reads AS reads_total,
               writes AS writes_total,
               writebacks AS writebacks_total,
               extends AS extends_total,
               hits AS hits_total,
               evictions AS evictions_total,
               reuses AS reuses_total,
               fsyncs AS fsyncs_total,
               read_time / 1000.0 AS read_seconds_total,
               write_time / 1000.0 AS write_seconds_total,
               writeback_time / 1000.0 AS writeback_seconds_total,
               extend_time / 1000.0 AS extend_seconds_total,
               fsync_time / 1000.0 AS fsync_seconds_total,
               reads * op_bytes AS read_bytes_total,
               writes * op_bytes AS write_bytes_total,
               extends * op_bytes AS extend_bytes_total
          FROM pg_stat_io
         WHERE greatest(reads, writes, writebacks, extends, hits, evictions, reuses, fsyncs) > 0",
            },
        ],
        columns: &[
            counter("reads_total", "Reads; pg_stat_io.reads."),
            counter("writes_total", "Writes; pg_stat_io.writes."),
            counter("writebacks_total", "Requests to write back; pg_stat_io.writebacks."),
            counter("extends_total", "Extensions of files; pg_stat_io.extends."),
            counter("hits_total", "Blocks found in shared buffers; pg_stat_io.hits."),
            counter("evictions_total", "Blocks evicted from a buffer; pg_stat_io.evictions."),
            counter("reuses_total", "Buffers of a ring used again; pg_stat_io.reuses."),
            counter("fsyncs_total", "Syncs; pg_stat_io.fsyncs."),
            counter(
                "read_seconds_total",
                "Time spent reading, 0 without track_io_timing; pg_stat_io.read_time.",
            ),
            counter(
                "write_seconds_total",
                "Time spent writing, 0 without track_io_timing; pg_stat_io.write_time.",
            ),
            counter(
                "writeback_seconds_total",
                "Time spent asking to write back, 0 without track_io_timing; \
                pg_stat_io.writeback_time.",
            ),
            counter(
                "extend_seconds_total",
                "Time spent extending files, 0 without track_io_timing; pg_stat_io.extend_time.",
            ),
            counter(
                "fsync_seconds_total",
                "Time spent syncing, 0 without track_io_timing; pg_stat_io.fsync_time.",
            ),
            counter(
                "read_bytes_total",
                "Bytes read; pg_stat_io.read_bytes, before 18 reads times op_bytes.",
            ),
            counter(
                "write_bytes_total",
                "Bytes written; pg_stat_io.write_bytes, before 18 writes times op_bytes.",
            ),
            counter(
                "extend_bytes_total",
                "Bytes files grew by; pg_stat_io.extend_bytes, before 18 extends times \
                op_bytes.",
            ),
        ],
        ..Table::EMPTY
    }],
};
