//! The sessions that wait for locks, for how long, and their root blockers. A waiter can wait for
//! another waiter: the root blocker holds all of them up and itself waits for none.

use super::{Bound, Collector, Pace, Query, Rank, Reader, Scope, Table, age, gauge};

/// The first 200 waiters, each with those it waits for; and each with its roots. Prepared
/// transactions have process 0.
macro_rules! waits {
    ($select:literal) => {
        concat!(
            "WITH RECURSIVE waiter AS MATERIALIZED (
                   SELECT pid, datname, query_start FROM pg_stat_activity
                    WHERE wait_event_type = 'Lock' ORDER BY query_start LIMIT 200),
             pair AS MATERIALIZED (
                   SELECT pid, datname, unnest(pg_blocking_pids(pid)) AS blocker FROM waiter),
             chain AS (
                   SELECT pid, datname, blocker FROM pair
                    UNION
                   SELECT chain.pid, chain.datname, pair.blocker
                     FROM chain JOIN pair ON pair.pid = chain.blocker),
             root AS (
                   SELECT * FROM chain
                    WHERE blocker NOT IN (SELECT pid FROM waiter)) ",
            $select
        )
    };
}

const BLOCKED: &str = waits!(
    "SELECT databases.datname,
            coalesce(waiting.sessions, 0) AS blocked_sessions,
            waiting.longest AS longest_seconds,
            (SELECT count(DISTINCT blocker) FROM root
              WHERE root.datname = databases.datname) AS root_blockers
       FROM pg_database AS databases
       LEFT JOIN (
            SELECT datname, count(*) AS sessions,
                   max(extract(epoch FROM clock_timestamp() - coalesce(
                       (SELECT min((to_jsonb(held) ->> 'waitstart')::timestamptz)
                          FROM pg_locks AS held
                         WHERE held.pid = waiter.pid AND NOT granted),
                       query_start))) AS longest
              FROM waiter GROUP BY datname) AS waiting
         ON waiting.datname = databases.datname
      WHERE NOT databases.datistemplate"
);

const ROOTS: &str = waits!(
    "SELECT grouped.*,
            ROW(datname, usename, application_name, client_addr, state)::text AS key
       FROM (
            SELECT root.datname,
                   CASE blocker WHEN 0 THEN 'prepared transaction'
                        ELSE coalesce(session.state, '') END AS state,
                   coalesce(session.usename, '') AS usename,
                   coalesce(session.application_name, '') AS application_name,
                   CASE WHEN session.backend_type = 'client backend'
                        THEN coalesce(host(session.client_addr), 'local') ELSE '' END
                        AS client_addr,
                   count(DISTINCT root.pid) AS blocked_sessions,
                   max(extract(epoch FROM clock_timestamp() - xact_start)) AS transaction_seconds
              FROM root LEFT JOIN pg_stat_activity AS session ON session.pid = blocker
             GROUP BY 1, 2, 3, 4, 5) AS grouped"
);

pub(super) const COLLECTOR: Collector = Collector {
    name: "lock_waits",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_lock_waits",
            labels: &["datname"],
            queries: &[Query { since: 13, sql: BLOCKED }],
            columns: &[
                gauge(
                    "blocked_sessions",
                    "Sessions waiting for a lock; pg_stat_activity.wait_event_type.",
                ),
                age(
                    "longest_seconds",
                    "The longest wait for a lock now, before 14 since its statement began; \
                pg_locks.waitstart.",
                ),
                gauge(
                    "root_blockers",
                    "Sessions that block others and wait for none; pg_blocking_pids().",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_lock_root_blocker",
            labels: &["datname", "usename", "application_name", "client_addr", "state"],
            queries: &[Query { since: 13, sql: ROOTS }],
            columns: &[
                gauge(
                    "blocked_sessions",
                    "Sessions that such sessions block, directly or through others; \
                pg_blocking_pids().",
                ),
                age(
                    "transaction_seconds",
                    "Age of the oldest transaction of such sessions; pg_stat_activity.xact_start.",
                )
                .apart(),
            ],
            bound: Some(Bound {
                rank: Rank::Server { key: "key", column: "blocked_sessions", kept: &[] },
                limit: 10,
            }),
            ..Table::EMPTY
        },
    ],
};
