//! Extensions: which there are, and whether the server has a newer version of one.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "extensions",
    pace: Pace::Slow,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_extension",
        labels: &["datname", "extname", "version"],
        queries: &[Query {
            since: 13,
            sql: "SELECT current_database() AS datname, extname, extversion AS version, 1 AS info,
                         (default_version <> extversion)::int AS update_available
                    FROM pg_extension
                    LEFT JOIN pg_available_extensions AS available ON available.name = extname",
        }],
        columns: &[
            gauge("info", "1 with the extension's version; pg_extension.extversion."),
            gauge(
                "update_available",
                "Whether ALTER EXTENSION … UPDATE would bring another version: 1 or 0, absent \
                when its files are gone; pg_available_extensions.default_version.",
            ),
        ],
        ..Table::EMPTY
    }],
};
