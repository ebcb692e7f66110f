"""Transactions: deadlocks, timeouts, long ones, locks."""

from .case import alert, case, firing, longest_transaction, no_alert, silent

CASES = [
    alert("Deadlocks", "warning", "datid=16384, datname=redditbot", {
        "pg_stat_database_deadlocks{datid=16384, datname=redditbot}": "0x9 1+1x19 20x17",
    }, pending="14m", over="32m", fires={
        "15m": "Database redditbot at app1:8001 broke 6 deadlocks in the last 15 minutes.",
        "31m": "Database redditbot at app1:8001 broke 13 deadlocks in the last 15 minutes.",
    }),

    alert("StatementTimeouts", "warning", "datname=redditbot, reason=statement_timeout", {
        "db_statement_cancellations_total{datname=redditbot, reason=statement_timeout}": "0x9 3+3x19 60x20",
    }, pending="17m", over="32m", fires={
        "18m 31m": "In database redditbot at app1:8001 2.7 statements a minute are ended by statement_timeout, according to the server's log.",
    }),

    alert("IdleInTransaction", "warning", "application_name=reddit-bot, client_addr=10.0.0.7, datname=redditbot, usename=bot", {
        "pg_client_longest_idle_seconds{datname=redditbot, client_addr=10.0.0.7, application_name=reddit-bot, usename=bot, state=idle in transaction}":
            "0x9 30+60x11 0x9",
        "pg_client_longest_idle_seconds{datname=redditbot, client_addr=10.0.0.7, application_name=reddit-bot, usename=bot, state=idle}": "9000x40",
    }, pending="15m", over="24m", fires={
        "16m": "A session of user bot (reddit-bot) from 10.0.0.7 in database redditbot at app1:8001 has been idle for 6m 30s inside a transaction.",
        "23m": "A session of user bot (reddit-bot) from 10.0.0.7 in database redditbot at app1:8001 has been idle for 11m 30s inside a transaction.",
    }),

    case("IdleInTransaction without the collector client_sessions",
         longest_transaction("0x9 30+60x11 0x9", state="idle in transaction"),
         silent("IdleInTransaction", "15m 24m"),
         firing("IdleInTransaction", "warning", "application_name=reddit-bot, datname=redditbot, usename=bot", "16m",
                "A session of user bot (reddit-bot) in database redditbot at app1:8001 is idle in a transaction that has been open for 6m 30s.")),

    case("A session that works in a long transaction is not idle in it", {
        "pg_client_sessions{datname=redditbot, client_addr=10.0.0.7, application_name=reddit-bot, usename=bot, state=idle in transaction}": "1x40",
        "pg_client_longest_idle_seconds{datname=redditbot, client_addr=10.0.0.7, application_name=reddit-bot, usename=bot, state=idle in transaction}": "2x40",
        **longest_transaction("0+60x40", state="idle in transaction"),
    }, silent("IdleInTransaction", "20m 30m")),

    alert("LongTransaction", "warning", "application_name=reddit-bot, datname=redditbot, usename=bot",
          longest_transaction("0x9 30+60x20 0x9"),
          pending="25m", over="33m", fires={
        "26m": "A transaction of user bot (reddit-bot) in database redditbot at app1:8001 has been running for 16m 30s.",
        "32m": "A transaction of user bot (reddit-bot) in database redditbot at app1:8001 has been running for 20m 30s.",
    }),

    alert("LockWait", "warning", "application_name=reddit-bot, datname=redditbot, usename=bot", {
        **longest_transaction("0x9 30+60x5 0x6", wait=("Lock", "transactionid")),
        "pg_lock_root_blocker_blocked_sessions{datname=redditbot, usename=reports, application_name=reporting, client_addr=10.0.0.9, "
        "state=idle in transaction}": "_x9 3x20",
        "pg_lock_root_blocker_transaction_seconds{datname=redditbot, usename=reports, application_name=reporting, client_addr=10.0.0.9, "
        "state=idle in transaction}": "_x9 60+60x20",
        "pg_lock_root_blocker_blocked_sessions{datname=redditbot, usename=bot, application_name=cron, client_addr=local, state=active}": "1x40",
        "pg_lock_root_blocker_blocked_sessions{datname=other, usename=bot, application_name=cron, client_addr=local, state=active}": "9x40",
        "pg_lock_root_blocker_blocked_sessions{datname=other, usename=other, application_name=other, client_addr=other, state=other}": "99x40",
    }, pending="11m", over="18m", fires={
        "12m": "A transaction of user bot (reddit-bot) in database redditbot at app1:8001, open for 2m 30s, waits for a lock that a session of user reports "
               "(reporting) from 10.0.0.9 holds (idle in transaction, its transaction open for 4m 0s).",
        "17m": "A transaction of user bot (reddit-bot) in database redditbot at app1:8001, open for 5m 30s, waits for a lock that a session of user reports "
               "(reporting) from 10.0.0.9 holds (idle in transaction, its transaction open for 7m 0s).",
    }),

    case("LockWait without the collector lock_waits", longest_transaction("0x9 30+60x5 0x6", wait=("Lock", "transactionid")),
         firing("LockWait", "warning", "application_name=reddit-bot, datname=redditbot, usename=bot", "12m",
                "A transaction of user bot (reddit-bot) in database redditbot at app1:8001, open for 2m 30s, waits for a lock.")),

    case("LockWait behind a prepared transaction of one of several servers", {
        "pg_stat_activity_max_tx_duration{server=a, datname=shop, state=active, usename=bot, application_name=, backend_type=client backend, "
        "wait_event_type=Lock, wait_event=tuple}": "600x20",
        "pg_lock_root_blocker_blocked_sessions{server=a, datname=shop, usename=, application_name=, client_addr=, state=prepared transaction}": "2x20",
        "pg_lock_root_blocker_blocked_sessions{server=b, datname=shop, usename=bot, application_name=x, client_addr=local, state=active}": "8x20",
    }, firing("LockWait", "warning", "server=a, datname=shop, usename=bot", "12m",
              "A transaction of user bot in database shop on server a at app1:8001, open for 10m 0s, waits for a lock that a prepared transaction has.")),

    alert("LocksNearLimit", "warning", "", {
        "pg_locks_count{datname=redditbot, mode=accesssharelock}": "100x9 6000x14 100x20",
        "pg_settings_max_locks_per_transaction": "64x60",
        "pg_settings_max_connections": "100x60",
        "pg_settings_max_prepared_transactions": "0x60",
    }, pending="11m", over="27m", fires={
        "12m 26m": "PostgreSQL at app1:8001 holds 93.75% of the locks that it has room for.",
    }),

    alert("PreparedTransactionOld", "warning", "datname=redditbot", {
        "pg_prepared_transactions_oldest_seconds{datname=redditbot}": "0x9 600+60x24 0x20",
    }, pending="20m", over="37m", fires={
        "21m": "A transaction prepared in database redditbot at app1:8001 has been neither committed nor rolled back for 21m 0s.",
        "36m": "A transaction prepared in database redditbot at app1:8001 has been neither committed nor rolled back for 34m 0s.",
    }),

    case("dumps, replication and autovacuum may take their time", {
        "up": "1x60",
        **longest_transaction("0+60x60", user="backup", application="pg_dump"),
        **longest_transaction("0+60x60", user="owner", application="poolwatch indexes"),
        **longest_transaction("0+60x60", user="", application="", backend="autovacuum worker"),
        **longest_transaction("0+60x60", user="replicator", application="standby", backend="walsender"),
    }, no_alert("1h")),
]
