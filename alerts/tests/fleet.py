"""One application in many pods, each with a sidecar that sees its pools, and a watcher that sees the server.

`during` says when something is there: `{}x49` from the beginning, `_x10 {}x19 stale` from the tenth minute for twenty.
"""

from .case import alert, case, fires_once, firing, no_alert, none_fires, shows, silent

HOUR = "{}x59"
EXCEEDED = 'count by (address) (ALERTS{alertname="FleetExceedsServer", alertstate="firing"})'
PAGES = 'count by (alertname, address) (ALERTS{alertstate="firing", severity="critical"})'


def pool(instance, capacity, during=HOUR, job="shop", pool="web", source="workers", host="db.internal", port=5432):
    """What one instance shows of one pool and where it goes."""
    labels = f"job={job}, instance={instance}, pool={pool}"
    return {
        f"db_pool_info{{{labels}, source={source}, host={host}, port={port}, database=app, role=app}}": during.format(1),
        f"db_pool_capacity{{{labels}}}": during.format(capacity),
    }


def pods(numbers, capacity=20, job="shop", **more):
    """The pools of as many pods."""
    return {key: values for number in numbers for key, values in pool(f"{job}-{number}:8001", capacity, job=job, **more).items()}


def connections(numbers, each, during):
    """What the pools of these pods have open."""
    return {f"db_pool_{figure}{{job=shop, instance=shop-{number}:8001, pool=web}}": during.format(value)
            for number in numbers for figure, value in (("checked_out", each), ("checked_in", 0))}


def server(host="db.internal", instance="watcher:8001", names=(), during=HOUR, used=30, address=None):
    """What a watcher that leads shows of a server with max_connections = 100, under its own name and others."""
    target = f"instance={instance}"
    address = address or f"{host}:5432"
    info = {f"pg_server_info{{{target}, address={address}, host={name}, port=5432}}": during.format(1) for name in (host, *names)}
    return info | {
        f"poolwatch_build_info{{{target}, version=1.0.0}}": during.format(1),
        f"pg_up{{{target}}}": during.format(1),
        f"pg_connections_used{{{target}}}": during.format(used),
        f"pg_connections_usable{{{target}}}": during.format(97),
    }


def alone(up):
    """One poolwatch of a client that does not report where its pool goes, and of a server."""
    target = "job=shop, instance=shop-0:8001"
    return {f"db_pool_info{{{target}, pool=web, source=workers}}": "1x59", f"pg_up{{{target}}}": up,
            f"poolwatch_build_info{{{target}, version=1.0.0}}": "1x59"}


def callers_fail(numbers):
    """What the sidecars show when no connection can be opened from the tenth minute to the fortieth."""
    shown = {}
    for number in numbers:
        labels = f"job=shop, instance=shop-{number}:8001, pool=web"
        shown |= {
            f"db_pool_acquire_errors_total{{{labels}}}": "0x9 8+8x29 240x20",
            f"db_pool_acquire_timeouts_total{{{labels}}}": "0x9 4+4x29 120x20",
            f"db_pool_pending{{{labels}}}": "0x9 6x29 0x20",
            f"db_pool_busiest_worker_utilization_ratio{{{labels}}}": "0.3x9 1x29 0.3x20",
        }
    return shown


def queries(numbers, all_of_them, failed):
    """What the sidecars show of the queries of these pods."""
    shown = {}
    for number in numbers:
        labels = f"job=shop, instance=shop-{number}:8001, pool=web"
        shown |= {f"db_query_duration_seconds_count{{{labels}}}": all_of_them, f"db_query_errors_total{{{labels}}}": failed}
    return shown


def rolling_restart(count):
    """Pods that are replaced one after the other, a minute each, with both up for a minute."""
    shown = {}
    for number in range(count):
        shown |= pods([f"old-{number}"], during=f"{{}}x{10 + number} stale")
        shown |= pods([f"new-{number}"], during=f"_x{10 + number} {{}}x{49 - number}")
    return shown


