//! Sessions by what they do, in `postgres_exporter`'s labels.

use super::{Bound, Collector, Pace, Query, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_activity",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    tables: &[Table {
        prefix: "pg_stat_activity",
        labels: &[
            "datname",
            "state",
            "usename",
            "application_name",
            "backend_type",
            "wait_event_type",
            "wait_event",
        ],
        // An application may put its process or its task into its name, and then there is no end.
        bound: Some(Bound { key: "key", rank: "count", kept: &[], limit: 1000 }),
        // Every state of every database is always there, with empty labels, so that a dashboard's
        // sum over a state does not vanish with the last session in it.
        queries: &[Query {
            since: 13,
            sql: "SELECT databases.datname, states.state, coalesce(usename, '') AS usename,
                         coalesce(application_name, '') AS application_name,
                         coalesce(backend_type, '') AS backend_type,
                         coalesce(wait_event_type, '') AS wait_event_type,
                         coalesce(wait_event, '') AS wait_event,
                         concat_ws('/', databases.datname, states.state, usename,
                                   application_name, backend_type, wait_event_type,
                                   wait_event) AS key,
                         coalesce(sessions, 0) AS count,
                         coalesce(max_tx_duration, 0) AS max_tx_duration
                    FROM pg_database AS databases
                   CROSS JOIN unnest(ARRAY['active', 'idle', 'idle in transaction',
                                           'idle in transaction (aborted)',
                                           'fastpath function call', 'disabled']) AS states (state)
                    LEFT JOIN (
                         SELECT datname, state, usename, application_name, backend_type,
                                wait_event_type, wait_event, count(*) AS sessions,
                                max(extract(epoch FROM now() - xact_start)) AS max_tx_duration
                           FROM pg_stat_activity
                          WHERE application_name <> 'poolwatch'
                          GROUP BY 1, 2, 3, 4, 5, 6, 7) AS activity
                      ON activity.datname = databases.datname AND activity.state = states.state
                   WHERE NOT databases.datistemplate",
        }],
        columns: &[
            gauge("count", "Sessions in this state; pg_stat_activity."),
            gauge(
                "max_tx_duration",
                "Age in seconds of the oldest open transaction of these sessions; \
                 pg_stat_activity.xact_start.",
            )
            .apart(),
        ],
        ..Table::EMPTY
    }],
};
