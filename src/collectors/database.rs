//! Each database: its limit of connections, and its size apart, for sizes walk the disk.

use super::{Collector, Pace, Query, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "database",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
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

pub(super) const SIZE: Collector = Collector {
    name: "database_size",
    pace: Pace::Sizes,
    scope: Scope::Server,
    enabled: true,
    part_of: Some("database"),
    tables: &[Table {
        prefix: "pg_database",
        labels: &["datname"],
        queries: &[Query {
            since: 13,
            sql: "SELECT datname, pg_database_size(oid) AS size_bytes
                    FROM pg_database
                   WHERE has_database_privilege(oid, 'CONNECT')
                      OR pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER')",
        }],
        columns: &[gauge("size_bytes", "Size on disk in bytes; pg_database_size().")],
        ..Table::EMPTY
    }],
};
