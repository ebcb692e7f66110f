"""Expressions, as every dashboard writes them: {@} stands for what is chosen above of the scrape (cluster, namespace, job and
instance), {@server}, {@database} and {@pool} for that with the server, database or pool: `db_pool_pending{@pool}`. The records of
the fleet have {@address} and {@job_address}, as their level is. A pool is that of an application, for another may have one of the
same name: `sum by (@pool)` has the labels of both, and `{{@pool}}` in a legend their values.
"""

import json
import re

RATE = "[$__rate_interval]"
CHOSEN = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance"'
SERVER = CHOSEN + ', server=~"$server"'
SCOPES = {
    "@pool": CHOSEN + ', pool=~"$pool"',
    "@server": SERVER,
    "@database": SERVER + ', datname=~"$database", datname!~"template.*"',
    "@table": SERVER + ', datname=~"$database", schemaname=~"$schema", relname=~"$table"',
    "@statement": SERVER + ', datname=~"$database", queryid=~"$queryid"',
    # What the rules of alerts/rules.yml record of a server, and of an application with it.
    "@address": 'cluster=~"$cluster", address=~"$address"',
    "@job_address": 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job", address=~"$address"',
    "@pgbouncer": CHOSEN + ', pgbouncer=~"$pgbouncer"',
    "@": CHOSEN,
}
POOL = "cluster, namespace, job, pool"
# The one that is judged first, so that it heads the legend.
QUANTILES = (0.95, "p95"), (0.99, "p99"), (0.5, "p50")


def expand(expr):
    for scope, selector in SCOPES.items():
        expr = expr.replace("{" + scope + "}", "{" + selector + "}").replace("{" + scope + ",", "{" + selector + ",")
    expr = re.sub(r"([(,] *)@pool\b", rf"\1{POOL}", expr)
    return " ".join(expr.split())


def named(legend):
    """A legend with the names of what is written in short."""
    return legend.replace("{{@pool}}", " ".join(f"{{{{{label}}}}}" for label in POOL.split(", ")))


def highest(figure, over_all, by, count="$top"):
    """The series whose figure over the whole time shown is highest: those of each moment would together be many."""
    return f"{figure} and on ({by}) topk({count}, {over_all.replace('[$__range]', '[$__range] @ end()')})"


def per_second(counter, by, scope=None):
    """How fast a counter grows, by this label, of the pools, databases or instances that are chosen above."""
    scope = scope or {"@pool": "@pool", "datname": "@database", "server": "@server"}.get(by, "@")
    return f"sum by ({by}) (rate({counter}{{{scope}}}[$__rate_interval]))"


def per_minute(counter, by):
    return f"60 * {per_second(counter, by)}"


def over_range(rate):
    """A rate as the growth over the whole time shown."""
    return rate.replace("rate(", "increase(").replace("$__rate_interval", "$__range")


def leading(figure, by, ranked_by=None):
    """The series that were highest at some time shown, by their own figure or by another of the same labels."""
    return f"({figure}) and on ({by}) topk($top, max_over_time(({ranked_by or figure})[$__range:$__interval] @ end()))"


def busiest(rate, by, count="$top"):
    """The series of a rate that grew most over the time shown."""
    return highest(rate, over_range(rate), by, count)


def largest(gauge, by, count="$top"):
    """The series of a gauge that were highest at any time shown; `gauge` is a selector, or a sum of one."""
    return highest(gauge, re.sub(r"([a-z_]\w*\{[^}]*\})", r"max_over_time(\1[$__range])", gauge), by, count)


def or_none(expr, label, none="none"):
    """The series of an expression, or one whose label says that there is none."""
    return f'{expr} or on () label_replace(vector(0), "{label}", "{none}", "", "")'


def quantiles(metric, by, scope=None):
    """The quantiles of a histogram, as targets."""
    rate = per_second(f"{metric}_bucket", f"le, {by}", scope or by)
    by = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return [(f"histogram_quantile({q}, {rate})", f"{by} {p}") for q, p in QUANTILES]


def worst_first(metric, selector, label, none, *joined):
    """The series of a metric with a severity, or one whose label says that there is none. `joined` labels become one: of."""
    ranks = " or ".join(
        f'{rank} * {metric}{{{selector}, severity="{severity}"}}'
        for rank, severity in ((3, "critical"), (2, "warning"), (1, "info"))
    )
    expr = or_none(ranks, label, none)
    if joined:
        expr = f'label_join({expr}, "of", " ", {", ".join(json.dumps(name) for name in joined)})'
    return f"sort_desc({expr})"
