"""Sessions: who is connected, what do they wait for, and who holds whom up?"""

from .expression import RATE, busiest, largest, or_none
from .frame import dashboard
from .panel import firing, lines, stat, table

WAITED = f"sum by (wait_event_type, wait_event) (rate(pg_wait_sampled_seconds_total{{@server}}{RATE}))"
COUNT = "pg_stat_activity_count{@database}"


def sessions(by, more=""):
    return f"sum by ({by}) (pg_stat_activity_count{{@database{more}}})"


BY_APPLICATION = largest(sessions("application_name", ', application_name!=""'), "application_name") + " > 0"
BY_ROLE = largest(sessions("usename", ', usename!=""'), "usename") + " > 0"


CLIENT = "client_addr, application_name, usename, state"


def of_client(how, name, client=CLIENT):
    return f"{how} by ({client}) (pg_client_{name}{{@database}})"


def ended(name):
    return f"60 * sum by (datname) (rate(pg_stat_database_sessions_{name}_total{{@database}}{RATE}))"


NOW = [
    stat("Sessions", "Sessions of clients, poolwatch's included.", "sum(pg_connections_used{@server})", "short", decimals=0),
    stat("At work", "Sessions that run a statement.", 'sum(pg_stat_activity_count{@database, state="active"}) or vector(0)', "short", decimals=0),
    stat("Blocked", "Sessions that wait for a lock.", "sum(pg_lock_waits_blocked_sessions{@database})", "short", decimals=0),
    stat("Longest wait for a lock", "The longest wait for a lock now.", "max(pg_lock_waits_longest_seconds{@database})", "s"),
    stat("Oldest transaction", "The oldest transaction that a client has open.", "max(pg_long_running_transactions_oldest_timestamp_seconds{@server})", "s"),
    stat("Prepared transactions", "Transactions prepared and neither committed nor rolled back: they hold their locks through a restart.",
         "sum(pg_prepared_transactions_count{@database})", "short", decimals=0),
]

CONNECTED = [
    table("Whose sessions are those?", "Sessions now by where they come from (local is a Unix socket), with the oldest session, the longest time "
          "for which one has been idle, and the oldest transaction of each.",
          f"topk($top, {of_client('sum', 'sessions')})", "short",
          {"client_addr": "address", "application_name": "application", "usename": "role", "state": "state"}, width=24, value="sessions",
          figures={words: (f"{of_client('max', name)} and on ({CLIENT}) topk($top, {of_client('sum', 'sessions')})", "s")
                   for words, name in (("oldest", "oldest_seconds"), ("idle for", "longest_idle_seconds"), ("in a transaction for", "longest_transaction_seconds"))}),
    lines("By owner", "Sessions that a living worker holds, orphans that a worker held and none holds any more, and those that no worker reports.",
          ("sum by (owner) (pg_sessions_by_owner{@server})", "{{owner}}"), "short", width=6, stack=True, decimals=0),
    lines("Sessions whose worker is gone", "Orphans by application and address.",
          (or_none('max by (application_name, client_addr) (pg_sessions_by_owner{@server, owner="orphan"})', "application_name", "none"),
           "{{application_name}} {{client_addr}}"), "short", ["SessionsOrphaned"], width=6, decimals=0),
    table("Orphans: whose worker is gone", "Sessions that a worker held and none holds any more. The advice orphaned_sessions lists them, and has the query that ends those of which that is certain.",
          or_none('topk($top, sum by (application_name, client_addr) (pg_sessions_by_owner{@server, owner="orphan"}) > 0)', "application_name", "✓ none"),
          "short", {"application_name": "application", "client_addr": "address"}, value="sessions", width=6),
    lines("By address", "Sessions by the address of the client; local is a Unix socket.",
          (largest(of_client("sum", "sessions", "client_addr"), "client_addr"), "{{client_addr}}"), "short", width=6, stack=True, decimals=0),
    lines("By application", "Sessions by application_name.", (BY_APPLICATION, "{{application_name}}"), "short", stack=True, decimals=0),
    lines("By role", "Sessions by role.", (BY_ROLE, "{{usename}}"), "short", stack=True, decimals=0),
    lines("By database", "Sessions of each database.", ("sum by (datname) (pg_stat_database_numbackends{@database})", "{{datname}}"), "short", stack=True, decimals=0),
    lines("Connections of the server", "Connections of clients, the most that an ordinary role can have, and what is kept for others.",
          [("pg_connections_used{@server}", "{{instance}} {{server}} used"), ("pg_connections_usable{@server}", "{{instance}} {{server}} limit"),
           ("pg_connections_superuser_reserved{@server} + pg_connections_reserved{@server}", "{{instance}} {{server}} reserved"),
           ("pg_connections_own{@server}", "{{instance}} {{server}} poolwatch")], "short", width=12, dashed="/ limit$/", decimals=0),
    lines("Limits of roles and databases", "The most connections a role or a database may have, where it has a limit.",
          [("pg_roles_connection_limit{@server} >= 0", "role {{rolname}}"), ("pg_database_connection_limit{@database} >= 0", "database {{datname}}")], "short", width=12, decimals=0),
    lines("Sessions begun", "Sessions a second: many say that connections are not kept.",
          (f"sum by (datname) (rate(pg_stat_database_sessions_total{{@database}}{RATE}))", "{{datname}}"), "ops"),
    lines("Sessions that ended badly", "Sessions a minute whose client was lost, that a fatal error ended, or an operator.",
          [(ended("abandoned"), "{{datname}} client lost"), (ended("fatal"), "{{datname}} fatal"), (ended("killed"), "{{datname}} killed")], "short"),
    lines("What sessions do with their time", "Sessions on average: at work, idle in a transaction, and open.",
          [(f"sum by (datname) (rate(pg_stat_database_{name}_time_seconds_total{{@database}}{RATE}))", f"{{{{datname}}}} {words}")
           for name, words in (("active", "at work"), ("idle_in_transaction", "idle in transaction"), ("session", "open"))], "short"),
    lines("Encrypted by", "Sessions of clients by the version of TLS; none are those without, a Unix socket among them.",
          ("sum by (version) (pg_stat_ssl_sessions{@server})", "{{version}}"), "short", height=6, stack=True, decimals=0),
    lines("Idle for", "How long idle sessions have been idle: the p95, by state, with the collector process_idle.",
          ("histogram_quantile(0.95, sum by (le, state) (pg_process_idle_seconds_bucket{@server}))", "{{state}} p95"), "s", width=16, height=6),
]

