//! What each collector gives, and the SQL that psql is asked for the same.

/// then its value. Of those that are bounded some.
pub(super) type Expected = (&'static str, &'static str, &'static [&'static str], &'static str);

pub(super) const ON_PRIMARY: &[Expected] = &[
    ("stat_lock", "waits_total", &["locktype"], "SELECT locktype, waits FROM pg_stat_lock"),
    (
        "stat_lock",
        "wait_seconds_total",
        &["locktype"],
        "SELECT locktype, wait_time / 1000 FROM pg_stat_lock",
    ),
    (
        "stat_lock",
        "fastpath_exceeded_total",
        &["locktype"],
        "SELECT locktype, fastpath_exceeded FROM pg_stat_lock",
    ),
    (
        "stat_lock",
        "reset_timestamp_seconds",
        &["locktype"],
        "SELECT locktype, extract(epoch FROM stats_reset) FROM pg_stat_lock",
    ),
    ("stat_wal", "full_page_image_bytes_total", &[], "SELECT wal_fpi_bytes FROM pg_stat_wal"),
    (
        "database_wraparound",
        "pg_multixact_multitransactions",
        &[],
        "SELECT num_mxids FROM pg_get_multixact_stats()",
    ),
    (
        "database_wraparound",
        "pg_multixact_members",
        &[],
        "SELECT num_members FROM pg_get_multixact_stats()",
    ),
    (
        "database_wraparound",
        "pg_multixact_members_size_bytes",
        &[],
        "SELECT members_size FROM pg_get_multixact_stats()",
    ),
    (
        "stat_progress_vacuum",
        "info",
        &["relname", "mode", "started_by"],
        "SELECT relid::regclass, mode, started_by, 1 FROM pg_stat_progress_vacuum",
    ),
    (
        "stat_progress",
        "pg_stat_progress_analyze_info",
        &["relname", "started_by"],
        "SELECT relid::regclass, started_by, 1 FROM pg_stat_progress_analyze",
    ),
    (
        "stat_progress",
        "pg_stat_progress_basebackup_backups",
        &["backup_type"],
        "SELECT backup_type, count(*) FROM pg_stat_progress_basebackup GROUP BY 1",
    ),
    (
        "stat_progress",
        "pg_stat_progress_repack_heap_tuples_inserted",
        &["relname", "phase"],
        "SELECT 'slow_repack', phase, heap_tuples_inserted FROM pg_stat_progress_repack
          WHERE relid = 'slow_repack'::regclass",
    ),
    (
        "stat_progress",
        "pg_stat_progress_repack_heap_blks",
        &["relname", "phase"],
        "SELECT 'slow_repack', phase, heap_blks_total FROM pg_stat_progress_repack
          WHERE relid = 'slow_repack'::regclass",
    ),
    (
        "stat_progress",
        "pg_stat_progress_repack_heap_blks_scanned",
        &["relname", "phase"],
        "SELECT 'slow_repack', phase, heap_blks_scanned FROM pg_stat_progress_repack
          WHERE relid = 'slow_repack'::regclass",
    ),
    (
        "stat_progress",
        "pg_stat_progress_repack_heap_tuples_scanned",
        &["relname", "phase"],
        "SELECT 'slow_repack', phase, heap_tuples_scanned FROM pg_stat_progress_repack
          WHERE relid = 'slow_repack'::regclass",
    ),
    (
        "stat_progress",
        "pg_stat_progress_repack_heap_tuples_updated",
        &["relname", "phase"],
        "SELECT 'slow_repack', phase, heap_tuples_updated FROM pg_stat_progress_repack
          WHERE relid = 'slow_repack'::regclass",
    ),
    (
        "stat_progress",
        "pg_stat_progress_repack_heap_tuples_deleted",
        &["relname", "phase"],
        "SELECT 'slow_repack', phase, heap_tuples_deleted FROM pg_stat_progress_repack
          WHERE relid = 'slow_repack'::regclass",
    ),
    (
        "stat_progress",
        "pg_stat_progress_repack_index_rebuilds",
        &["relname", "phase"],
        "SELECT 'slow_repack', phase, index_rebuild_count FROM pg_stat_progress_repack
          WHERE relid = 'slow_repack'::regclass",
    ),
    (
        "stat_progress",
        "pg_stat_progress_cluster_heap_tuples_written",
        &["relname", "command"],
        "SELECT 'slow_cluster', command, heap_tuples_written FROM pg_stat_progress_cluster
          WHERE relid = 'slow_cluster'::regclass",
    ),
    (
        "stat_statements",
        "custom_plan_calls_total",
        &["queryid"],
        "SELECT queryid, custom_plan_calls FROM pg_stat_statements WHERE query LIKE 'PREPARE planned%'",
    ),
    (
        "stat_statements",
        "generic_plan_calls_total",
        &["queryid"],
        "SELECT queryid, generic_plan_calls FROM pg_stat_statements WHERE query LIKE 'PREPARE planned%'",
    ),
    (
        "stat_autovacuum_scores",
        "_score",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, score FROM pg_stat_autovacuum_scores ORDER BY 3 DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "scores_xid_score",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, xid_score FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "scores_mxid_score",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, mxid_score FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "scores_vacuum_score",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, vacuum_score FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "scores_vacuum_insert_score",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, vacuum_insert_score FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "scores_analyze_score",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, analyze_score FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "scores_do_analyze",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, do_analyze::int FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "scores_for_wraparound",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, for_wraparound::int FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_autovacuum_scores",
        "do_vacuum",
        &["schemaname", "relname"],
        "SELECT schemaname, relname, do_vacuum::int FROM pg_stat_autovacuum_scores
          ORDER BY score DESC LIMIT 5",
    ),
    (
        "stat_database_conflicts",
        "stats_reset",
        &["datname"],
        "SELECT datname, extract(epoch FROM stats_reset) FROM pg_stat_database_conflicts
          WHERE stats_reset IS NOT NULL",
    ),
    (
        "subscriptions",
        "sync_errors_total",
        &["subname"],
        "SELECT subname, sync_table_error_count FROM pg_stat_subscription_stats",
    ),
    (
        "subscriptions",
        "sync_sequence_errors_total",
        &["subname"],
        "SELECT subname, sync_seq_error_count FROM pg_stat_subscription_stats",
    ),
    (
        "subscriptions",
        "conflicts_total",
        &["subname", "conflict"],
        "SELECT subname, key, value FROM pg_stat_subscription_stats AS stats
          CROSS JOIN LATERAL (SELECT replace(key, 'confl_', '') AS key, value
                                FROM jsonb_each_text(to_jsonb(stats))
                               WHERE key LIKE 'confl\\_%') AS conflicts",
    ),
    (
        "replication_slots",
        "mem_exceeded_total",
        &["slot_name"],
        "SELECT slot_name, mem_exceeded_count FROM pg_stat_replication_slots",
    ),
    (
        "settings",
        "pg_settings_password_expiration_warning_threshold_seconds",
        &[],
        "SELECT setting FROM pg_settings WHERE name = 'password_expiration_warning_threshold'",
    ),
    (
        "settings",
        "pg_settings_io_worker_idle_timeout_seconds",
        &[],
        "SELECT setting::int / 1000.0 FROM pg_settings WHERE name = 'io_worker_idle_timeout'",
    ),
    (
        "stat_database",
        "checksum_failures_total",
        &["datname"],
        "SELECT datname, checksum_failures FROM pg_stat_database WHERE datname IS NOT NULL",
    ),
];

