//! Open transactions, and the oldest.

use super::{Collector, Pace, Query, Reader, Scope, Table, age, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "long_running_transactions",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_long_running",
        queries: &[Query {
            since: 13,
            sql: "SELECT count(*) AS transactions,
                         max(extract(epoch FROM clock_timestamp() - xact_start))
                             AS transactions_oldest_timestamp_seconds
                    FROM pg_stat_activity
                   WHERE state <> 'idle' AND xact_start IS NOT NULL
                     AND backend_type = 'client backend' AND application_name <> 'poolwatch'",
        }],
        columns: &[
            gauge(
                "transactions",
                "Transactions that clients have open; pg_stat_activity.xact_start.",
            ),
            age(
                "transactions_oldest_timestamp_seconds",
                "Age in seconds (despite the name) of the oldest of them; \
                pg_stat_activity.xact_start.",
            ),
        ],
        ..Table::EMPTY
    }],
};
