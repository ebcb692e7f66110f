"""Database: does the server behind the pools keep up?"""

from .expression import busiest, or_none, per_second
from .frame import dashboard
from .panel import answers, firing, lines, stat, table

USED = "pg_connections_used{@server} / pg_connections_usable{@server}"
CPU = "rate(pg_server_cpu_seconds_total{@server}[$__rate_interval]) / pg_server_cpu_cores{@server}"
HIT = "rate(pg_stat_database_blks_hit{@database}[$__rate_interval])"
READ = "rate(pg_stat_database_blks_read{@database}[$__rate_interval])"


def rate(name, by="datname"):
    return per_second(f"pg_stat_database_{name}", by, "@database")


def longest(selector, by="datname"):
    return f"max by ({by}) (pg_stat_activity_max_tx_duration{{@database, {selector}}})"


NOW = [
    answers(),
    stat("Running for", "Since PostgreSQL last started.", "min(time() - pg_postmaster_start_time_seconds{@server})", "s",
         ["DatabaseRestarted"], width=3, decimals=0),
    stat("Connections used", "The share of the connections an ordinary role may open.", f"max({USED})", "percentunit",
         ["DatabaseConnectionsHigh", "DatabaseConnectionsExhausted"], decimals=0, min=0, max=1),
    stat("CPU", "The share of the server's cores which PostgreSQL uses.", f"max({CPU})", "percentunit",
         ["DatabaseCpuAboveScale", "DatabaseCpuHigh"], decimals=0, min=0),
    stat("Idle in transaction", "The oldest transaction that is open and does nothing.",
         'max(pg_stat_activity_max_tx_duration{@database, state=~"idle in transaction.*"})', "s", ["IdleInTransaction"]),
    stat("Lock wait", "The age of the oldest transaction that waits for a lock.",
         'max(pg_stat_activity_max_tx_duration{@database, wait_event_type="Lock"}) or vector(0)', "s", ["LockWait"], width=3),
    stat("Data", "The size of all databases.", "max(sum without (datname) (pg_database_size_bytes{@server}))", "decbytes",
         ["DatabaseSizeAboveScale"], width=3),
]

CONNECTIONS = [
    lines("Connections used", "The share of the connections an ordinary role may open (max_connections without the "
          "reserved ones) that anybody has, poolwatch included.", (USED, "{{instance}} {{server}}"), "percentunit",
          ["DatabaseConnectionsHigh", "DatabaseConnectionsExhausted"], width=16, height=9, max=1),
    firing("Database.*|Connections.*|Cache.*|Checksum.*|Deadlocks|Idle.*|Long.*|Lock.*|Prepared.*|Replica.*|Server.*|Setting.*|"
           "Statement.*|Subscription.*|Temporary.*|Two.*|Wal.*|Transaction.*|Multixact.*|Sequence.*|Dead.*|Checkpoints.*"
           "|Index.*|Table.*"),
    lines("Sessions refused", "How many watchers have no session, or saw the server give nobody a new one, by the reason. Those that say that the "
          "server answers (too_many_connections_*, authentication and the like) are not a server that is down.",
          (or_none("sum by (reason) (pg_session_failure{@server}) > 0", "reason"), "{{reason}}"), "short",
          ["DatabaseRefusesSessions", "PoolwatchDeniedAccess"], width=24, height=6, stack=True, decimals=0),
    lines("Sessions by state", "What the sessions do. Idle in transaction holds locks and helps nobody.",
          ("sum by (state) (pg_stat_activity_count{@database}) > 0", "{{state}}"), "short", stack=True, decimals=0,
          colors={"active": "green", "idle": "blue", "idle in transaction": "orange", "idle in transaction (aborted)": "red"}),
    lines("Sessions by application", "Who holds the connections, by application_name.",
          ('topk($top, sum by (application_name) (pg_stat_activity_count{@database, application_name!=""}))',
           "{{application_name}}"), "short", stack=True, decimals=0),
    lines("Wait events of active sessions", "Active sessions by wait event; nothing means that they do not wait.",
          (or_none('''label_replace(sum by (wait_event_type, wait_event) (pg_stat_activity_count{@database, state="active"} > 0),
                      "wait_event", "nothing", "wait_event_type", "")''', "wait_event", "no session is active"),
           "{{wait_event_type}} {{wait_event}}"), "short", stack=True, decimals=0),
]

