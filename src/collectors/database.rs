//! Each database's limit of connections. Its size is apart, for sizes walk the disk.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "database",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_database",
        labels: &["datname"],
        queries: &[Query {
            since: 13,
            sql: "SELECT datname, datconnlimit AS connection_limit FROM pg_database",
        }],
        columns: &[gauge(
            "connection_limit",
            "Connections the database allows, -1 when unlimited; pg_database.datconnlimit.",
        )],
        ..Table::EMPTY
    }],
};
