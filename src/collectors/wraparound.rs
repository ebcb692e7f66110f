//! The distance of transaction numbers from their end at 2,147,483,647, and what holds the oldest
//! back.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "database_wraparound",
    pace: Pace::Tables,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_database_wraparound",
            labels: &["datname"],
            queries: &[Query {
                since: 13,
                sql: "SELECT datname, age(datfrozenxid) AS age_datfrozenxid_seconds,
                         mxid_age(datminmxid) AS age_datminmxid_seconds
                    FROM pg_database
                   WHERE datallowconn AND datfrozenxid <> '0'::xid",
            }],
            columns: &[
                gauge(
                    "age_datfrozenxid_seconds",
                    "Transactions (despite the name) since the oldest not frozen; \
                pg_database.datfrozenxid.",
                ),
                gauge(
                    "age_datminmxid_seconds",
                    "Multitransactions since the oldest kept; pg_database.datminmxid.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_multixact",
            queries: &[Query {
                since: 19,
                // A standby cannot tell.
                sql: "SELECT CASE WHEN is_primary THEN
                             (SELECT num_mxids FROM pg_get_multixact_stats())
                         END AS multitransactions,
                         CASE WHEN is_primary THEN
                             (SELECT num_members FROM pg_get_multixact_stats())
                         END AS members,
                         CASE WHEN is_primary THEN
                             (SELECT members_size FROM pg_get_multixact_stats())
                         END AS members_size_bytes
                    FROM (SELECT NOT pg_is_in_recovery() AS is_primary) AS server",
            }],
            columns: &[
                gauge(
                    "multitransactions",
                    "Multitransactions that are kept; pg_get_multixact_stats().num_mxids.",
                ),
                gauge(
                    "members",
                    "Transactions in them, which autovacuum limits too: the more there are, the \
                    earlier it removes them; pg_get_multixact_stats().num_members.",
                ),
                gauge(
                    "members_size_bytes",
                    "What the members take on disk, in bytes; \
                    pg_get_multixact_stats().members_size.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_oldest_xmin",
            labels: &["holder"],
            queries: &[Query {
                since: 13,
                sql: "SELECT holder, max(age) AS age
  FROM (SELECT 'session' AS holder, age(backend_xmin) FROM pg_stat_activity
         WHERE backend_type <> 'walsender'
         UNION ALL
        SELECT 'standby', age(backend_xmin) FROM pg_stat_replication
         UNION ALL
        SELECT 'replication slot', greatest(age(xmin), age(catalog_xmin)) FROM pg_replication_slots
         UNION ALL
        SELECT 'prepared transaction', age(transaction) FROM pg_prepared_xacts) AS holders
 GROUP BY 1",
            }],
            columns: &[gauge(
                "age",
                "Transactions since the oldest whose rows must be kept, by who needs them; \
                pg_stat_activity.backend_xmin.",
            )],
            ..Table::EMPTY
        },
    ],
};

pub(super) const TABLES: Collector = Collector {
    name: "table_age",
    pace: Pace::Slow,
    scope: Scope::Database,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_table",
        labels: &["datname", "schemaname", "relname"],
        queries: &[Query {
            since: 13,
            sql: "\
       SELECT current_database() AS datname, nspname AS schemaname, relname, class.oid AS relid,
              age(relfrozenxid) AS xid_age
         FROM pg_class AS class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'm', 't') AND relfrozenxid <> '0'::xid",
        }],
        columns: &[gauge(
            "xid_age",
            "Transactions since the oldest in the table that is not frozen; \
                pg_class.relfrozenxid.",
        )
        .apart()],
        bound: Some(Bound {
            rank: Rank::Server { key: "relid", column: "xid_age", kept: &["datname"] },
            limit: 20,
        }),
        ..Table::EMPTY
    }],
};
