//! Logical replication, as the subscriber sees it.

use super::{Collector, Pace, Query, Reader, Scope, Table, age, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "subscriptions",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_stat_subscription",
            labels: &["subname"],
            queries: &[Query {
                since: 13,
                sql: "SELECT subname, count(pid) AS workers,
                        max(extract(epoch FROM clock_timestamp() - last_msg_receipt_time))
                            AS last_message_age_seconds,
                        max(extract(epoch FROM latest_end_time)) AS latest_end_timestamp_seconds
                   FROM pg_stat_subscription GROUP BY 1",
            }],
            columns: &[
                gauge("workers", "Workers at work for the subscription; pg_stat_subscription.pid."),
                age(
                    "last_message_age_seconds",
                    "How long ago a message came from the publisher; \
                pg_stat_subscription.last_msg_receipt_time.",
                ),
                gauge(
                    "latest_end_timestamp_seconds",
                    "When a position was last reported to the publisher, in Unix seconds; \
                pg_stat_subscription.latest_end_time.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_subscription",
            labels: &["subname"],
            queries: &[
                Query {
                    since: 19,
                    sql: "SELECT subname, apply_error_count AS apply_errors_total,
                            sync_table_error_count AS sync_errors_total,
                            sync_seq_error_count AS sync_sequence_errors_total
                       FROM pg_stat_subscription_stats",
                },
                Query {
                    since: 15,
                    sql: "SELECT subname, apply_error_count AS apply_errors_total,
                            sync_error_count AS sync_errors_total
                       FROM pg_stat_subscription_stats",
                },
            ],
            columns: &[
                counter(
                    "apply_errors_total",
                    "Changes that could not be applied; \
                pg_stat_subscription_stats.apply_error_count.",
                ),
                counter(
                    "sync_errors_total",
                    "Failures of the first copy of a table; \
                pg_stat_subscription_stats.sync_table_error_count, before 19 sync_error_count.",
                ),
                counter(
                    "sync_sequence_errors_total",
                    "Failures of the copy of a sequence; \
                pg_stat_subscription_stats.sync_seq_error_count.",
                )
                .since(19),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_subscription",
            labels: &["subname", "conflict"],
            queries: &[
                Query {
                    since: 19,
                    sql: "SELECT subname, conflict, conflicts_total
                       FROM pg_stat_subscription_stats
                      CROSS JOIN LATERAL (VALUES
                            ('insert_exists', confl_insert_exists),
                            ('update_origin_differs', confl_update_origin_differs),
                            ('update_exists', confl_update_exists),
                            ('update_deleted', confl_update_deleted),
                            ('update_missing', confl_update_missing),
                            ('delete_origin_differs', confl_delete_origin_differs),
                            ('delete_missing', confl_delete_missing),
                            ('multiple_unique_conflicts', confl_multiple_unique_conflicts)
                            ) AS conflicts (conflict, conflicts_total)",
                },
                Query {
                    since: 18,
                    sql: "SELECT subname, conflict, conflicts_total
                       FROM pg_stat_subscription_stats
                      CROSS JOIN LATERAL (VALUES
                            ('insert_exists', confl_insert_exists),
                            ('update_origin_differs', confl_update_origin_differs),
                            ('update_exists', confl_update_exists),
                            ('update_missing', confl_update_missing),
                            ('delete_origin_differs', confl_delete_origin_differs),
                            ('delete_missing', confl_delete_missing),
                            ('multiple_unique_conflicts', confl_multiple_unique_conflicts)
                            ) AS conflicts (conflict, conflicts_total)",
                },
            ],
            columns: &[counter(
                "conflicts_total",
                "Changes that met a row unlike the publisher's, by kind; \
                pg_stat_subscription_stats.confl_*.",
            )],
            ..Table::EMPTY
        },
    ],
};
