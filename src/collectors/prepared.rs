//! Prepared transactions: one that is forgotten holds its locks and stops vacuum.

use super::{Collector, Pace, Query, Reader, Scope, Table, age, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "prepared_transactions",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_prepared_transactions",
        labels: &["datname"],
        queries: &[Query {
            since: 13,
            sql: "SELECT databases.datname, count(gid) AS count,
                        max(extract(epoch FROM now() - prepared)) AS oldest_seconds
                   FROM pg_database AS databases
                   LEFT JOIN pg_prepared_xacts ON pg_prepared_xacts.database = databases.datname
                  WHERE NOT datistemplate
                  GROUP BY 1",
        }],
        columns: &[
            gauge(
                "count",
                "Transactions prepared and neither committed nor rolled back; \
                pg_prepared_xacts.gid.",
            ),
            age("oldest_seconds", "Age of the oldest; pg_prepared_xacts.prepared."),
        ],
        ..Table::EMPTY
    }],
};
