//! The lag of each standby, as the sending server sees it. Standbys with the same labels are one
//! series, which shows the one that is furthest behind.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_replication",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_replication",
        labels: &["application_name", "client_addr", "state", "slot_name"],
        queries: &[Query {
            since: 13,
            sql: "\
         SELECT application_name, coalesce(client_addr::text, '') AS client_addr, state,
                coalesce(slot_name, '') AS slot_name,
                max(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                     ELSE pg_current_wal_lsn() END - '0/0') AS pg_current_wal_lsn_bytes,
                max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                     ELSE pg_current_wal_lsn() END, replay_lsn)) AS pg_wal_lsn_diff,
                max(extract(epoch FROM write_lag)) AS write_lag_seconds,
                max(extract(epoch FROM flush_lag)) AS flush_lag_seconds,
                max(extract(epoch FROM replay_lag)) AS replay_lag_seconds,
                count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS sync_standbys
           FROM pg_stat_replication
           LEFT JOIN pg_replication_slots ON active_pid = pid
          GROUP BY 1, 2, 3, 4",
        }],
        columns: &[
            gauge(
                "pg_current_wal_lsn_bytes",
                "Where the write-ahead log is now, in bytes; pg_current_wal_lsn().",
            ),
            gauge("pg_wal_lsn_diff", "Bytes not replayed yet; pg_stat_replication.replay_lsn."),
            gauge(
                "write_lag_seconds",
                "Recent delay until the standby has written the log; pg_stat_replication.write_lag.",
            ),
            gauge(
                "flush_lag_seconds",
                "Recent delay until it has flushed the log; pg_stat_replication.flush_lag.",
            ),
            gauge(
                "replay_lag_seconds",
                "Recent delay until it has replayed the log; pg_stat_replication.replay_lag.",
            ),
            gauge(
                "sync_standbys",
                "Of them those that commits wait for; pg_stat_replication.sync_state.",
            ),
        ],
        ..Table::EMPTY
    }],
};
