//! The server's version, written out.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "static",
    pace: Pace::Tables,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg",
        labels: &["version", "short_version"],
        queries: &[Query {
            since: 13,
            sql: "SELECT version() AS version,
              concat_ws('.', current_setting('server_version_num')::int / 10000,
                        current_setting('server_version_num')::int % 10000, 0) AS short_version,
              1 AS static",
        }],
        columns: &[gauge("static", "1 with the version of the server; version().")],
        ..Table::EMPTY
    }],
};