CASES = [
    alert("FleetExceedsServer", "warning", "job=, instance=, address=db.internal:5432",
          server() | pods(range(4)) | pods(range(4, 20), during="_x10 {}x19 stale"),
          pending="24m", over="32m", fires={
              "25m 31m": "All pools that use PostgreSQL at db.internal:5432 may together open 412.4% of the connections that it grants.",
          }),

    alert("RolloutExceedsServer", "info", "job=, instance=, address=db.internal:5432",
          server(used=80) | pods(range(4), during="_x10 {}x19 stale"),
          pending="24m", over="32m", fires={
              "25m 31m": "A rollout at the day's peak may bring PostgreSQL at db.internal:5432 to 103.1% of the connections that it grants, "
                         "while old and new pods are up.",
          }),

    case("four pods of 20 fit into a server of 97", server() | pods(range(4)), no_alert("20m")),

    case("but five do not", server() | pods(range(5)), shows("20m", EXCEEDED, '{address="db.internal:5432"}')),

    case("two servers do not mix",
         server() | server("reports.internal", "reports-watcher:8001")
         | pods(range(4)) | pods(range(4), job="reports", host="reports.internal"),
         no_alert("20m")),

    case("of two servers the one that is exceeded is named",
         server() | server("reports.internal", "reports-watcher:8001")
         | pods(range(4)) | pods(range(20), job="reports", host="reports.internal"),
         shows("20m", EXCEEDED, '{address="reports.internal:5432"}')),

    case("two applications that use one server are added up, and each has its own pool web",
         server() | pods(range(3)) | pods(range(3), job="blog"),
         shows("20m", EXCEEDED, '{address="db.internal:5432"}'),
         shows("20m", "count by (job) (job_address:db_pool_capacity:sum == 60) and on (job) job_address:db_pool_capacity:sum{job=\"blog\"}",
               '{job="blog"}')),

    case("a server that is known by several names is one",
         server(names=["10.0.0.5", "db"]) | pods(range(3)) | pods(range(3, 6), host="10.0.0.5"),
         shows("20m", EXCEEDED, '{address="db.internal:5432"}')),

    case("a name that two servers have counts for neither",
         server(names=["db"]) | server("reports.internal", "reports-watcher:8001", names=["db"]) | pods(range(20), host="db"),
         no_alert("20m")),

    case("servers of one name in two namespaces are two",
         server("postgres", "watcher:8001, namespace=prod, system_identifier=1")
         | pool("shop-0:8001, namespace=prod", 60, host="postgres")
         | server("postgres", "watcher:8001, namespace=staging, system_identifier=2")
         | pool("shop-0:8001, namespace=staging", 60, host="postgres"),
         no_alert("20m")),

    case("a pool whose other server nobody watches pages while one of both is down",
         {**server(), "pg_up{instance=watcher:8001}": "0x59"}
         | pool("shop-0:8001", 20) | callers_fail([0])
         | {"db_pool_info{job=shop, instance=shop-0:8001, pool=web, source=workers, host=other.internal, port=5432, database=app, role=app}": "1x59"},
         fires_once("PoolExhausted", "20m")),

    case("a pool that is seen several ways is counted once",
         server(used=10)
         | pool("shop-0:8001", 80)
         # The endpoint of the same application, and its sessions as the watcher sees them.
         | pool("shop-0:8001", 20, pool="api", source="app_health")
         | pool("watcher:8001", 80, job="poolwatch", pool="app", source="activity"),
         no_alert("20m")),

    case("what is inferred counts where nothing else is known",
         server() | pool("watcher:8001", 120, job="poolwatch", pool="app", source="activity"),
         shows("20m", EXCEEDED, '{address="db.internal:5432"}')),

    case("behind PgBouncer its own connections count",
         server() | pods(range(20), host="bouncer", port=6432)
         | pool("bouncer-watcher:8001", 40, job="poolwatch", pool="bouncer", source="pgbouncer"),
         no_alert("20m")),

    case("and are too many when the server grants fewer",
         server() | pods(range(4), host="bouncer", port=6432)
         | pool("bouncer-watcher:8001", 120, job="poolwatch", pool="bouncer", source="pgbouncer"),
         shows("20m", EXCEEDED, '{address="db.internal:5432"}')),

    case("localhost is another server on each machine",
         server("localhost", "a:8001") | server("localhost", "b:8001")
         | pool("a:8001", 80, job="poolwatch", host="localhost") | pool("b:8001", 80, job="poolwatch", host="localhost"),
         no_alert("20m")),

    case("and is the server of its own machine",
         server("localhost", "a:8001") | pool("a:8001", 120, job="poolwatch", host="localhost"),
         shows("20m", EXCEEDED, '{address="localhost:5432 at a:8001"}')),

    case("unless the watcher of a server elsewhere says that it is reached so",
         server(names=["127.0.0.1"]) | pods(range(20), host="127.0.0.1"),
         shows("20m", EXCEEDED, '{address="db.internal:5432"}')),

    case("twenty sidecars of a server that is down are one page",
         server() | {"pg_up{instance=watcher:8001}": "1x9 0x29 1x20"} | pods(range(20)) | callers_fail(range(20)),
         shows("13m 25m 39m", PAGES, '{address="db.internal:5432", alertname="DatabaseDown"}'),
         shows("42m 50m", PAGES),
         firing("DatabaseDown", "critical", "instance=watcher:8001, address=db.internal:5432", "25m",
                "poolwatch at watcher:8001 cannot reach PostgreSQL at db.internal:5432.")),

    case("a watcher that the server refuses hides no page of the pools",
         server() | {"pg_up{instance=watcher:8001}": "0x59", "pg_session_failure{instance=watcher:8001, reason=authentication}": "1x59"}
         | pods(range(2)) | callers_fail(range(2)),
         shows("25m", 'count(ALERTS{alertname="PoolAcquireErrors", alertstate="firing"}) == bool 2', "{}"),
         silent("DatabaseDown", "25m")),

    case("but callers who fail while the server answers are a page each",
         server() | pods(range(2)) | callers_fail(range(2)),
         shows("25m", 'count(ALERTS{alertname="PoolAcquireErrors", alertstate="firing"}) == bool 2', "{}"),
         silent("DatabaseDown", "25m")),

    case("a watcher that is cut off alone hides no page of the pools",
         {**server(), "pg_up{instance=watcher:8001}": "1x9 0x29 1x20"} | pods(range(3)) | callers_fail([0, 1])
         # The third pod has answers, so that the server is there.
         | queries([0, 1], "0x59", "0x59") | queries([2], "0+60x59", "0x59"),
         shows("25m", 'count(ALERTS{alertname="PoolAcquireErrors", alertstate="firing"}) == bool 2', "{}"),
         shows("25m", 'count(ALERTS{alertname="PoolExhausted", alertstate="firing"}) == bool 2', "{}"),
         shows("25m", 'count by (alertname, address) (ALERTS{alertname="DatabaseDown", alertstate="firing"})',
               '{address="db.internal:5432", alertname="DatabaseDown"}')),

    case("queries that fail are no answers",
         {**server(), "pg_up{instance=watcher:8001}": "1x9 0x29 1x20"} | pods(range(3)) | callers_fail(range(3))
         | queries(range(3), "0+60x59", "0x9 60+60x29 1800x20"),
         shows("12m 13m 25m 39m", PAGES, '{address="db.internal:5432", alertname="DatabaseDown"}')),

    case("a pool of two servers does not say which of them answers",
         {**server(), "pg_up{instance=watcher:8001}": "1x9 0x29 1x20"} | server("replica.internal", "replica-watcher:8001")
         | pods(range(3)) | callers_fail(range(2)) | queries([2], "0+60x59", "0x59")
         | {"db_pool_info{job=shop, instance=shop-2:8001, pool=web, source=workers, host=replica.internal, port=5432, database=app, role=app}": "1x59"},
         shows("12m 13m 25m 39m", PAGES, '{address="db.internal:5432", alertname="DatabaseDown"}')),

    case("a pool that does not say where it goes is taken to go to the one server of its instance",
         alone("1x9 0x29 1x20") | callers_fail([0]),
         shows("12m 13m 25m 39m", 'count by (alertname) (ALERTS{alertstate="firing", severity="critical"})', '{alertname="DatabaseDown"}')),

    case("unless its workers have answers",
         alone("1x9 0x29 1x20") | callers_fail([0]) | queries([0], "0+60x59", "0x59"),
         fires_once("PoolAcquireErrors", "25m"), fires_once("PoolExhausted", "25m"), fires_once("DatabaseDown", "25m")),

    case("or there are two servers",
         alone("1x9 0x29 1x20") | {"pg_up{job=shop, instance=shop-0:8001, server=replica}": "1x59"} | callers_fail([0]),
         fires_once("PoolAcquireErrors", "25m"), fires_once("PoolExhausted", "25m"), fires_once("DatabaseDown", "25m")),

    case("a server that refuses sessions is one page, however many watchers tell it, and names the server",
         {**server(), **server(instance="watcher-2:8001")}
         | {f"pg_session_failure{{instance={watcher}:8001, reason=too_many_connections_server}}": "1x59" for watcher in ("watcher", "watcher-2")},
         shows("25m", 'count by (alertname, address) (ALERTS{alertname="DatabaseRefusesSessions", alertstate="firing"}) == bool 2',
               '{address="db.internal:5432", alertname="DatabaseRefusesSessions"}')),

    case("a watcher that is not let in names the server",
         server() | {"pg_session_failure{instance=watcher:8001, reason=authentication}": "1x59"},
         firing("PoolwatchDeniedAccess", "warning", "instance=watcher:8001, address=db.internal:5432, reason=authentication", "25m",
                "PostgreSQL at db.internal:5432 answers, and does not let poolwatch at watcher:8001 in (authentication). Nothing is read of it.")),

    case("a rollout of this day is not counted with the next one",
         {**server(during="{}x159"), "pg_connections_used{instance=watcher:8001}": "60x59 80x30 60x69"}
         | pods(range(4), during="{}x159") | connections(range(4), 15, "{}x159")
         | pods([4], during="_x60 {}x30 stale") | connections([4], 20, "_x60 {}x30 stale"),
         shows("50m 65m 80m 95m 150m", "address:pg_connections_rollout_per_usable:ratio > 1"),
         # Nor is it forgotten what else was in use at that time.
         shows("80m 150m", "address:pg_connections_used:max1d == bool 80", '{address="db.internal:5432"}'),
         shows("150m", "address:pg_connections_used:steady_max1d == bool 64", '{address="db.internal:5432"}')),

    case("pods that stay are in the peak of the day",
         {**server(during="{}x89"), "pg_connections_used{instance=watcher:8001}": "60x29 80x60"}
         | pods(range(4), during="{}x89") | connections(range(4), 15, "{}x89")
         | pods([4], during="_x30 {}x60") | connections([4], 20, "_x30 {}x60"),
         shows("40m 50m", "address:pg_connections_rollout_per_usable:ratio > 1"),
         shows("70m 85m", "address:pg_connections_rollout_per_usable:ratio > bool 1", '{address="db.internal:5432"}')),

    case("a rolling restart of all pods raises nothing",
         server(used=60) | rolling_restart(4), none_fires("12m 15m 20m 30m"), no_alert("50m")),
]
