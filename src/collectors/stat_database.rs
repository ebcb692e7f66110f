//! Each database's transactions, blocks and rows; what belongs to none, the shared catalogues, has
//! `datid="0"` and no `datname`.

use super::{Collector, Pace, Query, Reader, Scope, Table, counter, gauge};

pub(super) const COLLECTOR: Collector = Collector {
    name: "stat_database",
    pace: Pace::Server,
    scope: Scope::Server,
    enabled: true,
    part_of: None,
    reader: Reader::Tables,
    tables: &[Table {
        prefix: "pg_stat_database",
        labels: &["datid", "datname"],
        queries: &[
            Query {
                since: 18,
                sql: "SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read,
                             blks_hit, tup_returned, tup_fetched, tup_inserted, tup_updated,
                             tup_deleted, conflicts, temp_files, temp_bytes, deadlocks,
                             blk_read_time, blk_write_time,
                             extract(epoch FROM stats_reset) AS stats_reset,
                             active_time / 1000.0 AS active_time_seconds_total,
                             idle_in_transaction_time / 1000.0
                                 AS idle_in_transaction_time_seconds_total,
                             session_time / 1000.0 AS session_time_seconds_total,
                             sessions AS sessions_total,
                             sessions_abandoned AS sessions_abandoned_total,
                             sessions_fatal AS sessions_fatal_total,
                             sessions_killed AS sessions_killed_total,
                             checksum_failures AS checksum_failures_total,
                             parallel_workers_to_launch AS parallel_workers_to_launch_total,
                             parallel_workers_launched AS parallel_workers_launched_total
                        FROM pg_stat_database",
            },
            Query {
                since: 14,
                sql: "SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read,
                             blks_hit, tup_returned, tup_fetched, tup_inserted, tup_updated,
                             tup_deleted, conflicts, temp_files, temp_bytes, deadlocks,
                             blk_read_time, blk_write_time,
                             extract(epoch FROM stats_reset) AS stats_reset,
                             active_time / 1000.0 AS active_time_seconds_total,
                             idle_in_transaction_time / 1000.0
                                 AS idle_in_transaction_time_seconds_total,
                             session_time / 1000.0 AS session_time_seconds_total,
                             sessions AS sessions_total,
                             sessions_abandoned AS sessions_abandoned_total,
                             sessions_fatal AS sessions_fatal_total,
                             sessions_killed AS sessions_killed_total,
                             checksum_failures AS checksum_failures_total
                        FROM pg_stat_database",
            },
            Query {
                since: 13,
                sql: "SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read,
                             blks_hit, tup_returned, tup_fetched, tup_inserted, tup_updated,
                             tup_deleted, conflicts, temp_files, temp_bytes, deadlocks,
                             blk_read_time, blk_write_time,
                             extract(epoch FROM stats_reset) AS stats_reset,
                             checksum_failures AS checksum_failures_total
                        FROM pg_stat_database",
            },
        ],
        columns: &[
            gauge("numbackends", "Sessions on the database; pg_stat_database.numbackends."),
            counter("xact_commit", "Transactions committed; pg_stat_database.xact_commit."),
            counter("xact_rollback", "Transactions rolled back; pg_stat_database.xact_rollback."),
            counter("blks_read", "Blocks read from disk; pg_stat_database.blks_read."),
            counter("blks_hit", "Blocks found in the buffer cache; pg_stat_database.blks_hit."),
            counter("tup_returned", "Rows read by scans; pg_stat_database.tup_returned."),
            counter("tup_fetched", "Rows fetched by index scans; pg_stat_database.tup_fetched."),
            counter("tup_inserted", "Rows inserted; pg_stat_database.tup_inserted."),
            counter("tup_updated", "Rows updated; pg_stat_database.tup_updated."),
            counter("tup_deleted", "Rows deleted; pg_stat_database.tup_deleted."),
            counter(
                "conflicts",
                "Queries cancelled by recovery on a standby; pg_stat_database.conflicts.",
            ),
            counter("temp_files", "Temporary files written; pg_stat_database.temp_files."),
            counter("temp_bytes", "Bytes of temporary files; pg_stat_database.temp_bytes."),
            counter("deadlocks", "Deadlocks found; pg_stat_database.deadlocks."),
            counter(
                "blk_read_time",
                "Milliseconds spent reading blocks, 0 without track_io_timing; \
                 pg_stat_database.blk_read_time.",
            ),
            counter(
                "blk_write_time",
                "Milliseconds spent writing blocks, 0 without track_io_timing; \
                 pg_stat_database.blk_write_time.",
            ),
            counter(
                "stats_reset",
                "When the statistics began, in Unix seconds; pg_stat_database.stats_reset.",
            ),
            counter(
                "active_time_seconds_total",
                "Time sessions spent running statements; pg_stat_database.active_time.",
            )
            .since(14),
            counter(
                "idle_in_transaction_time_seconds_total",
                "Time sessions were idle in a transaction; \
                 pg_stat_database.idle_in_transaction_time.",
            )
            .since(14),
            counter(
                "session_time_seconds_total",
                "Time sessions were open; pg_stat_database.session_time.",
            )
            .since(14),
            counter("sessions_total", "Sessions opened; pg_stat_database.sessions.").since(14),
            counter(
                "sessions_abandoned_total",
                "Sessions whose client was lost; pg_stat_database.sessions_abandoned.",
            )
            .since(14),
            counter(
                "sessions_fatal_total",
                "Sessions ended by a fatal error; pg_stat_database.sessions_fatal.",
            )
            .since(14),
            counter(
                "sessions_killed_total",
                "Sessions ended by an operator; pg_stat_database.sessions_killed.",
            )
            .since(14),
            counter(
                "checksum_failures_total",
                "Pages that failed their checksum; when checksums are off 0, before 19 absent; \
                 pg_stat_database.checksum_failures.",
            ),
            counter(
                "parallel_workers_to_launch_total",
                "Parallel workers that queries planned for; \
                 pg_stat_database.parallel_workers_to_launch.",
            )
            .since(18),
            counter(
                "parallel_workers_launched_total",
                "Of them those that were launched; pg_stat_database.parallel_workers_launched.",
            )
            .since(18),
        ],
        ..Table::EMPTY
    }],
};