WAITS = [
    lines("Average of active sessions by wait", "How many sessions wait for what, or run (CPU), on average: the tallest is where the time goes.",
          (f"{busiest(WAITED, 'wait_event_type, wait_event')} > 0", "{{wait_event_type}} {{wait_event}}"), "short", width=24, height=9, stack=True),
    lines("By type of wait", "The same by type. Lock waits for others, LWLock inside the server, IO for the disk, Client for the application.",
          (f"sum by (wait_event_type) (rate(pg_wait_sampled_seconds_total{{@server}}{RATE})) > 0", "{{wait_event_type}}"), "short", width=12, stack=True),
    table("Where the time went", "Seconds that active sessions spent on each wait in the whole time shown.",
          "topk($top, sum by (wait_event_type, wait_event) (increase(pg_wait_sampled_seconds_total{@server}[$__range])) > 0)", "s",
          {"wait_event_type": "type", "wait_event": "event"}, width=12, value="time"),
]

BLOCKING = [
    table("Sessions at the root of a queue", "They wait for nobody, and others wait for them, directly or behind others. An idle one has left a transaction open.",
          or_none("topk($top, max by (application_name, usename, client_addr, state, datname) (pg_lock_root_blocker_blocked_sessions{@database} > 0))", "application_name", "✓ nobody"),
          "short", {"application_name": "application", "usename": "user", "client_addr": "address", "state": "state", "datname": "database"}, width=12, value="hold up"),
    table("Who held others up, in the time shown?", "The most sessions that each held up at once in the time shown.",
          or_none("topk($top, max by (application_name, usename, client_addr, state, datname) (max_over_time(pg_lock_root_blocker_blocked_sessions{@database}[$__range])) > 0)",
                  "application_name", "✓ nobody"),
          "short", {"application_name": "application", "usename": "user", "client_addr": "address", "state": "state", "datname": "database"}, width=12, value="held up"),
    lines("Sessions held up, by who holds them up", "The sessions behind each root of a queue.",
          (or_none("max by (application_name, state) (pg_lock_root_blocker_blocked_sessions{@database})", "application_name", "nobody"), "{{application_name}} {{state}}"), "short", decimals=0),
    lines("Age of the transaction at the root", "How long the lock may have been held.",
          (or_none("max by (application_name, state) (pg_lock_root_blocker_transaction_seconds{@database})", "application_name", "nobody"), "{{application_name}} {{state}}"), "s"),
    lines("Roots and their queues", "Sessions at the root of a queue, and all that wait.",
          [("sum by (datname) (pg_lock_waits_root_blockers{@database})", "{{datname}} roots"), ("sum by (datname) (pg_lock_waits_blocked_sessions{@database})", "{{datname}} waiting")],
          "short", decimals=0),
    lines("Locks waited for, by mode", "AccessExclusiveLock is of ALTER TABLE and the like, before which everybody queues.",
          ("sum by (mode) (pg_locks_waiting_count{@database}) > 0", "{{mode}}"), "short", decimals=0),
    lines("Locks held or waited for, by mode", "All locks.", ("sum by (mode) (pg_locks_count{@database}) > 0", "{{mode}}"), "short", decimals=0),
    lines("Longest wait now", "The longest wait for a lock, of each database.", ("max by (datname) (pg_lock_waits_longest_seconds{@database})", "{{datname}}"), "s"),
    lines("Waits for locks, by the log", "Waits a minute that took longer than deadlock_timeout, by what they were for.",
          ('60 * sum by (locktype) (rate(db_lock_waits_total{@database}[$__rate_interval])) > 0', "{{locktype}}"), "short"),
    lines("Time waited for locks, by the log", "How long sessions waited until they had the lock, of the waits longer than deadlock_timeout.",
          [("histogram_quantile(0.95, sum by (le, datname) (rate(db_lock_wait_duration_seconds_bucket{@database}[$__rate_interval])))", "{{datname}} p95"),
           ("histogram_quantile(0.5, sum by (le, datname) (rate(db_lock_wait_duration_seconds_bucket{@database}[$__rate_interval])))", "{{datname}} p50")], "s"),
    lines("Time waited for locks, by the server", "Seconds a second that sessions waited, of the waits longer than deadlock_timeout.",
          (f"sum by (locktype) (rate(pg_stat_lock_wait_seconds_total{{@server}}{RATE})) > 0", "{{locktype}}"), "s"),
    lines("Waits for locks, by the server", "Waits a minute, and locks that did not fit among those a session keeps to itself.",
          [(f"60 * sum by (locktype) (rate(pg_stat_lock_waits_total{{@server}}{RATE})) > 0", "{{locktype}} waits"),
           (f"60 * sum(rate(pg_stat_lock_fastpath_exceeded_total{{@server}}{RATE}))", "beyond the fast path")], "short"),
    lines("Deadlocks", "Deadlocks a minute that the server broke.", (f"60 * sum by (datname) (rate(pg_stat_database_deadlocks{{@database}}{RATE}))", "{{datname}}"), "short"),
    firing("Sessions.*|Lock.*|Idle.*|Long.*|Deadlocks|Prepared.*|Connections.*|DatabaseConnections.*", height=8),
]

