//! The lag of a replica behind its primary.

use super::{Collector, Pace, Query, Reader, Scope, Table, age, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "replication",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        // Apart, for a managed server may refuse what the rest asks for.
        Table {
            prefix: "pg_replication",
            queries: &[Query { since: 13, sql: "SELECT pg_is_in_recovery()::int AS is_replica" }],
            columns: &[gauge(
                "is_replica",
                "Whether the server is in recovery: 1 or 0; pg_is_in_recovery().",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication",
            queries: &[Query {
                since: 13,
                sql: "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0
             WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
             ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())
        END AS lag_seconds,
        CASE WHEN pg_is_in_recovery()
             THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp())
        END AS last_replay_seconds,
        CASE WHEN pg_is_in_recovery()
             THEN greatest(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)
        END AS replay_lag_bytes",
            }],
            columns: &[
                age(
                    "lag_seconds",
                    "How far replay is behind, 0 on a primary and on a replica that has replayed \
                    all it received; pg_last_xact_replay_timestamp().",
                ),
                age(
                    "last_replay_seconds",
                    "Age of the last transaction replayed, absent on a primary; \
                    pg_last_xact_replay_timestamp().",
                ),
                gauge(
                    "replay_lag_bytes",
                    "Bytes of write-ahead log received and not replayed, absent on a primary; \
                    pg_last_wal_replay_lsn().",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication",
            queries: &[Query {
                since: 13,
                sql: "SELECT (setting = '')::int AS archive_only FROM pg_settings
                       WHERE name = 'primary_conninfo' AND pg_is_in_recovery()",
            }],
            columns: &[gauge(
                "archive_only",
                "Whether a replica has no primary_conninfo and reads archived write-ahead log only: \
                1 or 0, absent on a primary; pg_settings.primary_conninfo.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication",
            labels: &["system_identifier"],
            queries: &[Query {
                since: 13,
                sql: "SELECT system_identifier::text, 1 AS cluster_info
                        FROM (SELECT CASE WHEN has_function_privilege('pg_control_system()', 'execute')
                                          THEN (SELECT system_identifier FROM pg_control_system())
                                     END AS system_identifier) AS control
                       WHERE system_identifier IS NOT NULL",
            }],
            columns: &[gauge(
                "cluster_info",
                "1 with what a primary and its replicas have in common; \
                pg_control_system().system_identifier.",
            )],
            ..Table::EMPTY
        },
    ],
};