pub(super) const ON_REPLICA: &[Expected] = &[
    (
        "stat_recovery",
        "promote_triggered",
        &[],
        "SELECT promote_triggered::int FROM pg_stat_recovery",
    ),
    (
        "stat_recovery",
        "last_replayed_read_lsn_bytes",
        &[],
        "SELECT last_replayed_read_lsn - '0/0' FROM pg_stat_recovery",
    ),
    (
        "stat_recovery",
        "last_replayed_end_lsn_bytes",
        &[],
        "SELECT last_replayed_end_lsn - '0/0' FROM pg_stat_recovery",
    ),
    ("stat_recovery", "last_replayed_tli", &[], "SELECT last_replayed_tli FROM pg_stat_recovery"),
    (
        "stat_recovery",
        "replay_end_lsn_bytes",
        &[],
        "SELECT replay_end_lsn - '0/0' FROM pg_stat_recovery",
    ),
    ("stat_recovery", "replay_end_tli", &[], "SELECT replay_end_tli FROM pg_stat_recovery"),
    (
        "stat_recovery",
        "recovery_last_xact_timestamp_seconds",
        &[],
        "SELECT extract(epoch FROM recovery_last_xact_time) FROM pg_stat_recovery",
    ),
    (
        "stat_recovery",
        "current_chunk_start_timestamp_seconds",
        &[],
        "SELECT extract(epoch FROM current_chunk_start_time) FROM pg_stat_recovery",
    ),
    (
        "stat_recovery",
        "pause_state",
        &["state"],
        "SELECT state, (pause_state = state)::int FROM pg_stat_recovery,
                unnest(ARRAY['not paused', 'pause requested', 'paused']) AS state",
    ),
    (
        "replication_slots",
        "slotsync_skipped",
        &["slot_name", "reason"],
        "SELECT slot_name, slotsync_skip_reason, 1 FROM pg_replication_slots
          WHERE slotsync_skip_reason IS NOT NULL",
    ),
    (
        "replication_slots",
        "slotsync_skips_total",
        &["slot_name"],
        "SELECT slot_name, slotsync_skip_count FROM pg_stat_replication_slots",
    ),
    (
        "replication_slots",
        "slotsync_last_skip_timestamp_seconds",
        &["slot_name"],
        "SELECT slot_name, extract(epoch FROM slotsync_last_skip) FROM pg_stat_replication_slots",
    ),
];
