"""The words of which the cases are made. A case is a stretch of time with series, and what is expected when.

A series is written in short: `db_pool_pending{pool=web}` stands for
`db_pool_pending{job="poolwatch", instance="app1:8001", pool="web"}`. Its values are in promtool's own notation: `0x9` is
ten zeros, `2+2x3` is 2 4 6 8, `_` is a scrape without a sample, and `stale` ends a series.
"""

TARGET = {"job": "poolwatch", "instance": "app1:8001"}
# A minute's sample comes a millisecond early: one on the very edge of a range, which no real scrape hits, would be in it
# for Prometheus 2 and not for 3.
MINUTE = "59s999ms"


def alert(name, severity, labels, series, *, pending, fires, over):
    """The life of an alert, by which its case is named: not yet firing at `pending`; at the times in `fires` it fires with
    these labels (in short, as in a series; `instance=` stands for none) and the description that follows; silent at `over`,
    when the trouble has been over for less than five minutes."""
    checks = [silent(name, pending), *(firing(name, severity, labels, times, text) for times, text in fires.items())]
    return case(name, series, *checks, silent(name, over))


def case(name, series, *checks, interval=MINUTE):
    """Anything else: a system that is healthy though odd, or a trouble that must be found. Checks are made by what follows."""
    return {
        "name": name,
        "interval": interval,
        "input_series": [{"series": series_of(short), "values": values} for short, values in series.items()],
        "checks": [check for some in checks for check in some],
    }


def silent(name, times):
    """The alert does not fire at these times (separated by spaces)."""
    return [("alert_rule_test", {"eval_time": time, "alertname": name}) for time in times.split()]


def firing(name, severity, labels, times, description):
    """The alert fires at these times for one set of labels."""
    expected = {label: value for label, value in labels_of(labels).items() if value} | {"severity": severity}
    alerts = [{"exp_labels": expected, "exp_annotations": {"description": description}}]
    return [("alert_rule_test", {"eval_time": time, "alertname": name, "exp_alerts": alerts}) for time in times.split()]


def no_alert(times):
    """No alert at all is pending or firing."""
    return shows(times, "ALERTS")


def none_fires(times):
    """Some may be pending, but none fires."""
    return shows(times, 'ALERTS{alertstate="firing"}')


def fires_once(name, times):
    """The alert fires for one set of labels, whatever they are."""
    return shows(times, f'count(ALERTS{{alertname="{name}", alertstate="firing"}})', "{}")


def shows(times, expr, labels=None):
    """An expression gives nothing, or 1 with these labels."""
    samples = {"exp_samples": [{"labels": labels, "value": 1}]} if labels else {}
    return [("promql_expr_test", {"eval_time": time, "expr": expr, **samples}) for time in times.split()]


def series_of(short):
    name, _, labels = short.rstrip("}").partition("{")
    return name + "{" + ", ".join(f'{label}="{value}"' for label, value in labels_of(labels).items()) + "}"


def labels_of(short):
    return TARGET | dict(label.split("=", 1) for label in short.split(", ") if label)


def histogram(name, buckets):
    """The series of a histogram, by upper bound; the count is the bucket +Inf."""
    name, _, labels = name.rstrip("}").partition("{")
    series = {f"{name}_bucket{{{labels}, le={bound}}}": values for bound, values in buckets.items()}
    return series | {f"{name}_count{{{labels}}}": buckets["+Inf"]}


def longest_transaction(values, state="active", user="bot", application="reddit-bot", backend="client backend", wait=("", "")):
    """The longest transaction of such sessions, as pg_stat_activity shows them."""
    of_whom = f"datname=redditbot, state={state}, usename={user}, application_name={application}, backend_type={backend}"
    return {f"pg_stat_activity_max_tx_duration{{{of_whom}, wait_event_type={wait[0]}, wait_event={wait[1]}}}": values}
