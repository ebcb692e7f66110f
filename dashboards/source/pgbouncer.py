"""PgBouncer: do clients wait, and which limit makes them?"""

from .frame import dashboard
from .panel import firing, lines, stat, table

POOL = "{{database}} {{user}}"


def total(name, by="database"):
    """How fast a total of SHOW STATS_TOTALS grows."""
    return f"sum by ({by}) (rate(pgbouncer_stats_totals_{name}_total{{@pgbouncer}}[$__rate_interval]))"


def pools(name, by="database, user"):
    return f"sum by ({by}) (pgbouncer_pools_{name}{{@pgbouncer}})"


def mean(seconds, count):
    return f"{total(seconds)} / ({total(count)} > 0)"


CLIENTS = "pgbouncer_used_clients{@pgbouncer} / pgbouncer_config_max_client_connections{@pgbouncer}"
NOW = [
    stat("PgBouncer", "Whether its admin console can be read.", "min(pgbouncer_up{@pgbouncer})", "short", words={0: (2, "down"), 1: (0, "up")}),
    stat("Clients waiting", "Clients that wait for a connection to the server.", "sum(pgbouncer_pools_client_waiting_connections{@pgbouncer})",
         "short", decimals=0),
    stat("Longest wait", "How long the first of the waiting clients has waited.", "max(pgbouncer_pools_client_maxwait_seconds{@pgbouncer})", "s",
         ["PgbouncerClientsWaitLong"]),
    stat("Clients of the limit", "Clients there are, of max_client_conn.", f"max({CLIENTS})", "percentunit",
         ["PgbouncerClientsNearLimit", "PgbouncerClientsFull"], decimals=0, min=0, max=1),
    stat("Paused", "Whether PAUSE holds all clients, or those of a database.",
         "max(pgbouncer_paused{@pgbouncer}) or max(pgbouncer_databases_paused{@pgbouncer})", "short", words={0: (0, "no"), 1: (1, "paused")}),
    stat("Processor", "PgBouncer uses one core at most.", "max(rate(pgbouncer_process_cpu_seconds_total{@pgbouncer}[$__rate_interval]))", "percentunit",
         decimals=0, min=0, noValue="set pid_file"),
]

WAITS = [
    lines("Clients waiting, of each pool", "Clients that wait for a connection to the server: all of the pool's are taken.",
          (pools("client_waiting_connections"), POOL), "short", width=12, decimals=0),
    lines("Longest wait of each pool", "How long the first of the waiting clients has waited. The dashed line is query_wait_timeout.",
          [("max by (database, user) (pgbouncer_pools_client_maxwait_seconds{@pgbouncer})", POOL)], "s",
          ["PgbouncerClientsWaitLong"], width=12),
    lines("Wait of a client on average", "The time a client waits for a connection to the server, each time it is given one.",
          (f"{total('client_wait_seconds')} / ({total('server_assignments')} > 0)", "{{database}}"), "s"),
    lines("Waiting clients on average", "Seconds a second that clients wait: how many wait at any moment.", (total("client_wait_seconds"), "{{database}}"), "s"),
    firing("Pgbouncer.*|Pool.*", height=8),
]

LIMITS = [
    lines("Servers of each pool", "Connections to the server, taken or free, of what the pool may have (pool_size).",
          [(f"{pools('server_active_connections')} + {pools('server_idle_connections')} + {pools('server_used_connections')}", POOL),
           ("max by (name) (pgbouncer_databases_pool_size{@pgbouncer})", "{{name}} pool_size"),
           ("max by (name) (pgbouncer_databases_reserve_pool{@pgbouncer})", "{{name}} reserve")],
          "short", width=12, dashed="/ (pool_size|reserve)$/", decimals=0),
    lines("Servers of each database", "Connections to the server of all pools of a database, and the most they may be (max_db_connections).",
          [("max by (name) (pgbouncer_databases_current_connections{@pgbouncer})", "{{name}}"),
           ("max by (name) (pgbouncer_databases_max_connections{@pgbouncer}) > 0", "{{name}} limit")], "short", width=12, dashed="/ limit$/", decimals=0),
    lines("Clients", "Client slots in use, and the most there may be (max_client_conn).",
          [("sum by (instance) (pgbouncer_used_clients{@pgbouncer})", "{{instance}} clients"),
           ("max by (instance) (pgbouncer_config_max_client_connections{@pgbouncer})", "{{instance}} limit")], "short", dashed="/ limit$/", decimals=0),
    lines("Clients of each database", "Clients of each database, and the most it may have.",
          [("max by (name) (pgbouncer_databases_current_client_connections{@pgbouncer})", "{{name}}"),
           ("max by (name) (pgbouncer_databases_max_client_connections{@pgbouncer}) > 0", "{{name}} limit")], "short", dashed="/ limit$/", decimals=0),
    lines("Clients and servers of each user", "What each user has, and the most it may have.",
          [("max by (user) (pgbouncer_users_current_client_connections{@pgbouncer})", "{{user}} clients"),
           ("max by (user) (pgbouncer_users_current_connections{@pgbouncer})", "{{user}} servers"),
           ("max by (user) (pgbouncer_users_max_client_connections{@pgbouncer}) > 0", "{{user}} clients limit"),
           ("max by (user) (pgbouncer_users_max_connections{@pgbouncer}) > 0", "{{user}} servers limit")], "short", dashed="/ limit$/", decimals=0),
]

