//! Replication slots, and how much write-ahead log each holds back.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "replication_slots",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_replication_slots",
            labels: &["slot_name", "database"],
            queries: &[Query {
                since: 13,
                sql: "\
             SELECT slot_name, coalesce(database, '') AS database, active::int AS active,
                    pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                         ELSE pg_current_wal_lsn() END, restart_lsn) AS pg_wal_lsn_diff
               FROM pg_replication_slots",
            }],
            columns: &[
                gauge(
                    "active",
                    "Whether something reads the slot: 1 or 0; pg_replication_slots.active.",
                ),
                gauge(
                    "pg_wal_lsn_diff",
                    "Bytes of write-ahead log the slot holds back; \
                pg_replication_slots.restart_lsn.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication_slots",
            labels: &["slot_name", "slot_type"],
            queries: &[Query {
                since: 13,
                sql: "\
       SELECT slot_name, slot_type, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                   ELSE pg_current_wal_lsn() END - '0/0' AS slot_current_wal_lsn,
              CASE WHEN active THEN confirmed_flush_lsn - '0/0' END AS slot_confirmed_flush_lsn,
              active::int AS slot_is_active, safe_wal_size AS safe_wal_size_bytes
         FROM pg_replication_slots",
            }],
            columns: &[
                gauge(
                    "slot_current_wal_lsn",
                    "Where the write-ahead log is now, in bytes; pg_current_wal_lsn().",
                ),
                gauge(
                    "slot_confirmed_flush_lsn",
                    "What the reader of an active logical slot has confirmed, in bytes; \
                pg_replication_slots.confirmed_flush_lsn.",
                ),
                gauge(
                    "slot_is_active",
                    "Whether something reads the slot: 1 or 0; pg_replication_slots.active.",
                ),
                gauge(
                    "safe_wal_size_bytes",
                    "Bytes that can be written before the slot may be lost, absent when there is \
                no limit; pg_replication_slots.safe_wal_size.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication",
            labels: &["slot_name", "slot_type", "wal_status"],
            queries: &[Query {
                since: 13,
                sql: "SELECT slot_name, slot_type, wal_status, 1 AS slots_wal_status
                    FROM pg_replication_slots WHERE wal_status IS NOT NULL",
            }],
            columns: &[gauge(
                "slots_wal_status",
                "1 with whether the log that the slot needs is there; \
                pg_replication_slots.wal_status.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication_slots",
            labels: &["slot_name"],
            queries: &[Query {
                since: 16,
                sql: "\
                  SELECT slot_name, conflicting::int AS conflicting FROM pg_replication_slots",
            }],
            columns: &[gauge(
                "conflicting",
                "Whether recovery made a logical slot unusable: 1 or 0; \
                pg_replication_slots.conflicting.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication_slots",
            labels: &["slot_name"],
            queries: &[Query {
                since: 17,
                sql: "SELECT slot_name, synced::int AS synced FROM pg_replication_slots",
            }],
            columns: &[gauge(
                "synced",
                "Whether a standby keeps the slot as a copy of the primary's, to be read after a \
                failover: 1 or 0; pg_replication_slots.synced.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication_slots",
            labels: &["slot_name"],
            queries: &[Query {
                since: 17,
                sql: "\
        SELECT slot_name, extract(epoch FROM inactive_since) AS inactive_since_timestamp_seconds
          FROM pg_replication_slots",
            }],
            columns: &[gauge(
                "inactive_since_timestamp_seconds",
                "When the slot was last left, in Unix seconds, absent while it is read; \
                pg_replication_slots.inactive_since.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_replication_slots",
            labels: &["slot_name", "reason"],
            queries: &[Query {
                since: 19,
                sql: "SELECT slot_name, slotsync_skip_reason AS reason, 1 AS slotsync_skipped
                        FROM pg_replication_slots WHERE slotsync_skip_reason IS NOT NULL",
            }],
            columns: &[gauge(
                "slotsync_skipped",
                "1 with why a standby did not copy the slot from the primary when it last tried; \
                pg_replication_slots.slotsync_skip_reason.",
            )],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_replication_slots",
            labels: &["slot_name"],
            queries: &[Query {
                since: 19,
                sql: "SELECT slot_name, mem_exceeded_count AS mem_exceeded_total,
                             slotsync_skip_count AS slotsync_skips_total,
                             extract(epoch FROM slotsync_last_skip)
                                 AS slotsync_last_skip_timestamp_seconds
                        FROM pg_stat_replication_slots",
            }],
            columns: &[
                counter(
                    "mem_exceeded_total",
                    "Times that logical_decoding_work_mem did not hold the changes of the slot; \
                    pg_stat_replication_slots.mem_exceeded_count.",
                ),
                counter(
                    "slotsync_skips_total",
                    "Times that a standby did not copy the slot from the primary; \
                    pg_stat_replication_slots.slotsync_skip_count.",
                ),
                gauge(
                    "slotsync_last_skip_timestamp_seconds",
                    "When that was last, in Unix seconds, absent when never; \
                    pg_stat_replication_slots.slotsync_last_skip.",
                ),
            ],
            ..Table::EMPTY
        },
    ],
};
