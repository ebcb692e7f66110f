//! Encryption: which sessions have it, by the protocol's version.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_ssl",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_ssl",
        labels: &["version"],
        queries: &[Query {
            since: 13,
            sql: "SELECT coalesce(version, 'none') AS version, count(*) AS sessions
                    FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                   WHERE backend_type = 'client backend'
                   GROUP BY 1",
        }],
        columns: &[gauge(
            "sessions",
            "Sessions of clients by the version of TLS that encrypts them, none of those without; \
            pg_stat_ssl.version.",
        )],
        ..Table::EMPTY
    }],
};
