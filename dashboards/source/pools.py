"""Pools: is one about to run out, and why?"""

from .expression import busiest, over_range, per_second, quantiles, worst_first
from .frame import dashboard
from .panel import SEVERITIES, answers, firing, heatmap, lines, stat, table
from .seen import SEEN

NOW = [
    stat("Status", "The status of each pool, judged on its busiest worker: healthy below 75 %, critical above 90 %.",
         '''topk($top, max by (@pool) (db_pool_status{@pool, status="warning"})
            + 2 * max by (@pool) (db_pool_status{@pool, status="critical"}))''',
         "short", legend="{{@pool}}", width=6,
         words={0: (0, "healthy"), 1: (1, "warning"), 2: (2, "critical"), 3: (2, "critical")}),
    stat("Busiest worker", "The share of its connections which the busiest worker of each pool has checked out.",
         "topk($top, max by (@pool) (db_pool_busiest_worker_utilization_ratio{@pool}))", "percentunit",
         ["PoolUtilizationWarning", "PoolUtilizationCritical"], "{{@pool}}", width=6, decimals=0, min=0, max=1),
    stat("Callers waiting", "Callers waiting for a connection now, in all pools.",
         "sum(db_pool_pending{@pool})", "short", ["PoolExhausted"], width=3, decimals=0),
    stat("Timed out", "Callers who waited for a connection in vain, in the last 5 minutes.",
         "sum(increase(db_pool_acquire_timeouts_total{@pool}[5m]))", "short", ["PoolAcquireTimeouts"], width=3, decimals=0),
    stat("Acquire p95", "The p95 of the time to acquire a connection, in the slowest pool.",
         "max(histogram_quantile(0.95, sum by (le, @pool) (rate(db_pool_acquire_duration_seconds_bucket{@pool}[$__rate_interval]))))",
         "s", ["AcquireLatencyHigh"], width=3),
    answers(),
]

RUN_OUT = [
    lines("Busiest worker of each pool", "The share of its connections which the busiest worker has checked out. One "
          "exhausted worker of four reads 32 % in the sum while its callers time out.",
          ("max by (@pool) (db_pool_busiest_worker_utilization_ratio{@pool})", "{{@pool}}"), "percentunit",
          ["PoolUtilizationWarning", "PoolUtilizationCritical"], width=16, height=9, max=1),
    firing(".+"),
    lines("Callers waiting", "Callers who wait for a connection, because all of them are checked out.",
          ("sum by (@pool) (db_pool_pending{@pool})", "{{@pool}}"), "short", ["PoolExhausted"], width=12, decimals=0),
    lines("Most callers waiting at once", "The most callers that waited at once within the last minute, of all workers, and those that have a place "
          "in the pool and open or check a connection now.",
          [("max by (@pool) (db_pool_pending_peak{@pool})", "{{@pool}} waited"), ("sum by (@pool) (db_pool_connecting{@pool})", "{{@pool}} connecting")],
          "short", width=12, decimals=0),
    lines("Callers without a connection", "Callers who waited until the pool's timeout, whose connection failed to open, and who gave up before they had one.",
          [(per_second("db_pool_acquire_timeouts_total", "@pool"), "{{@pool}} timed out"),
           (per_second("db_pool_acquire_errors_total", "@pool"), "{{@pool}} failed"),
           (per_second("db_pool_acquires_abandoned_total", "@pool"), "{{@pool}} gave up")], "ops", width=12),
    lines("Highest within a minute", "The highest any worker reached within the last minute: bursts that fall between two scrapes.",
          ("max by (@pool) (db_pool_peak_utilization_ratio{@pool})", "{{@pool}}"), "percentunit", ["PoolBursts"], width=12, max=1),
]

ADVICE = [
    table("Advice", "What is wrong, the worst first. /health/detailed says what to do about each.",
          worst_first("poolwatch_advice", "@", "rule", "✓ nothing"), "short",
          {"severity": "severity", "rule": "rule", "subject": "subject", "instance": "instance"}, width=24, height=7,
          words={"severity": SEVERITIES}),
]

