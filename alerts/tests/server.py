"""The server: reachable, restarted, out of connections, short of CPU."""

from .case import alert, case, fires_once, firing, no_alert, silent

CASES = [
    alert("DatabaseDown", "critical", "", {
        "pg_up": "1x9 0x4 1x5",
    }, pending="10m", over="16m", fires={
        "11m 15m": "poolwatch at app1:8001 cannot reach PostgreSQL.",
    }),

    alert("DatabaseRefusesSessions", "critical", "reason=too_many_connections_server", {
        "pg_up": "1x9 0x4 1x5",
        "pg_session_failure{reason=too_many_connections_server}": "0x9 1x4 0x5",
        "pg_session_failure{reason=no_answer}": "0x20",
    }, pending="10m", over="16m", fires={
        "11m 15m": "PostgreSQL refuses new sessions, as poolwatch at app1:8001 sees it (too_many_connections_server).",
    }),

    alert("PoolwatchDeniedAccess", "warning", "reason=authentication", {
        "pg_up": "1x9 0x10 1x5",
        "pg_session_failure{reason=authentication}": "0x9 1x10 0x5",
        "pg_session_failure{reason=no_answer}": "0x30",
    }, pending="14m", over="22m", fires={
        "15m 20m": "PostgreSQL answers, and does not let poolwatch at app1:8001 in (authentication). Nothing is read of it.",
    }),

    case("a server that refuses sessions is not down, one of several that does not answer is", {
        "pg_up{server=full}": "0x20",
        "pg_session_failure{server=full, reason=too_many_connections_server}": "1x20",
        "pg_session_failure{server=full, reason=connection_refused}": "0x20",
        "pg_up{server=closed}": "0x20",
        "pg_session_failure{server=closed, reason=too_many_connections_role}": "1x20",
        "pg_up{server=gone}": "0x20",
        "pg_session_failure{server=gone, reason=too_many_connections_server}": "0x20",
        "pg_session_failure{server=gone, reason=connection_refused}": "1x20",
        "pg_up{server=well}": "1x20",
        "pg_session_failure{server=well, reason=connection_refused}": "0x20",
    },
        firing("DatabaseDown", "critical", "server=gone", "10m", "poolwatch at app1:8001 cannot reach PostgreSQL gone."),
        firing("DatabaseRefusesSessions", "critical", "server=full, reason=too_many_connections_server", "10m",
               "PostgreSQL full refuses new sessions, as poolwatch at app1:8001 sees it (too_many_connections_server)."),
        firing("PoolwatchDeniedAccess", "warning", "server=closed, reason=too_many_connections_role", "10m",
               "PostgreSQL closed answers, and does not let poolwatch at app1:8001 in (too_many_connections_role). Nothing is read of it."),
    ),

    case("a server that starts and breaks down again and again is down", {
        "pg_up": "0x80",
        "pg_session_failure{reason=starting_up}": " ".join(["1 1 0"] * 27),
        "pg_session_failure{reason=connection_refused}": " ".join(["0 0 1"] * 27),
    }, fires_once("DatabaseDown", "5m 10m"), interval="15s"),

    case("an only server that cannot be reached is down", {
        "pg_up": "0x20",
        "pg_session_failure{reason=no_answer}": "1x20",
        "pg_session_failure{reason=authentication}": "0x20",
    }, fires_once("DatabaseDown", "10m"), silent("DatabaseRefusesSessions", "10m"), silent("PoolwatchDeniedAccess", "10m")),

    alert("DatabaseRestarted", "info", "", {
        "pg_postmaster_start_time_seconds": "-86400x9 600x24",
    }, pending="10m", over="15m", fires={
        "11m": "PostgreSQL at app1:8001 started 1m 0s ago.",
        "14m": "PostgreSQL at app1:8001 started 4m 0s ago.",
    }),

    alert("SettingChanged", "info", "setting=work_mem_bytes", {
        "pg_settings_work_mem_bytes": "4194304x9 8388608x20",
        "pg_settings_max_connections": "100x60",
        "pg_settings_fsync": "1x60",
    }, pending="10m", over="14m", fires={
        "11m 13m": "Setting work_mem_bytes of PostgreSQL at app1:8001 was changed 1 times in the last 4 minutes.",
    }),

    alert("DatabaseConnectionsHigh", "warning", "", {
        "pg_connections_used": "77x9 80x14 70x15",
        "pg_connections_usable": "97x60",
    }, pending="19m", over="27m", fires={
        "20m 26m": "PostgreSQL at app1:8001 has 82.47% of its connections in use.",
    }),

    alert("DatabaseConnectionsExhausted", "critical", "", {
        "pg_connections_used": "90x9 95x9 70x15",
        "pg_connections_usable": "97x60",
    }, pending="11m", over="22m", fires={
        "12m 21m": "PostgreSQL at app1:8001 has 97.94% of its connections in use.",
    }),

    alert("ConnectionsRefused", "warning", "reason=too_many_connections", {
        "pg_connections_refused_total{reason=too_many_connections}": "0x9 2+2x14 30x20",
    }, pending="11m", over="26m", fires={
        "12m": "PostgreSQL at app1:8001 refused 6 connections in the last 5 minutes, according to its log (too_many_connections).",
        "25m": "PostgreSQL at app1:8001 refused 8 connections in the last 5 minutes, according to its log (too_many_connections).",
    }),

    alert("SessionsOrphaned", "warning", "application_name=shop, client_addr=10.0.0.7", {
        "pg_sessions_by_owner{owner=orphan, application_name=shop, client_addr=10.0.0.7}": "_x9 3x9 2x4 stale",
        "pg_sessions_by_owner{owner=worker, application_name=shop, client_addr=10.0.0.7}": "12x40",
        "pg_sessions_by_owner{owner=stranger, application_name=psql, client_addr=local}": "1x40",
    }, pending="13m", over="27m", fires={
        "14m": "The server has 3 sessions of application shop from 10.0.0.7 that no worker holds any more, as poolwatch at app1:8001 sees it.",
        "22m": "The server has 2 sessions of application shop from 10.0.0.7 that no worker holds any more, as poolwatch at app1:8001 sees it.",
    }),

    case("sessions of the workers that rollouts end, each of which is gone in minutes, are no orphans that stay", {
        "pg_sessions_by_owner{owner=orphan, application_name=shop, client_addr=local}": " ".join(["4x2 stale _"] * 12),
        "pg_sessions_by_owner{owner=worker, application_name=shop, client_addr=local}": " ".join(["12x2 8x1"] * 12),
        "pg_sessions_by_owner{owner=stranger, application_name=, client_addr=local}": "7x80",
    }, silent("SessionsOrphaned", "5m 10m 20m 40m 1h")),

    alert("DatabaseCpuAboveScale", "info", "", {
        "pg_server_cpu_seconds_total": "0+120x9 1260+180x74 14700+120x19",
        "pg_server_cpu_cores": "4x105",
    }, pending="1h10m", over="1h26m", fires={
        "1h11m 1h25m": "PostgreSQL at app1:8001 uses 75% of its cores.",
    }),

    alert("DatabaseCpuHigh", "warning", "", {
        "pg_server_cpu_seconds_total": "0+120x9 1290+210x24 6450+120x9",
        "pg_server_cpu_cores": "4x45",
    }, pending="25m", over="36m", fires={
        "26m 35m": "PostgreSQL at app1:8001 uses 87.5% of its cores.",
    }),

    alert("CheckpointsForced", "info", "", {
        "pg_stat_checkpointer_num_requested_total": "0x9 1+1x39 40x20",
        "pg_stat_checkpointer_num_timed_total": "0+0x80",
    }, pending="23m", over="52m", fires={
        "24m 51m": "Of the checkpoints of PostgreSQL at app1:8001 100% were forced in the last 20 minutes.",
    }),

    case("a server started for the first time was not restarted", {
        "up": "1x60",
        "pg_postmaster_start_time_seconds": "_x5 300x55",
    }, no_alert("10m 1h")),

    case("with several databases the alert says which", {
        "pg_up{server=primary}": "1x10",
        "pg_up{server=analytics}": "0x10",
    }, firing("DatabaseDown", "critical", "server=analytics", "5m", "poolwatch at app1:8001 cannot reach PostgreSQL analytics.")),

    case("before PostgreSQL 16 there is no reserved_connections, before 17 no checkpointer", {
        "db_pool_capacity{pool=web}": "30x180",
        "db_pool_info{pool=web, source=workers}": "1x180",
        "pg_settings_max_connections": "25x180",
        "pg_settings_superuser_reserved_connections": "3x180",
        "pg_stat_bgwriter_checkpoints_req_total": "0+0.5x180",
        "pg_stat_bgwriter_checkpoints_timed_total": "0+0.1x180",
    }, fires_once("PoolsExceedServer", "20m"), fires_once("CheckpointsForced", "3h")),
]
