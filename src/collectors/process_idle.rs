//! The time for which idle sessions have been idle.

use super::{Collector, Pace, Query, Reader, Scope, Table, histogram};

/// `postgres_exporter`'s, in seconds.
const BOUNDS: &[f64] = &[1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0];

pub(super) const COLLECTOR: Collector = Collector {
    name: "process_idle",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: false,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_process_idle",
        labels: &["state", "application_name"],
        queries: &[Query {
            since: 13,
            sql: "SELECT state, coalesce(application_name, '') AS application_name,
                    greatest(0, extract(epoch FROM clock_timestamp() - state_change)) AS seconds
               FROM pg_stat_activity
              WHERE state LIKE 'idle%' AND application_name <> 'poolwatch'",
        }],
        columns: &[histogram(
            "seconds",
            "How long idle sessions have been idle; pg_stat_activity.state_change.",
            BOUNDS,
        )],
        ..Table::EMPTY
    }],
};
