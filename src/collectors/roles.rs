//! The number of connections that each role may have.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "roles",
    pace: Pace::Tables,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_roles",
        labels: &["rolname"],
        queries: &[Query {
            since: 13,
            sql: "SELECT rolname, rolconnlimit AS connection_limit FROM pg_roles",
        }],
        columns: &[gauge(
            "connection_limit",
            "Connections the role may have, -1 when unlimited; pg_roles.rolconnlimit.",
        )],
        ..Table::EMPTY
    }],
};
