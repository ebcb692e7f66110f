//! Names that dashboards, alerts and command lines written for other exporters ask for.

/// The default metrics of `postgres_exporter`: few of them are left since 0.20.
pub const DEFAULT_METRICS: [&str; 2] = ["stat_database_conflicts", "static"];

/// Collectors by the name they had in `postgres_exporter` before 0.13 or 0.20, and the one they have
/// now.
pub const RENAMED: [(&str, &str); 2] =
    [("bgwriter", "stat_bgwriter"), ("replication_slot", "replication_slots")];

/// Families that keep a name which Prometheus' linter would not choose, because dashboards and
/// alerts written for `postgres_exporter` or `pgbouncer_exporter` ask for it.
pub const COMPATIBLE_NAMES: &[&str] = &[
    "pg_stat_archiver_archived_count",
    "pg_stat_archiver_failed_count",
    "pg_stat_database_conflicts_confl_tablespace",
    "pg_stat_database_conflicts_confl_lock",
    "pg_stat_database_conflicts_confl_snapshot",
    "pg_stat_database_conflicts_confl_bufferpin",
    "pg_stat_database_conflicts_confl_deadlock",
    "pg_stat_database_conflicts_confl_active_logicalslot",
    "pg_locks_count",
    "pg_locks_waiting_count",
    "pg_prepared_transactions_count",
    "pg_stat_activity_count",
    "pg_stat_database_xact_commit",
    "pg_stat_database_xact_rollback",
    "pg_stat_database_blks_read",
    "pg_stat_database_blks_hit",
    "pg_stat_database_tup_returned",
    "pg_stat_database_tup_fetched",
    "pg_stat_database_tup_inserted",
    "pg_stat_database_tup_updated",
    "pg_stat_database_tup_deleted",
    "pg_stat_database_conflicts",
    "pg_stat_database_temp_files",
    "pg_stat_database_temp_bytes",
    "pg_stat_database_deadlocks",
    "pg_stat_database_blk_read_time",
    "pg_stat_database_blk_write_time",
    "pg_stat_database_stats_reset",
    "pg_statio_user_tables_heap_blocks_read",
    "pg_statio_user_tables_heap_blocks_hit",
    "pg_statio_user_tables_idx_blocks_read",
    "pg_statio_user_tables_idx_blocks_hit",
    "pg_statio_user_tables_toast_blocks_read",
    "pg_statio_user_tables_toast_blocks_hit",
    "pg_statio_user_tables_tidx_blocks_read",
    "pg_statio_user_tables_tidx_blocks_hit",
    "pg_stat_user_tables_seq_scan",
    "pg_stat_user_tables_seq_tup_read",
    "pg_stat_user_tables_idx_scan",
    "pg_stat_user_tables_idx_tup_fetch",
    "pg_stat_user_tables_n_tup_ins",
    "pg_stat_user_tables_n_tup_upd",
    "pg_stat_user_tables_n_tup_del",
    "pg_stat_user_tables_n_tup_hot_upd",
    "pg_stat_user_tables_vacuum_count",
    "pg_stat_user_tables_autovacuum_count",
    "pg_stat_user_tables_analyze_count",
    "pg_stat_user_tables_autoanalyze_count",
    "pg_stat_wal_receiver_receive_start_lsn",
    "pg_stat_wal_receiver_flushed_lsn",
    "pg_stat_wal_receiver_last_msg_send_time",
    "pg_stat_wal_receiver_last_msg_receipt_time",
    "pg_stat_wal_receiver_latest_end_lsn",
    "pg_stat_wal_receiver_latest_end_time",
];