HELD = "sum by (@pool, endpoint) (rate(db_pool_endpoint_held_seconds_total{@pool}[$__rate_interval]))"
HOLD = [
    lines("Connections by endpoint", "Connections that each endpoint or task of the application held on average: the tallest is who fills the pool.",
          (f"{busiest(HELD, '@pool, endpoint')} > 0", "{{@pool}} {{endpoint}}"), "short", width=16, height=9, stack=True),
    table("Endpoints that held the most", "Seconds for which connections were held in the whole time shown, and how often and how long at a time.",
          f"topk($top, {over_range(HELD)} > 0)", "s", {"endpoint": "endpoint", "pool": "pool", "job": "application"}, height=9, value="held",
          figures={"checkouts": (f"sum by (@pool, endpoint) (increase(db_pool_endpoint_checkouts_total{{@pool}}[$__range])) and on (@pool, endpoint) topk($top, {over_range(HELD)} > 0)", "short"),
                   "now": (f"sum by (@pool, endpoint) (db_pool_endpoint_checked_out{{@pool}}) and on (@pool, endpoint) topk($top, {over_range(HELD)} > 0)", "short"),
                   "p95": (f"histogram_quantile(0.95, sum by (le, @pool, endpoint) (increase(db_pool_endpoint_hold_duration_seconds_bucket{{@pool}}[$__range]))) and on (@pool, endpoint) topk($top, {over_range(HELD)} > 0)", "s")}),
    lines("Connections by state", "Connections of all workers together: at work for the application, and open and resting. A pool that rests "
          "at its peak could be smaller.",
          [("sum by (@pool) (db_pool_checked_out{@pool})", "{{@pool}} checked out"), ("sum by (@pool) (db_pool_checked_in{@pool})", "{{@pool}} checked in")],
          "short", decimals=0),
    lines("Share of the whole pool", "Connections checked out of those that all workers of a pool may have together.",
          ("max by (@pool) (db_pool_utilization_ratio{@pool})", "{{@pool}}"), "percentunit", max=1),
    lines("Hold time on average", "The mean time that callers hold a connection. With the arrivals it says how many connections are needed: "
          "arrivals a second times seconds held.",
          (f'{per_second("db_pool_hold_duration_seconds_sum", "@pool")} / {per_second("db_pool_hold_duration_seconds_count", "@pool")}', "{{@pool}}"), "s"),
    lines("Connections checked out", "Connections which the application has checked out, of all workers together. The dashed "
          "line is the most the pool may open.",
          [("sum by (@pool) (db_pool_checked_out{@pool})", "{{@pool}}"),
           ("sum by (@pool) (db_pool_capacity{@pool})", "{{@pool}} capacity")], "short", dashed="/ capacity$/", decimals=0),
    lines("Hold time", "The time that callers hold a connection, from acquiring to returning it.",
          quantiles("db_pool_hold_duration_seconds", "@pool"), "s", ["HoldTimeHigh"]),
    lines("Longest hold now", "The age of the oldest checkout. A line that climbs without end is a connection nobody returns.",
          ("max by (@pool) (db_pool_oldest_checkout_seconds{@pool})", "{{@pool}}"), "s", ["PoolConnectionHeldTooLong"]),
]

WAIT = [
    lines("Time to acquire a connection", "The time that callers need to acquire a connection, waiting included.",
          quantiles("db_pool_acquire_duration_seconds", "@pool"), "s", ["AcquireLatencyHigh"], width=12),
    heatmap("Time to acquire a connection, every caller", "Callers by the time that they needed. A second band far above the first "
            "is callers who had to wait, because all connections were checked out.", "db_pool_acquire_duration_seconds"),
]

SIZE = [
    lines("Overflow", "Connections open above the pool's size. They are closed when returned, so a pool that lives on "
          "them opens connections all the time.",
          ("sum by (@pool) (db_pool_overflow{@pool})", "{{@pool}}"), "short", ["PoolAlwaysInOverflow"], decimals=0),
    lines("Connections opened", "New connections a second, and those discarded: broken, inherited by a fork, or never returned and collected "
          "by the garbage collector.",
          [(per_second("db_pool_connections_opened_total", "@pool"), "{{@pool}} opened"),
           (per_second("db_pool_connections_invalidated_total", "@pool"), "{{@pool}} broken"),
           (per_second("db_pool_inherited_connections_total", "@pool"), "{{@pool}} inherited"),
           (per_second("db_pool_connections_collected_total", "@pool"), "{{@pool}} collected")], "ops"),
    lines("Size and overflow", "What the pool is set to keep, and how many more it may open, of all workers together.",
          [("sum by (@pool) (db_pool_size{@pool})", "{{@pool}} size"), ("sum by (@pool) (db_pool_max_overflow{@pool})", "{{@pool}} max overflow")],
          "short", decimals=0),
    lines("Busiest worker above the others", "How far the busiest worker stands above the whole pool. A wide gap means "
          "that work is spread unevenly, and a larger pool will not help.",
          ("max by (@pool) (db_pool_busiest_worker_utilization_ratio{@pool} - db_pool_utilization_ratio{@pool})", "{{@pool}}"),
          "percentunit", max=1),
    lines("Workers", "Worker processes whose pools are summed. A step down is a worker that died or was stopped.",
          [("sum by (@pool) (db_pool_workers{@pool})", "{{@pool}}"), ("sum by (@pool, app) (db_pool_app_workers{@pool})", "{{@pool}} {{app}}")],
          "short", decimals=0),
    lines("Pools against the server", "The share of the server's connections which the pools may open together. Above "
          "100 % the server refuses connections before the pools are full.",
          ('''sum without (pool) (db_pool_capacity{@} and ignoring (source, host, port, database, role) db_pool_info{@, source=~"workers|app_health"})
              / max without (server) (pg_settings_max_connections{@} - pg_settings_superuser_reserved_connections{@}
                - (pg_settings_reserved_connections{@} or 0 * pg_settings_max_connections{@}))''', "{{instance}}"),
          "percentunit", ["PoolsExceedServer"]),
    table("Sources of the figures", "Each pool's source. What activity infers from the server's sessions is a lower bound.",
          "topk(100, count by (@pool, source) (group by (@pool, source, instance) (db_pool_info{@pool})))", "short",
          {"namespace": "namespace", "job": "application", "pool": "pool", "source": "source"}, value="instances"),
]

DASHBOARD = dashboard(
    "poolwatch-pools", "poolwatch / Pools", "Is a connection pool about to run out, and why?",
    [
        ("What does poolwatch see here?", SEEN),
        ("Is a pool in trouble now?", NOW),
        ("Is one about to run out?", RUN_OUT),
        ("What does poolwatch advise?", ADVICE),
        ("Who holds the connections?", HOLD),
        ("How long do callers wait?", WAIT),
        ("Has the pool the right size?", SIZE),
    ],
)
