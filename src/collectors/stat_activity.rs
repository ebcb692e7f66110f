//! Sessions by what they do, in `postgres_exporter`'s labels.

use super::{Collector, Every, Pace, Query, Reader, Scope, Table, age, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_activity",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
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
        // An application may put its process or its task into its name, and then there is no end:
        // beyond 500 kinds of session the name is "other".
        queries: &[Query {
            since: 13,
            sql: "SELECT databases.datname, state, usename, application_name, backend_type,
                         wait_event_type, wait_event, sessions AS count,
                         coalesce(max_tx_duration, 0) AS max_tx_duration
                    FROM pg_database AS databases
                    LEFT JOIN (
                         SELECT datid, state, usename,
                                CASE WHEN place <= 500 THEN application_name
                                     ELSE 'other' END AS application_name,
                                backend_type, wait_event_type, wait_event,
                                sum(sessions) AS sessions, max(max_tx_duration) AS max_tx_duration
                           FROM (
                                SELECT datid, state, usename, application_name, backend_type,
                                       wait_event_type, wait_event, count(*) AS sessions,
                                       max(extract(epoch FROM now() - xact_start))
                                           AS max_tx_duration,
                                       row_number() OVER (ORDER BY count(*) DESC) AS place
                                  FROM pg_stat_activity
                                 WHERE application_name <> 'poolwatch'
                                 GROUP BY 1, 2, 3, 4, 5, 6, 7) AS alike
                          GROUP BY 1, 2, 3, 4, 5, 6, 7) AS activity
                      ON activity.datid = databases.oid
                   WHERE NOT databases.datistemplate",
        }],
        every: Some(Every {
            label: "state",
            values: &[
                "active",
                "idle",
                "idle in transaction",
                "idle in transaction (aborted)",
                "fastpath function call",
                "disabled",
            ],
        }),
        columns: &[
            gauge("count", "Sessions in this state; pg_stat_activity."),
            age(
                "max_tx_duration",
                "Age in seconds of the oldest open transaction of these sessions; \
                 pg_stat_activity.xact_start.",
            ),
        ],
        ..Table::EMPTY
    }],
};
