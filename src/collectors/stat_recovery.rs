//! The progress of a standby's recovery, and whether it is paused.

use super::{Collector, Pace, Query, Reader, Scope, Table, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_recovery",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[
        Table {
            prefix: "pg_stat_recovery",
            queries: &[Query {
                since: 19,
                sql: "SELECT promote_triggered::int AS promote_triggered,
             last_replayed_read_lsn - '0/0'::pg_lsn AS last_replayed_read_lsn_bytes,
             last_replayed_end_lsn - '0/0'::pg_lsn AS last_replayed_end_lsn_bytes,
             last_replayed_tli, replay_end_lsn - '0/0'::pg_lsn AS replay_end_lsn_bytes,
             replay_end_tli,
             extract(epoch FROM recovery_last_xact_time) AS recovery_last_xact_timestamp_seconds,
             extract(epoch FROM current_chunk_start_time) AS current_chunk_start_timestamp_seconds
        FROM pg_stat_recovery",
            }],
            columns: &[
                gauge(
                    "promote_triggered",
                    "Whether the promotion of the standby was triggered: 1 or 0; \
                    pg_stat_recovery.promote_triggered.",
                ),
                gauge(
                    "last_replayed_read_lsn_bytes",
                    "Where the last replayed record begins, in bytes; \
                    pg_stat_recovery.last_replayed_read_lsn.",
                ),
                gauge(
                    "last_replayed_end_lsn_bytes",
                    "Where the last replayed record ends, in bytes; \
                    pg_stat_recovery.last_replayed_end_lsn.",
                ),
                gauge(
                    "last_replayed_tli",
                    "Timeline of the last replayed record; pg_stat_recovery.last_replayed_tli.",
                ),
                gauge(
                    "replay_end_lsn_bytes",
                    "Where the record that is replayed now ends, in bytes; \
                    pg_stat_recovery.replay_end_lsn.",
                ),
                gauge(
                    "replay_end_tli",
                    "Timeline of the record that is replayed now; pg_stat_recovery.replay_end_tli.",
                ),
                gauge(
                    "recovery_last_xact_timestamp_seconds",
                    "When the last replayed transaction ended on the primary, in Unix seconds; \
                    pg_stat_recovery.recovery_last_xact_time.",
                ),
                gauge(
                    "current_chunk_start_timestamp_seconds",
                    "When replay of the last chunk received began, in Unix seconds; \
                    pg_stat_recovery.current_chunk_start_time.",
                ),
            ],
            ..Table::EMPTY
        },
        Table {
            prefix: "pg_stat_recovery",
            labels: &["state"],
            queries: &[Query {
                since: 19,
                sql: "SELECT states.state, (pause_state = states.state)::int AS pause_state
                        FROM pg_stat_recovery
                       CROSS JOIN unnest(ARRAY['not paused', 'pause requested', 'paused'])
                          AS states (state)",
            }],
            columns: &[gauge(
                "pause_state",
                "1 for the state that recovery is in, else 0; pg_stat_recovery.pause_state.",
            )],
            ..Table::EMPTY
        },
    ],
};