BLOCKING = [
    lines("Idle in transaction", "The oldest transaction of each database that is open and does nothing: a session not closed.",
          (longest('state=~"idle in transaction.*"'), "{{datname}}"), "s", ["IdleInTransaction"]),
    lines("Waiting for a lock", "The age of the oldest transaction that waits for a lock.",
          ('''max by (datname) (pg_stat_activity_max_tx_duration{@database, wait_event_type="Lock"})
              or max by (datname) (0 * pg_stat_database_numbackends{@database})''', "{{datname}}"), "s", ["LockWait"]),
    lines("Longest transaction", "The age of the oldest transaction at work, dumps and index builds left out.",
          (longest('state="active", backend_type=~"client backend|", application_name!~"(pg_dump|pg_restore|poolwatch).*"'),
           "{{datname}}"), "s", ["LongTransaction"]),
    lines("Sessions that wait for a lock", "How many sessions of each database wait, directly or behind others that wait.",
          ("max by (datname) (pg_lock_waits_blocked_sessions{@database})", "{{datname}}"), "short", decimals=0),
    table("Sessions that hold others up", "The sessions at the root of each queue, which wait for nobody, and how many sessions wait for them "
          "now. An idle one has left a transaction open. The runbook of LockWait shows how to find its pid.",
          or_none("max by (application_name, usename, client_addr, state, datname) (pg_lock_root_blocker_blocked_sessions{@database})",
                  "application_name", "✓ nobody"),
          "short", {"application_name": "application", "usename": "user", "client_addr": "address", "state": "state", "datname": "database"},
          value="sessions held up", width=8),
    lines("Transaction that holds others up", "The age of the oldest transaction at the root of a queue: how long the lock may have "
          "been held.",
          (or_none("max by (application_name, usename, state) (pg_lock_root_blocker_transaction_seconds{@database})",
                   "application_name", "nobody"), "{{application_name}} {{usename}} {{state}}"), "s"),
    lines("Locks held", "Locks by mode.", ("sum by (mode) (pg_locks_count{@database}) > 0", "{{mode}}"), "short", width=12, decimals=0),
    lines("Deadlocks in 15 minutes", "Deadlocks the server broke.",
          ("increase(pg_stat_database_deadlocks{@database}[15m])", "{{datname}}"), "short", ["Deadlocks"], width=12),
]

BUSY = [
    lines("CPU", "The share of the server's cores which PostgreSQL uses.", (CPU, "{{instance}} {{server}}"), "percentunit",
          ["DatabaseCpuAboveScale", "DatabaseCpuHigh"]),
    lines("Transactions", "Transactions a second. SQLAlchemy ends every read-only session with a rollback.",
          [(rate("xact_commit"), "{{datname}} commit"), (rate("xact_rollback"), "{{datname}} rollback")], "ops"),
    lines("Rows", "Rows a second: read by scans, fetched by an index, inserted, updated and deleted.",
          [(rate(f"tup_{what}", "instance"), what) for what in ("returned", "fetched", "inserted", "updated", "deleted")], "ops"),
    lines("Blocks found in the cache", "The share of blocks found in shared buffers. A quiet server may read low without harm.",
          (f"{HIT} / ({HIT} + {READ})", "{{datname}}"), "percentunit", ["CacheHitRatioLow"], max=1),
    lines("Blocks read", "Blocks a second read from disk or the system's cache.", (rate("blks_read"), "{{datname}}"), "ops"),
    lines("Temporary files", "Bytes a second written to sort and join what does not fit in work_mem.",
          (rate("temp_bytes"), "{{datname}}"), "Bps"),
]

