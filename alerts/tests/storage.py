"""Data on disk: size, caches, temporary files, vacuum, sequences, indexes."""

from .case import alert, case, no_alert, none_fires

CASES = [
    alert("DatabaseSizeAboveScale", "info", "", {
        "pg_database_size_bytes{datname=redditbot}": "90e9x9 110e9x69 90e9x19",
        "pg_database_size_bytes{datname=postgres}": "8e6x99",
    }, pending="1h9m", over="1h22m", fires={
        "1h10m 1h21m": "PostgreSQL at app1:8001 holds 110GB of data.",
    }),

    alert("CacheHitRatioLow", "info", "datid=16384, datname=redditbot", {
        "pg_stat_database_blks_hit{datid=16384, datname=redditbot}": "0+60000x9 600000+60000x54 3900000+60000x30",
        "pg_stat_database_blks_read{datid=16384, datname=redditbot}": "0+600x9 45400+40000x54 2206000+600x30",
    }, pending="39m", over="1h7m", fires={
        "40m": "Database redditbot at app1:8001 finds only 60% of its blocks in the cache.",
        "1h6m": "Database redditbot at app1:8001 finds only 74.72% of its blocks in the cache.",
    }),

    alert("TemporaryFiles", "info", "datname=redditbot", {
        "pg_stat_database_temp_bytes{datname=redditbot}": "0x9 3e9+3e9x29 90e9x20",
    }, pending="25m", over="42m", fires={
        "26m": "Database redditbot at app1:8001 writes 50MB of temporary files a second.",
        "41m": "Database redditbot at app1:8001 writes 25MB of temporary files a second.",
    }),

    alert("TransactionIdsHalfUsed", "warning", "datname=redditbot", {
        "pg_database_wraparound_age_datfrozenxid_seconds{datname=redditbot}": "2e8x9 1.2e9x19 2e8x19",
    }, pending="24m", over="32m", fires={
        "25m 31m": "Database redditbot at app1:8001 has used 55.88% of its transaction ids.",
    }),

    alert("TransactionIdsRunningOut", "critical", "datname=redditbot", {
        "pg_database_wraparound_age_datfrozenxid_seconds{datname=redditbot}": "2e8x9 1.8e9x9 2e8x19",
    }, pending="14m", over="22m", fires={
        "15m 21m": "Database redditbot at app1:8001 has used 83.82% of its transaction ids.",
    }),

    alert("MultixactIdsHalfUsed", "warning", "datname=redditbot", {
        "pg_database_wraparound_age_datminmxid_seconds{datname=redditbot}": "1e9x9 1.2e9x29 1e6x20",
    }, pending="24m", over="42m", fires={
        "25m 41m": "Database redditbot at app1:8001 has used 55.88% of its multitransaction ids.",
    }),

    alert("MultixactIdsRunningOut", "critical", "datname=redditbot", {
        "pg_database_wraparound_age_datminmxid_seconds{datname=redditbot}": "1e9x9 1.8e9x29 1e6x20",
    }, pending="14m", over="42m", fires={
        "15m 41m": "Database redditbot at app1:8001 has used 83.82% of its multitransaction ids.",
    }),

    alert("SequenceRunningOut", "warning", "datname=redditbot, schemaname=public, sequencename=posts_id_seq", {
        "pg_sequence_used_ratio{datname=redditbot, schemaname=public, sequencename=posts_id_seq}": "0.79x9 0.85x29 0.1x20",
    }, pending="24m", over="42m", fires={
        "25m 41m": "Sequence public.posts_id_seq in database redditbot at app1:8001 has used 85% of its values.",
    }),

    alert("ChecksumFailures", "critical", "datname=redditbot", {
        "pg_stat_database_checksum_failures_total{datname=redditbot}": "0x9 1+1x14 15x20",
    }, pending="10m", over="27m", fires={
        "11m": "Database redditbot at app1:8001 read 2 pages with a wrong checksum in the last 4 minutes.",
        "26m": "Database redditbot at app1:8001 read 1 pages with a wrong checksum in the last 4 minutes.",
    }),

    alert("DeadTuplesHigh", "warning", "datname=redditbot, relname=matched_posts, schemaname=public", {
        "pg_stat_user_tables_n_dead_tup{datname=redditbot, schemaname=public, relname=matched_posts}": "1000x9 50000x64 1000x9",
        "pg_stat_user_tables_n_live_tup{datname=redditbot, schemaname=public, relname=matched_posts}": "50000x84",
    }, pending="1h9m", over="1h17m", fires={
        "1h10m 1h16m": "Of the rows of public.matched_posts in database redditbot at app1:8001 50% are dead.",
    }),

    alert("IndexMissing", "warning", "subject=idx_client_created", {
        "poolwatch_advice{rule=missing_index, severity=warning, subject=idx_client_created}": "_x10 1x19 stale",
    }, pending="24m", over="32m", fires={
        "25m 31m": "Index idx_client_created is in the catalogue of poolwatch at app1:8001 and not in the database.",
    }),

    alert("IndexInvalid", "warning", "subject=public.posts_by_author", {
        "poolwatch_advice{rule=invalid_index, severity=warning, subject=public.posts_by_author}": "_x10 1x19 stale",
    }, pending="24m", over="32m", fires={
        "25m 31m": "Index public.posts_by_author, seen by poolwatch at app1:8001, is invalid "
                   "because its CREATE INDEX CONCURRENTLY failed.",
    }),

    alert("TableScans", "info", "subject=public.analytics_events", {
        "poolwatch_advice{rule=table_scans, severity=warning, subject=public.analytics_events}": "_x10 1x19 stale",
    }, pending="24m", over="32m", fires={
        "25m 31m": "poolwatch at app1:8001 sees that table public.analytics_events is read whole again and again.",
    }),

    case("a small table of dead rows and a cold cache on a quiet server raise nothing", {
        "up": "1x120",
        "pg_stat_user_tables_n_dead_tup{datname=redditbot, schemaname=public, relname=clients}": "90x120",
        "pg_stat_user_tables_n_live_tup{datname=redditbot, schemaname=public, relname=clients}": "3x120",
        "pg_stat_database_blks_hit{datid=16384, datname=redditbot}": "0+10x120",
        "pg_stat_database_blks_read{datid=16384, datname=redditbot}": "0+90x120",
        "pg_stat_checkpointer_num_requested_total": "0x60 2x60",
        "pg_stat_checkpointer_num_timed_total": "0x120",
    }, no_alert("90m 2h")),

    case("an index which a migration builds again and advice of other kinds raise nothing", {
        "up": "1x60",
        "poolwatch_advice{rule=missing_index, severity=warning, subject=idx_client_created}": "_x10 1x13 stale",
        "poolwatch_advice{rule=unused_index, severity=info, subject=idx_client_reviewed}": "1x60",
        "poolwatch_advice{rule=pool_usage, severity=critical, subject=web}": "1x60",
    }, none_fires("20m 24m 60m")),
]
