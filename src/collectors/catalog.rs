//! The system catalog: temporary tables, made and dropped all day, bloat it.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "system_catalog",
    pace: Pace::Slow,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_system_catalog",
        labels: &["datname"],
        queries: &[Query {
            since: 13,
            sql: "SELECT current_database() AS datname,
                         sum(relpages::bigint) * current_setting('block_size')::bigint AS size_bytes
                    FROM pg_class
                   WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'i')",
        }],
        columns: &[gauge(
            "size_bytes",
            "Size in bytes of the system catalog with its indexes, as last vacuumed or analyzed; \
            pg_class.relpages.",
        )],
        ..Table::EMPTY
    }],
};
