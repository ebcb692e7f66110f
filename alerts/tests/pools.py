"""The application's connection pools."""

from .case import alert, case, fires_once, firing, no_alert, none_fires, shows, silent

CASES = [
    alert("PoolUtilizationWarning", "warning", "pool=web", {
        "db_pool_busiest_worker_utilization_ratio{pool=web}": "0.74x9 0.75x14 0.74x9",
        "db_pool_capacity{pool=web}": "80x34",
        "db_pool_workers{pool=web}": "4x34",
    }, pending="19m", over="27m", fires={
        "20m 26m": "The busiest worker of pool web at app1:8001 has 75% of its connections checked out.",
    }),

    alert("PoolUtilizationCritical", "critical", "pool=web", {
        "db_pool_busiest_worker_utilization_ratio{pool=web}": "0.9x9 0.95x9 0.9x9",
        "db_pool_capacity{pool=web}": "80x29",
        "db_pool_workers{pool=web}": "4x29",
    }, pending="14m", over="22m", fires={
        "15m 21m": "The busiest worker of pool web at app1:8001 has 95% of its connections checked out.",
    }),

    alert("PoolExhausted", "critical", "pool=web", {
        "db_pool_pending{pool=web}": "0x9 7x4 0x6",
    }, pending="10m", over="17m", fires={
        "11m 16m": "Pool web at app1:8001 has 7 callers waiting for a connection.",
    }),

    alert("PoolAcquireTimeouts", "critical", "pool=web", {
        "db_pool_acquire_timeouts_total{pool=web}": "0x9 2+2x11 24x12",
    }, pending="11m", over="23m", fires={
        "12m": "Pool web at app1:8001 let 6 callers time out in the last 5 minutes.",
        "22m": "Pool web at app1:8001 let 8 callers time out in the last 5 minutes.",
    }),

    alert("PoolAcquireErrors", "critical", "pool=web", {
        "db_pool_acquire_errors_total{pool=web}": "0x9 4+4x11 48x12",
    }, pending="11m", over="23m", fires={
        "12m": "Pool web at app1:8001 failed to open a connection 12 times in the last 5 minutes.",
        "22m": "Pool web at app1:8001 failed to open a connection 15 times in the last 5 minutes.",
    }),

    alert("PoolBursts", "info", "pool=web", {
        "db_pool_peak_utilization_ratio{pool=web}": "0.5x9 1x19 0.5x19",
        "db_pool_busiest_worker_utilization_ratio{pool=web}": "0.35x49",
        "db_pool_capacity{pool=web}": "80x49",
        "db_pool_workers{pool=web}": "4x49",
    }, pending="24m", over="32m", fires={
        "25m 31m": "A worker of pool web at app1:8001 reached 100% within the last minute.",
    }),

    alert("PoolConnectionHeldTooLong", "warning", "pool=web", {
        "db_pool_oldest_checkout_seconds{pool=web}": "0.4x9 30+60x9 0.4x9",
    }, pending="15m", over="22m", fires={
        "16m": "A connection of pool web at app1:8001 has been held for 6m 30s.",
        "21m": "A connection of pool web at app1:8001 has been held for 9m 30s.",
    }),

    alert("PoolAlwaysInOverflow", "info", "pool=web", {
        "db_pool_overflow{pool=web}": "0x9 3x69 0x19",
    }, pending="1h9m", over="1h22m", fires={
        "1h10m 1h21m": "Pool web at app1:8001 has 3 connections above its size.",
    }),

    alert("PoolConnectionChurn", "info", "pool=web", {
        "db_pool_connections_opened_total{pool=web}": "0x9 30+30x49 1500x23",
        "db_pool_acquire_duration_seconds_count{pool=web}": "0+120x9 1200+120x49 7200+120x23",
    }, pending="42m", over="1h2m", fires={
        "43m": "In pool web at app1:8001 25% of the checkouts open a new connection.",
        "1h1m": "In pool web at app1:8001 22.22% of the checkouts open a new connection.",
    }),

    alert("PoolConnectionsBreaking", "warning", "pool=web", {
        "db_pool_connections_invalidated_total{pool=web}": "0x9 4+4x24 100x14",
    }, pending="26m", over="37m", fires={
        "27m": "Pool web at app1:8001 discards 4.0 broken connections a minute.",
        "36m": "Pool web at app1:8001 discards 3.6 broken connections a minute.",
    }),

    alert("PoolConnectionsInherited", "warning", "pool=web", {
        "db_pool_inherited_connections_total{pool=web}": "0x9 1+1x1 2x77",
    }, pending="10m", over="14m", fires={
        "11m": "Pool web at app1:8001 found 2 connections of another process in the last 4 minutes.",
        "13m": "Pool web at app1:8001 found 1 connections of another process in the last 4 minutes.",
    }),

    alert("PoolsExceedServer", "warning", "instance=", {
        "db_pool_capacity{pool=web}": "60x9 100x19 60x19",
        "db_pool_capacity{pool=celery}": "20x49",
        "db_pool_info{pool=web, source=workers}": "1x49",
        "db_pool_info{pool=celery, source=workers}": "1x49",
        "pg_settings_max_connections": "100x49",
        "pg_settings_superuser_reserved_connections": "3x49",
        "pg_settings_reserved_connections": "1x49",
    }, pending="24m", over="32m", fires={
        "25m 31m": "The pools of job poolwatch on one server may together open 125% of the connections that it accepts.",
    }),

    case("a firing alert whose data vanishes is held and then ends", {
        "db_pool_pending{pool=web}": "7x9 stale",
    },
         firing("PoolExhausted", "critical", "pool=web", "11m", "Pool web at app1:8001 has 7 callers waiting for a connection."),
         silent("PoolExhausted", "12m")),

    case("a pool of one or two connections is full whenever it works", {
        "up": "1x60",
        "db_pool_busiest_worker_utilization_ratio{pool=cron}": "1x60",
        "db_pool_peak_utilization_ratio{pool=cron}": "1x60",
        "db_pool_capacity{pool=cron}": "2x60",
        "db_pool_busiest_worker_utilization_ratio{pool=celery}": "1x60",
        "db_pool_capacity{pool=celery}": "16x60",
        "db_pool_workers{pool=celery}": "16x60",
    }, no_alert("1h")),

    case("but a full pool of four is reported, workers known or not", {
        "db_pool_busiest_worker_utilization_ratio{pool=api}": "1x60",
        "db_pool_capacity{pool=api}": "4x60",
    }, fires_once("PoolUtilizationCritical", "1h")),

    case("one exhausted worker of four is reported though the sum looks calm", {
        "db_pool_utilization_ratio{pool=web}": "0.32x60",
        "db_pool_busiest_worker_utilization_ratio{pool=web}": "1x60",
        "db_pool_capacity{pool=web}": "80x60",
        "db_pool_workers{pool=web}": "4x60",
    }, fires_once("PoolUtilizationCritical", "5m")),

    case("a pool which breathes above 90 % and back raises nothing", {
        "up": "1x30",
        "db_pool_busiest_worker_utilization_ratio{pool=web}":
            "0.2 0.5 0.95 0.95 0.95 0.95 0.5 0.2 0.5 0.95 0.95 0.95 0.5 0.2 0.5 0.95 0.95 0.95 0.95 0.5 0.2x10",
        "db_pool_capacity{pool=web}": "80x30",
    }, none_fires("6m 13m 19m"), no_alert("30m")),

    case("a pool without a limit has no utilization and cannot exceed the server", {
        "up": "1x60",
        "db_pool_checked_out{pool=web}": "500x60",
        "db_pool_info{pool=web, source=workers}": "1x60",
        "pg_settings_max_connections": "100x60",
        "pg_settings_superuser_reserved_connections": "3x60",
    }, no_alert("1h")),

    case("behind PgBouncer the pools may exceed the server, and an inferred pool is not counted twice", {
        "up": "1x60",
        "db_pool_capacity{pool=web}": "400x60",
        "db_pool_info{pool=web, source=workers}": "1x60",
        "db_pool_info{pool=bouncer, source=pgbouncer}": "1x60",
        "pg_settings_max_connections": "100x60",
        "pg_settings_superuser_reserved_connections": "3x60",
        "db_pool_capacity{instance=app2:8001, pool=web}": "80x60",
        "db_pool_info{instance=app2:8001, pool=web, source=workers}": "1x60",
        "db_pool_capacity{instance=app2:8001, pool=app}": "80x60",
        "db_pool_info{instance=app2:8001, pool=app, source=activity}": "1x60",
        "pg_settings_max_connections{instance=app2:8001}": "100x60",
        "pg_settings_superuser_reserved_connections{instance=app2:8001}": "3x60",
    }, no_alert("1h")),

    case("one burst of timeouts, one failed connection and a server restart do not page", {
        "up": "1x60",
        "db_pool_acquire_timeouts_total{pool=web}": "0x9 14x50",
        "db_pool_acquire_errors_total{pool=web}": "0x9 20x50",
        "db_pool_connections_invalidated_total{pool=web}": "0x9 80x50",
    }, none_fires("13m 14m 15m 20m"), no_alert("1h")),

    case("callers who failed for half a minute are no page afterwards", {
        "db_pool_acquire_timeouts_total{pool=web}": "0x59 1 2 3 3x90",
        "db_pool_acquire_errors_total{pool=web}": "0x59 4 4 9 9x90",
    }, silent("PoolAcquireTimeouts", "11m 12m 13m"), silent("PoolAcquireErrors", "12m 16m"), interval="10s"),

    case("callers who fail now and then for long are a page", {
        "db_pool_acquire_timeouts_total{pool=web}": "0x19 1x3 2x3 3x3 4x3 5x3 6x3 7x3 8x3 8x40",
    }, fires_once("PoolAcquireTimeouts", "24m"), shows("31m", 'ALERTS{alertname="PoolAcquireTimeouts"}'), interval="30s"),

    case("a pool which is full at one scrape and half empty at the next is reported", {
        "db_pool_busiest_worker_utilization_ratio{pool=web}": " ".join(15 * ["1 0.4"]),
        "db_pool_peak_utilization_ratio{pool=web}": "1x30",
        "db_pool_capacity{pool=web}": "40x30",
        "db_pool_workers{pool=web}": "2x30",
    }, fires_once("PoolBursts", "25m")),

    case("the pods of one server are added up, those of two servers are not", {
        "db_pool_capacity{job=one, instance=a:8001, pool=web}": "60x40",
        "db_pool_capacity{job=one, instance=b:8001, pool=web}": "60x40",
        "db_pool_capacity{job=two, instance=a:8001, pool=web}": "60x40",
        "db_pool_capacity{job=two, instance=b:8001, pool=web}": "60x40",
        "db_pool_info{job=one, instance=a:8001, pool=web, source=workers}": "1x40",
        "db_pool_info{job=one, instance=b:8001, pool=web, source=workers}": "1x40",
        "db_pool_info{job=two, instance=a:8001, pool=web, source=workers}": "1x40",
        "db_pool_info{job=two, instance=b:8001, pool=web, source=workers}": "1x40",
        "pg_postmaster_start_time_seconds{job=one, instance=a:8001}": "1000x40",
        "pg_postmaster_start_time_seconds{job=one, instance=b:8001}": "1000x40",
        "pg_postmaster_start_time_seconds{job=two, instance=a:8001}": "1000x40",
        "pg_postmaster_start_time_seconds{job=two, instance=b:8001}": "2000x40",
        "pg_settings_max_connections{job=one, instance=a:8001}": "100x40",
        "pg_settings_max_connections{job=one, instance=b:8001}": "100x40",
        "pg_settings_max_connections{job=two, instance=a:8001}": "100x40",
        "pg_settings_max_connections{job=two, instance=b:8001}": "100x40",
        "pg_settings_superuser_reserved_connections{job=one, instance=a:8001}": "3x40",
        "pg_settings_superuser_reserved_connections{job=one, instance=b:8001}": "3x40",
        "pg_settings_superuser_reserved_connections{job=two, instance=a:8001}": "3x40",
        "pg_settings_superuser_reserved_connections{job=two, instance=b:8001}": "3x40",
    }, shows("30m", 'count by (job) (ALERTS{alertname="PoolsExceedServer", alertstate="firing"})', '{job="one"}')),

    case("a restart of poolwatch is no fork", {
        "db_pool_inherited_connections_total{pool=web}": "7x30 3x30",
    }, shows("32m", 'ALERTS{alertname="PoolConnectionsInherited"}')),
]