WRITING = [
    lines("Checkpoints in an hour", "Checkpoints in the hour before: on time, and forced because WAL filled up.",
          [("increase(pg_stat_checkpointer_num_timed_total{@server}[1h]) "
            "or increase(pg_stat_bgwriter_checkpoints_timed_total{@server}[1h])", "{{instance}} on time"),
           ("increase(pg_stat_checkpointer_num_requested_total{@server}[1h]) "
            "or increase(pg_stat_bgwriter_checkpoints_req_total{@server}[1h])", "{{instance}} forced")], "short", decimals=0),
    lines("WAL on disk", "The size of pg_wal. It grows when a slot or the archiver falls behind.",
          ("pg_wal_size_bytes{@server}", "{{instance}} {{server}}"), "bytes"),
    lines("WAL archived", "Segments a second archived, and failures.",
          [("rate(pg_stat_archiver_archived_count{@server}[$__rate_interval])", "{{instance}} archived"),
           ("rate(pg_stat_archiver_failed_count{@server}[$__rate_interval])", "{{instance}} failed")], "ops"),
]

VACUUM = [
    lines("Dead rows", "The share of dead rows in the worst tables of some size.",
          ('''topk($top, pg_stat_user_tables_n_dead_tup{@database}
              / (pg_stat_user_tables_n_live_tup{@database} + pg_stat_user_tables_n_dead_tup{@database} > 10000))''',
           "{{datname}}.{{relname}}"), "percentunit", ["DeadTuplesHigh"], max=1),
    lines("Transaction ids used", "The share of the two thousand million transaction ids that are in use. Vacuum gives them back.",
          ("pg_database_wraparound_age_datfrozenxid_seconds{@database} / 2 ^ 31", "{{datname}}"), "percentunit",
          ["TransactionIdsHalfUsed", "TransactionIdsRunningOut"], max=1),
    lines("Rows read without an index", "Rows a second read by sequential scans, in the tables where it is most. "
          "poolwatch indexes says which index is missing.",
          (busiest("rate(pg_stat_user_tables_seq_tup_read{@database}[$__rate_interval])", "instance, server, datname, schemaname, relname"),
           "{{datname}}.{{relname}}"), "ops"),
]

SPACE = [
    lines("Databases", "The size of each database.", ("pg_database_size_bytes{@database}", "{{datname}}"), "decbytes"),
    table("Largest tables", "Tables with their indexes.",
          '''topk($top, sum by (datname, schemaname, relname) (
               pg_stat_user_tables_table_size_bytes{@database} + pg_stat_user_tables_index_size_bytes{@database}))''',
          "decbytes", {"relname": "table", "schemaname": "schema", "datname": "database"}, value="size"),
    lines("Replicas and slots", "Bytes of WAL which each replica and slot has still to read.",
          (or_none("pg_stat_replication_pg_wal_lsn_diff{@server} or pg_replication_slots_pg_wal_lsn_diff{@server}", "application_name"),
           "{{application_name}} {{client_addr}} {{slot_name}}"), "bytes"),
    lines("Replication lag", "How far this server is behind its primary; 0 on a primary.",
          ("pg_replication_lag_seconds{@server}", "{{instance}} {{server}}"), "s", ["ReplicationLag"], width=24, height=6),
]

DASHBOARD = dashboard(
    "poolwatch-database", "poolwatch / Database", "Does the server behind the pools keep up?",
    [
        ("Is the server in trouble now?", NOW),
        ("Can it take more connections?", CONNECTIONS),
        ("Is somebody blocking somebody?", BLOCKING),
        ("Is it busy?", BUSY),
        ("Does it keep up with writing?", WRITING),
        ("Does vacuum keep up, do the indexes serve?", VACUUM),
        ("How large is it, and are the replicas there?", SPACE),
    ],
)
