//! The time at which the server started.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "postmaster",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_postmaster",
        queries: &[Query {
            since: 13,
            sql: "\
                  SELECT extract(epoch FROM pg_postmaster_start_time()) AS start_time_seconds",
        }],
        columns: &[gauge(
            "start_time_seconds",
            "When the server began, in Unix seconds; pg_postmaster_start_time().",
        )],
        ..Table::EMPTY
    }],
};