TRANSACTIONS = [
    lines("Transactions open", "Transactions that clients have open.", ("pg_long_running_transactions{@server}", "{{instance}} {{server}}"), "short", decimals=0),
    lines("Oldest transaction open", "The age of the oldest.", ("pg_long_running_transactions_oldest_timestamp_seconds{@server}", "{{instance}} {{server}}"), "s"),
    lines("Oldest by application and state", "The oldest open transaction of each.",
          (largest("max by (application_name, state) (pg_stat_activity_max_tx_duration{@database})", "application_name, state"), "{{application_name}} {{state}}"), "s"),
    lines("Prepared transactions", "Transactions prepared and not ended.", ("pg_prepared_transactions_count{@database}", "{{datname}}"), "short", decimals=0),
    lines("Oldest prepared transaction", "The age of the oldest: one that nobody ends stops vacuum.", ("pg_prepared_transactions_oldest_seconds{@database}", "{{datname}}"), "s",
          ["PreparedTransactionOld"]),
    lines("Rollbacks", "The share of transactions that were rolled back. SQLAlchemy ends every read-only session so.",
          (f"sum by (datname) (rate(pg_stat_database_xact_rollback{{@database}}{RATE})) / (sum by (datname) (rate(pg_stat_database_xact_rollback{{@database}}{RATE})) "
           f"+ sum by (datname) (rate(pg_stat_database_xact_commit{{@database}}{RATE})) > 0)", "{{datname}}"), "percentunit", max=1),
    lines("Parallel workers", "Parallel workers a second that queries planned for, and those that were to be had.",
          [(f"sum by (datname) (rate(pg_stat_database_parallel_workers_to_launch_total{{@database}}{RATE}))", "{{datname}} planned"),
           (f"sum by (datname) (rate(pg_stat_database_parallel_workers_launched_total{{@database}}{RATE}))", "{{datname}} launched")], "ops", width=12),
    lines("Queries cancelled on standbys", "Queries a minute that replay cancelled.", (f"60 * sum by (datname) (rate(pg_stat_database_conflicts{{@database}}{RATE}))", "{{datname}}"), "short", width=12),
]

DASHBOARD = dashboard(
    "poolwatch-sessions", "poolwatch / Sessions and locks", "Who is connected, what do they wait for, and who holds whom up?",
    [
        ("Does anybody wait now?", NOW),
        ("Who holds whom up?", BLOCKING),
        ("What do the sessions wait for?", WAITS),
        ("Who is connected?", CONNECTED),
        ("Which transactions are open?", TRANSACTIONS),
    ],
)
