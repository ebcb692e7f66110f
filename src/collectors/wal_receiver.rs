//! Streaming replication, as the replica sees it.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_wal_receiver",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_wal_receiver",
        labels: &["upstream_host", "slot_name", "status"],
        queries: &[Query {
            since: 13,
            sql: "\
SELECT coalesce(sender_host, '') AS upstream_host, coalesce(slot_name, '') AS slot_name, status,
       receive_start_lsn - '0/0' AS receive_start_lsn,
       flushed_lsn - '0/0' AS flushed_lsn,
       extract(epoch FROM last_msg_send_time) AS last_msg_send_time,
       extract(epoch FROM last_msg_receipt_time) AS last_msg_receipt_time,
       latest_end_lsn - '0/0' AS latest_end_lsn,
       extract(epoch FROM latest_end_time) AS latest_end_time,
       receive_start_tli, received_tli,
       substring(slot_name FROM 'repmgr_slot_([0-9]*)') AS upstream_node
  FROM pg_stat_wal_receiver WHERE status IS NOT NULL",
        }],
        columns: &[
            counter(
                "receive_start_lsn",
                "Where receiving began, in bytes; pg_stat_wal_receiver.receive_start_lsn.",
            ),
            counter(
                "flushed_lsn",
                "What is received and flushed, in bytes; pg_stat_wal_receiver.flushed_lsn.",
            ),
            counter(
                "last_msg_send_time",
                "When the last message was sent, in Unix seconds; \
                pg_stat_wal_receiver.last_msg_send_time.",
            ),
            counter(
                "last_msg_receipt_time",
                "When the last message came, in Unix seconds; \
                pg_stat_wal_receiver.last_msg_receipt_time.",
            ),
            counter(
                "latest_end_lsn",
                "What was last reported to the sender, in bytes; \
                pg_stat_wal_receiver.latest_end_lsn.",
            ),
            counter(
                "latest_end_time",
                "When it was, in Unix seconds; pg_stat_wal_receiver.latest_end_time.",
            ),
            gauge(
                "receive_start_tli",
                "Timeline where receiving began; pg_stat_wal_receiver.receive_start_tli.",
            ),
            gauge(
                "received_tli",
                "Timeline of what was last received; pg_stat_wal_receiver.received_tli.",
            ),
            gauge(
                "upstream_node",
                "The upstream's number by repmgr's name of the slot; \
                pg_stat_wal_receiver.slot_name.",
            ),
        ],
        ..Table::EMPTY
    }],
};
