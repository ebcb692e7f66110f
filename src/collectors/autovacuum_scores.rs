//! In what order autovacuum would take the tables: it begins with the highest score. Catalogues and
//! TOAST tables have scores too.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_autovacuum_scores",
    pace: Pace::Tables,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_autovacuum_scores",
        labels: &["datname", "schemaname", "relname"],
        queries: &[Query {
            since: 19,
            sql: "SELECT current_database() AS datname, schemaname, relname, relid,
                         score, xid_score, mxid_score, vacuum_score, vacuum_insert_score,
                         analyze_score, do_vacuum::int AS do_vacuum, do_analyze::int AS do_analyze,
                         for_wraparound::int AS for_wraparound
                    FROM pg_stat_autovacuum_scores",
        }],
        columns: &[
            gauge(
                "score",
                "How urgent it is that autovacuum takes the table: the highest of the scores below; \
                pg_stat_autovacuum_scores.score.",
            )
            .apart(),
            gauge(
                "xid_score",
                "How near the age of its transactions is to where they must be frozen, at 1; \
                pg_stat_autovacuum_scores.xid_score.",
            )
            .apart(),
            gauge(
                "mxid_score",
                "The same of its multitransactions; pg_stat_autovacuum_scores.mxid_score.",
            )
            .apart(),
            gauge(
                "vacuum_score",
                "How near its dead rows are to where it is vacuumed, above 1; \
                pg_stat_autovacuum_scores.vacuum_score.",
            )
            .apart(),
            gauge(
                "vacuum_insert_score",
                "The same of rows inserted since the last vacuum; \
                pg_stat_autovacuum_scores.vacuum_insert_score.",
            )
            .apart(),
            gauge(
                "analyze_score",
                "The same of rows changed since the last analyze; \
                pg_stat_autovacuum_scores.analyze_score.",
            )
            .apart(),
            gauge(
                "do_vacuum",
                "Whether autovacuum would vacuum it now: 1 or 0; for the rest, their number; \
                pg_stat_autovacuum_scores.do_vacuum.",
            ),
            gauge(
                "do_analyze",
                "Whether autovacuum would analyze it now: 1 or 0; for the rest, their number; \
                pg_stat_autovacuum_scores.do_analyze.",
            ),
            gauge(
                "for_wraparound",
                "Whether the vacuum would be to prevent wraparound: 1 or 0; for the rest, their number; \
                pg_stat_autovacuum_scores.for_wraparound.",
            ),
        ],
        bound: Some(Bound {
            rank: Rank::Server { key: "relid", column: "score", kept: &["datname"] },
            limit: 20,
        }),
        ..Table::EMPTY
    }],
};
