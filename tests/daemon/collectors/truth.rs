//! What is read of the views and columns that 19 brings is what `psql` reads.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use poolwatch::collectors::Collector;
use poolwatch::demo::Cluster;
use poolwatch::exposition::Chunk;
use poolwatch::indexes::Inventory;

use super::laden::Laden;
use super::{database, read, servers};
use crate::support::{Metrics, eventually};

/// How long figures may move.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A family: its collector, its labels, and what `psql` reads: a row for each series, its labels and
/// then its value. Of those that are bounded some.
type Expected = (&'static str, &'static str, &'static [&'static str], &'static str);

const ON_PRIMARY: &[Expected] = &[
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

const ON_REPLICA: &[Expected] = &[
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

/// What `psql` reads: each series' labels with its value.
fn selected(cluster: &Cluster, sql: &str) -> BTreeMap<Vec<String>, String> {
    let rows = cluster.sql_in("app", sql).unwrap();
    let row = |row: &str| {
        let mut cells: Vec<_> = row.split('|').map(str::to_owned).collect();
        let value = cells.pop().unwrap();
        (cells, value)
    };
    rows.lines().map(row).collect()
}

/// What of it is otherwise here; of figures that did not move meanwhile.
async fn difference(cluster: &Cluster, expected: &Expected) -> Option<String> {
    let (collector, family, labels, sql) = expected;
    let before = selected(cluster, sql);
    let database = database(&cluster.url("app"));
    let (families, error) = read(&database, Collector::named(collector).unwrap()).await;
    if before != selected(cluster, sql) {
        return Some("it moves".to_owned());
    }
    if before.is_empty() || error.is_some() {
        return Some(format!("{error:?}, nothing to compare"));
    }
    let family = families.iter().find(|one| one.name().ends_with(family));
    let Some(family) = family else { return Some("there is no such family".to_owned()) };
    let text = Chunk::encode([family]).plain().to_vec();
    let metrics = Metrics::parse(&String::from_utf8(text).unwrap());
    let wrong = before.iter().filter(|(values, value)| {
        let pairs = labels.iter().copied().zip(values.iter().map(String::as_str));
        let pairs: Vec<_> = pairs.collect();
        let shown = metrics.all(family.name(), &pairs).map(|series| series.value);
        let value: f64 = value.parse().unwrap();
        !shown.into_iter().all(|shown| (shown - value).abs() <= value.abs() * 1e-9)
            || metrics.all(family.name(), &pairs).next().is_none()
    });
    let wrong: Vec<_> = wrong.collect();
    (!wrong.is_empty()).then(|| format!("{wrong:?} where there is {:?}", metrics.series))
}

#[tokio::test]
async fn what_19_brings_is_what_psql_reads() {
    let Some((major, binaries)) = servers::all().iter().find(|(major, _)| *major == 19) else {
        // It cannot be had; tools/servers has said so.
        return;
    };
    let laden = Laden::start(binaries, *major);
    let mut wrong = Vec::new();
    let of_each = [(&laden.primary, ON_PRIMARY), (&laden.replica, ON_REPLICA)];
    for (cluster, all) in of_each {
        for expected in all {
            let deadline = Instant::now() + TIMEOUT;
            let mut found = difference(cluster, expected).await;
            while found.is_some() && Instant::now() < deadline {
                sleep(Duration::from_millis(50));
                found = difference(cluster, expected).await;
            }
            wrong.extend(found.map(|what| format!("{} {}: {what}", expected.0, expected.1)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn an_index_whose_statistics_were_reset_is_known() {
    for (major, binaries) in servers::all() {
        let cluster = Cluster::builder().binaries(binaries).start().unwrap();
        let use_it = "CREATE TABLE post (id int); CREATE INDEX one ON post (id);
                      CREATE INDEX two ON post (id); SET enable_seqscan = off;
                      SELECT count(*) FROM post WHERE id = 1";
        cluster.sql(use_it).unwrap();
        let used = "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan > 0";
        let used = eventually(|| Some(cluster.sql(used).unwrap()).filter(|name| !name.is_empty()));
        let reset = "SELECT pg_stat_reset_single_table_counters(indexrelid)
                       FROM pg_stat_user_indexes WHERE idx_scan > 0";
        cluster.sql(reset).unwrap();
        let database = database(&cluster.url("postgres"));
        let mut connection = database.acquire().await.unwrap();
        let inventory = Inventory::read(&mut connection).await.unwrap();
        for index in &inventory.indexes {
            let is_reset = *major >= 19 && index.name == used;
            assert_eq!(index.reset_ago.is_some(), is_reset, "PostgreSQL {major}: {}", index.name);
        }
    }
}