CONNECTIONS = [
    lines("Clients by state", "Clients by what they do.",
          [(f"sum(pgbouncer_pools_client_{state}_connections{{@pgbouncer}})", state.replace("_", " "))
           for state in ("active", "waiting", "active_cancel", "waiting_cancel")]
          + [("sum(pgbouncer_login_clients{@pgbouncer})", "logging in")], "short", stack=True, decimals=0,
          colors={"active": "green", "waiting": "orange", "logging in": "blue"}),
    lines("Servers by state", "Connections to the server by what they do. Many idle ones say that the pool is larger than it need be.",
          [(f"sum(pgbouncer_pools_server_{state}_connections{{@pgbouncer}})", state.replace("_", " "))
           for state in ("active", "idle", "used", "testing", "login", "active_cancel", "being_canceled")], "short", stack=True, decimals=0,
          colors={"active": "green", "idle": "blue", "used": "purple", "login": "yellow"}),
    lines("Clients by application", "Who is behind PgBouncer, by application_name.",
          ("topk($top, sum by (application_name) (pgbouncer_client_connections{@pgbouncer}))", "{{application_name}}"), "short", stack=True, decimals=0),
]

WORK = [
    lines("Transactions", "Transactions a second.", (total("sql_transactions_pooled"), "{{database}}"), "ops"),
    lines("Statements", "Statements a second.", (total("queries_pooled"), "{{database}}"), "ops"),
    lines("Times a client was given a server", "Assignments a second. In session mode one for each session, in transaction mode for each transaction.",
          (total("server_assignments"), "{{database}}"), "ops"),
    lines("Time of a transaction on average", "The mean time that a transaction keeps a server, idle in between included.",
          (mean("server_in_transaction_seconds", "sql_transactions_pooled"), "{{database}}"), "s"),
    lines("Time of a statement on average", "The mean time that a server needs for a statement.",
          (mean("queries_duration_seconds", "queries_pooled"), "{{database}}"), "s"),
    lines("Traffic", "Bytes a second from clients and to them.",
          [(total("received_bytes", "instance"), "from clients"), (total("sent_bytes", "instance"), "to clients")], "Bps"),
    lines("Prepared statements", "Prepared a second by clients, on servers, and bound. Many more on servers than by clients are prepared anew on each.",
          [(total("client_parses", "instance"), "by clients"), (total("server_parses", "instance"), "on servers"), (total("binds", "instance"), "bound")], "ops"),
    lines("Logins", "Clients that log in, a second: each is a connection that somebody did not keep.", (total("client_logins"), "{{database}}"), "ops"),
    lines("Processor and memory", "The share of one core, of which PgBouncer uses one at most; with pools.NAME.pgbouncer.pid_file.",
          ("rate(pgbouncer_process_cpu_seconds_total{@pgbouncer}[$__rate_interval])", "{{instance}} {{pgbouncer}}"), "percentunit"),
]

SETTINGS = [
    table("Databases", "What each is set to.", "max by (name, host, port, database, force_user, pool_mode) (pgbouncer_databases_pool_size{@pgbouncer})", "short",
          {"name": "name", "host": "host", "port": "port", "database": "database", "force_user": "user", "pool_mode": "mode"}, width=16, value="pool size"),
    table("Versions", "Which version runs where.", "max by (instance, pgbouncer, version) (pgbouncer_version_info{@pgbouncer})", "short",
          {"instance": "instance", "pgbouncer": "PgBouncer", "version": "version"}),
    lines("Objects", "Databases, users, pools and peers that PgBouncer has.",
          [(f"sum(pgbouncer_{name}{{@pgbouncer}})", name) for name in ("databases", "users", "pools", "peers")], "short", decimals=0),
    lines("Free slots", "Slots of clients and of servers that are allocated and free.",
          [("sum(pgbouncer_free_clients{@pgbouncer})", "clients"), ("sum(pgbouncer_free_servers{@pgbouncer})", "servers"),
           ("sum(pgbouncer_used_servers{@pgbouncer})", "servers in use")], "short", decimals=0),
    lines("Names", "Host names and zones remembered, and queries of them under way.",
          [("sum(pgbouncer_cached_dns_names{@pgbouncer})", "names"), ("sum(pgbouncer_cached_dns_zones{@pgbouncer})", "zones"),
           ("sum(pgbouncer_in_flight_dns_queries{@pgbouncer})", "queries")], "short", decimals=0),
    lines("Memory", "Resident memory of PgBouncer.", ("pgbouncer_process_resident_memory_bytes{@pgbouncer}", "{{instance}} {{pgbouncer}}"), "bytes"),
    lines("Open files", "Open file descriptors, and how many there may be.",
          [("pgbouncer_process_open_fds{@pgbouncer}", "{{instance}} {{pgbouncer}}"), ("pgbouncer_process_max_fds{@pgbouncer}", "{{instance}} {{pgbouncer}} limit")],
          "short", dashed="/ limit$/", decimals=0),
    lines("Timeouts and limits", "query_wait_timeout in seconds, max_user_connections, and databases that are disabled.",
          [("max(pgbouncer_config_query_wait_timeout_seconds{@pgbouncer})", "query_wait_timeout"),
           ("max(pgbouncer_config_max_user_connections{@pgbouncer})", "max_user_connections"),
           ("sum(pgbouncer_databases_disabled{@pgbouncer})", "databases disabled")], "short", decimals=0),
]

DASHBOARD = dashboard(
    "poolwatch-pgbouncer", "poolwatch / PgBouncer", "Do clients of PgBouncer wait, and which limit makes them?",
    [
        ("Does it answer, and does anybody wait?", NOW),
        ("Who waits, and how long?", WAITS),
        ("Which limit is reached?", LIMITS),
        ("What do its connections do?", CONNECTIONS),
        ("How much work is it, and how long does it take?", WORK),
    ],
    collapsed=[("How is it set?", SETTINGS)],
)
