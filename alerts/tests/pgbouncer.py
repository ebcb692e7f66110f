"""PgBouncer: its clients, and whether it answers."""

from .case import alert, case, shows, silent

CASES = [
    alert("PgbouncerClientsNearLimit", "warning", "", {
        "pgbouncer_used_clients": "50x9 95x14 50x20",
        "pgbouncer_config_max_client_connections": "100x45",
    }, pending="14m", over="27m", fires={
        "15m 26m": "PgBouncer at app1:8001 has 95% of the clients that it may have.",
    }),

    alert("PgbouncerDown", "critical", "pool=bouncer, source=pool/bouncer", {
        "poolwatch_source_up{source=pool/bouncer}": "1x9 0x14 1x20",
    }, pending="11m", over="26m", fires={
        "12m 25m": "poolwatch at app1:8001 cannot read pool bouncer, a PgBouncer, "
                   "through which the application reaches its database.",
    }),

    alert("PgbouncerClientsFull", "critical", "", {
        "pgbouncer_used_clients": "50x9 100x14 50x20",
        "pgbouncer_config_max_client_connections": "100x60",
    }, pending="10m", over="27m", fires={
        "11m 26m": "PgBouncer at app1:8001 has 100% of the clients that it may have.",
    }),

    alert("PgbouncerClientsWaitLong", "warning", "database=shop, user=app", {
        "pgbouncer_pools_client_maxwait_seconds{database=shop, user=app}": "0x9 7x14 0x20",
    }, pending="10m", over="27m", fires={
        "11m 26m": "A client of PgBouncer at app1:8001 has waited 7s for a connection to database shop as user app.",
    }),

    case("an endpoint of an application which never answered is no PgBouncer, and the PgBouncer beside it is one", {
        "poolwatch_source_info{source=pool/api, kind=app_health}": "1x45",
        "poolwatch_source_up{source=pool/api}": "0x45",
        "poolwatch_source_info{source=pool/bouncer, kind=pgbouncer}": "1x45",
        "poolwatch_source_up{source=pool/bouncer}": "0x45",
    }, shows("30m", 'count by (pool) (ALERTS{alertname="PgbouncerDown", alertstate="firing"})', '{pool="bouncer"}')),

    case("an endpoint of an application which does not answer is no PgBouncer", {
        "db_pool_info{pool=api, source=app_health}": "1x5 stale",
        "poolwatch_source_up{source=pool/api}": "1x5 0x40",
    }, silent("PgbouncerDown", "30m")),
]
