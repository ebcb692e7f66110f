//! The small caches of transaction status, subtransactions and the like.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_slru",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_slru",
        labels: &["name"],
        queries: &[Query {
            since: 13,
            sql: "SELECT name,
                         blks_zeroed AS blks_zeroed_total,
                         blks_hit AS blks_hit_total,
                         blks_read AS blks_read_total,
                         blks_written AS blks_written_total,
                         blks_exists AS blks_exists_total,
                         flushes AS flushes_total,
                         truncates AS truncates_total
                    FROM pg_stat_slru",
        }],
        columns: &[
            counter("blks_zeroed_total", "Blocks zeroed; pg_stat_slru.blks_zeroed."),
            counter("blks_hit_total", "Blocks found in the cache; pg_stat_slru.blks_hit."),
            counter("blks_read_total", "Blocks read; pg_stat_slru.blks_read."),
            counter("blks_written_total", "Blocks written; pg_stat_slru.blks_written."),
            counter(
                "blks_exists_total",
                "Checks whether a block exists; pg_stat_slru.blks_exists.",
            ),
            counter("flushes_total", "Flushes; pg_stat_slru.flushes."),
            counter("truncates_total", "Truncations; pg_stat_slru.truncates."),
        ],
        ..Table::EMPTY
    }],
};
