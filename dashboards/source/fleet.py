"""The fleet: do the pools of all applications and pods fit into their servers?"""

from .expression import highest, or_none
from .frame import dashboard
from .panel import firing, lines, stat, table

CAPACITY = "address:db_pool_capacity:sum{@address}"
USABLE = "address:pg_connections_usable:max{@address}"
USED = "address:pg_connections_used:max{@address}"
PEAK = "address:pg_connections_used:steady_max1d{@address}"
RATIO = "address:db_pool_capacity_per_usable:ratio{@address}"
ROLLOUT = "address:pg_connections_rollout_per_usable:ratio{@address}"
SURGE = "job_address:db_pool_capacity:surge{@job_address}"
PODS = "job_address:db_pool_instances:count{@job_address}"
JOB = "namespace, job, address"
POOL = "cluster, namespace, job, pool"
UNKNOWN = """count(
    group by (cluster, namespace, job, instance, pool) (db_pool_info{@, host!=""})
    unless on (cluster, namespace, job, instance, pool) instance_pool_address:db_pool_info:max{@}
) or vector(0)"""


def by_application(record):
    """The applications that were highest over the whole time shown, and all together."""
    figure = f"sum by ({JOB}) ({record}{{@job_address}})"
    over_all = f"sum by ({JOB}) (max_over_time({record}{{@job_address}}[$__range]))"
    return [(highest(figure, over_all, JOB), "{{namespace}} {{job}} {{address}}"), (f"sum({figure})", "all")]


NOW = [
    stat("Capacity of all pools", "The share of what the server grants which all pools together may open, where it is highest. A pool that is "
         "seen several ways counts once; what goes to a PgBouncer counts as the PgBouncer's own connections.",
         f"max({RATIO})", "percentunit", ["FleetExceedsServer"], width=5, decimals=0),
    stat("With a rollout", "The share of what the server grants that is in use at the day's peak, with the pools of the pods that a rollout adds.",
         f"max({ROLLOUT})", "percentunit", ["RolloutExceedsServer"], width=5, decimals=0),
    stat("Servers that do not answer", "Servers that their watcher cannot reach.",
         "count(address:pg_up:max{@address} == 0) or vector(0)", "short", width=5, decimals=0),
    stat("Pods that report", "Instances of poolwatch that see a pool whose server is watched.", f"sum({PODS})", "short", width=5, decimals=0),
    stat("Pools of an unknown server", "Pools that say where they go, and no watcher reads that server: it is not watched, or known to its watcher "
         "by another name only (servers.NAME.aliases), or it is a PgBouncer.", UNKNOWN, "short", width=4, decimals=0),
]

BUDGET = [
    table("The server's budget", "Of each server: what it grants to ordinary roles, what all pools may open together, what is in use and was at "
          "most within a day without what rollouts had open, and the largest rollout: peak and rollout together are what RolloutExceedsServer judges.",
          f"sum by (address) ({USABLE})", "short", {"address": "server"}, width=16, height=9, value="grants", empty="no server is watched",
          figures={"pools may open": (f"sum by (address) ({CAPACITY})", "short"), "in use": (f"sum by (address) ({USED})", "short"),
                   "day's peak": (f"sum by (address) ({PEAK})", "short"), "a rollout adds": (f"max by (address) ({SURGE})", "short")}),
    firing("FleetExceedsServer|RolloutExceedsServer|PoolsExceedServer|DatabaseDown|DatabaseConnections.*"),
    lines("Capacity against the server", "What all pools together may open, as a share of what the server grants.",
          (RATIO, "{{address}}"), "percentunit", ["FleetExceedsServer"], width=12),
    lines("In use against the server", "Connections in use, as a share of what the server grants, and the day's peak with a rollout.",
          [(f"{USED} / {USABLE}", "{{address}}"), (ROLLOUT, "{{address}} with a rollout")], "percentunit", ["RolloutExceedsServer"], width=12,
          dashed="/ with a rollout$/"),
]

WHOSE = [
    lines("Capacity by application", "Connections that the pools of each application may open: those that may open most, and all together.",
          by_application("job_address:db_pool_capacity:sum"), "short", dashed="/^all$/", width=12, decimals=0),
    lines("Open connections by application", "Connections that the pools of each application have open: those with the most, and all together.",
          by_application("job_address:db_pool_connections:sum"), "short", dashed="/^all$/", width=12, decimals=0),
    table("What a rollout adds", "The pools of the pods that come before the old ones go: a quarter of the pods, rounded up.",
          f"topk($top, sum by ({JOB}) ({SURGE}))", "short", {"namespace": "namespace", "job": "application", "address": "server"},
          width=12, value="adds",
          figures={"pods": (f"sum by ({JOB}) ({PODS})", "short"),
                   "may open": (f"sum by ({JOB}) (job_address:db_pool_capacity:sum{{@job_address}})", "short")}),
    table("Pools by callers waiting", "The pools with the most callers waiting in all pods together, and the fullest worker of any pod.",
          f"topk($top, sum by ({POOL}) (db_pool_pending{{@pool}}))", "short",
          {"namespace": "namespace", "job": "application", "pool": "pool"}, width=12, value="waiting",
          figures={"busiest worker": (f"max by ({POOL}) (db_pool_busiest_worker_utilization_ratio{{@pool}})", "percentunit"),
                   "workers": (f"sum by ({POOL}) (db_pool_workers{{@pool}})", "short")}),
]

WHERE = [
    table("Pods whose pool is fullest", "The pods whose busiest worker has the largest share of its connections checked out.",
          or_none("topk($top, max by (namespace, job, instance, pool) (db_pool_busiest_worker_utilization_ratio{@pool}))", "pool"), "percentunit",
          {"namespace": "namespace", "job": "application", "instance": "instance", "pool": "pool"}, width=12, value="busiest worker"),
    table("Pools and their servers", "Where the pools of each application go, as they say it, and in how many pods.",
          'topk(100, count by (namespace, job, pool, source, host, port, database, role) (db_pool_info{@pool, host!=""}))', "short",
          {"namespace": "namespace", "job": "application", "pool": "pool", "source": "source", "host": "host", "port": "port",
           "database": "database", "role": "role"}, width=12, value="pods"),
    table("Servers and their names", "The hosts and ports under which each watched server is known.",
          "max by (address, host, port, system_identifier) (pg_server_info{@})", "short",
          {"address": "server", "host": "host", "port": "port", "system_identifier": "system identifier"}, width=24, height=6),
]

DASHBOARD = dashboard(
    "poolwatch-fleet", "poolwatch / Fleet", "Do the pools of all applications and pods fit into their servers?",
    [
        ("Do all pools fit?", NOW),
        ("How much of each server is spoken for?", BUDGET),
        ("Whose pools are they?", WHOSE),
        ("Where exactly?", WHERE),
    ],
)
