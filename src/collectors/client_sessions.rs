//! The sessions of clients by the address, the application and the role that have them.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, age, gauge};

/// Without the privileges of `pg_monitor` a session of another role has no kind, no address and no
/// state: both are then empty. A session over a Unix socket has the address `local`.
///
/// One that is idle in a transaction comes before crowds that do no harm.
const SESSIONS: &str = "
SELECT grouped.*,
       sessions + CASE WHEN state LIKE 'idle in transaction%'
                       THEN coalesce(longest_idle_seconds, 0) ELSE 0 END AS weight,
       ROW(datname, client_addr, application_name, usename, state)::text AS key
  FROM (
       SELECT coalesce(datname, '') AS datname,
              CASE WHEN backend_type IS NULL THEN ''
                   ELSE coalesce(host(client_addr), 'local') END AS client_addr,
              coalesce(application_name, '') AS application_name,
              coalesce(usename, '') AS usename, coalesce(state, '') AS state,
              count(*) AS sessions,
              max(extract(epoch FROM clock_timestamp() - backend_start)) AS oldest_seconds,
              max(extract(epoch FROM clock_timestamp() - state_change))
                  FILTER (WHERE state LIKE 'idle%') AS longest_idle_seconds,
              max(extract(epoch FROM clock_timestamp() - xact_start))
                  AS longest_transaction_seconds
         FROM pg_stat_activity
        WHERE (backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL))
          AND application_name <> 'poolwatch'
        GROUP BY 1, 2, 3, 4, 5) AS grouped";

pub(super) const COLLECTOR: Collector = Collector {
    name: "client_sessions",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_client",
        labels: &["datname", "client_addr", "application_name", "usename", "state"],
        queries: &[Query { since: 13, sql: SESSIONS }],
        columns: &[
            gauge(
                "sessions",
                "Sessions of clients, poolwatch's own left out, by where they come from (local is \
                 a Unix socket) and what they do; pg_stat_activity.",
            ),
            age(
                "oldest_seconds",
                "Age in seconds of the oldest of these sessions; pg_stat_activity.backend_start.",
            )
            .apart(),
            age(
                "longest_idle_seconds",
                "Seconds for which the longest of these sessions has been idle, in a transaction or \
                 not; pg_stat_activity.state_change.",
            )
            .apart(),
            age(
                "longest_transaction_seconds",
                "Age in seconds of the oldest transaction of these sessions; \
                 pg_stat_activity.xact_start.",
            )
            .apart(),
        ],
        bound: Some(Bound {
            rank: Rank::Server { key: "key", column: "weight", kept: &[] },
            limit: 50,
        }),
        ..Table::EMPTY
    }],
};
