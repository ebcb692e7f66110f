//! The buffer cache as a whole, by the extension `pg_buffercache`.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "buffercache_summary",
    pace: Pace::Tables,
    scope: Scope::Server,
    enabled: false,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_buffercache_summary",
        extension: Some("pg_buffercache"),
        queries: &[Query {
            since: 104,
            sql: "\
              SELECT buffers_used, buffers_unused, buffers_dirty, buffers_pinned, usagecount_avg
                FROM @extension.pg_buffercache_summary()",
        }],
        columns: &[
            gauge("buffers_used", "Buffers in use; pg_buffercache_summary.buffers_used."),
            gauge("buffers_unused", "Buffers not in use; pg_buffercache_summary.buffers_unused."),
            gauge("buffers_dirty", "Buffers to be written; pg_buffercache_summary.buffers_dirty."),
            gauge("buffers_pinned", "Buffers pinned; pg_buffercache_summary.buffers_pinned."),
            gauge(
                "usagecount_avg",
                "Mean usage count of the buffers in use; pg_buffercache_summary.usagecount_avg.",
            ),
        ],
        ..Table::EMPTY
    }],
};
