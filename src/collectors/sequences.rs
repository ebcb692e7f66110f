//! The sequences nearest to their end.

use super::{Bound, Collector, Pace, Query, Rank, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "sequences",
    pace: Pace::Slow,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    tables: &[Table {
        prefix: "pg_sequence",
        labels: &["datname", "schemaname", "sequencename"],
        queries: &[Query {
            since: 13,
            sql: "SELECT current_database() AS datname, schemaname, sequencename,
                         concat_ws('/', schemaname, sequencename) AS key,
                         CASE WHEN increment_by > 0 THEN last_value::float8 / max_value
                              ELSE last_value::float8 / min_value END AS used_ratio
                    FROM pg_sequences
                   WHERE NOT cycle AND last_value IS NOT NULL",
        }],
        columns: &[gauge(
            "used_ratio",
            "Share of its values that a sequence has used; pg_sequences.last_value.",
        )
        .apart()],
        bound: Some(Bound {
            rank: Rank::Server { key: "key", column: "used_ratio", kept: &["datname"] },
            limit: 20,
        }),
        ..Table::EMPTY
    }],
};
