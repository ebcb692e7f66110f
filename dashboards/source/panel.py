"""The kinds of panels. A panel names the alerts that watch the same figure: their thresholds become its lines and colours,
and their runbooks its links.
"""

import re

from . import alerts as rules
from .expression import expand, leading, named, worst_first

ALERTS = rules.read()
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLORS = {"info": "blue", "warning": "orange", "critical": "red"}
SEVERITIES = {"critical": ("✗ critical", "red"), "warning": ("! warning", "orange"), "info": ("i info", "blue")}
STATUS = ("✓", "green"), ("!", "orange"), ("✗", "red")
# Of what is not seen, which is neither well nor ill.
GREY = "#8e8e8e"
# What a panel without data says: the setting or the step that brings it, by the metric that it draws first.
WITHOUT = {
    r"db_(query|commit|n_plus|unpaginated)|db_pool_(acquire|hold|endpoint|workers|app_workers|pending|connecting|oldest|connections_|inherited|busiest|peak)":
        "not seen: the application's workers do not report: poolwatch.watch(engine)",
    r"db_pool_(capacity|size|max_overflow|utilization|status|overflow)": "not seen: the pool's size is not known (pools.NAME.activity.size)",
    r"pgbouncer_users_|pgbouncer_databases_(max|current)_client": "not seen: PgBouncer 1.24 or later shows it",
    r"pgbouncer_": "not seen: no PgBouncer is read (pools.NAME.pgbouncer.url)",
    r"db_statement_duration_(estimated|within)|pg_stat_statements_(?!query_id)": "not seen: CREATE EXTENSION pg_stat_statements",
    r"db_statement_|db_lock_wait|pg_connections_refused|poolwatch_log": "not seen: no log is read (logs.path)",
    r"pg_server_cpu": "not seen: poolwatch is not on the server's machine",
    r"pg_stat_io_": "not seen: PostgreSQL 16 or later shows it",
    r"pg_stat_lock_|pg_stat_autovacuum_scores|pg_multixact|pg_stat_recovery": "not seen: PostgreSQL 19 or later shows it",
    r"pg_stat_replication_|pg_replication_slots": "no replica and no slot",
    r"pg_stat_wal_receiver|pg_replication_replay|pg_replication_last": "not a standby",
    r"pg_stat_subscription": "no subscription",
    r"pg_stat_progress|pg_stat_activity_autovacuum": "none at work",
}


def without(expr):
    """The words of a panel that has no data."""
    first = re.search(r"[a-z][a-z0-9_]*(?=\{)", expr)
    return next((words for pattern, words in WITHOUT.items() if first and re.match(pattern, first[0])), "none")


def dashboard_link(title, uid, **variables):
    """A link to another dashboard with the same time and the same choice, and these variables: `queryid="${__data.fields.queryid}"`."""
    kept = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "cluster", "namespace", "job", "instance", "server"))
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return {"title": title, "url": f"/d/{uid}?${{__url_time_range}}&{kept}{chosen}", "targetBlank": False}


# Of these there may be thousands.
MANY = {"instance", "pool"}
# The units of figures that can be added up.
ADDED_UP = {"short", "ops", "bytes", "decbytes", "Bps"}


def bounded(targets, dashed, total):
    """Of the targets with a line for each pool or instance those lines that were highest, and one of all together. The quantiles of a
    pool, and what is drawn beside a figure in dashes, are shown of the pools that the first target shows."""
    lines_of_each, totals, first = [], {}, None
    for expr, legend in targets:
        legend = named(legend)
        labels = re.findall(r"\{\{(\w+)\}\}", legend)
        if not MANY & set(labels) or "topk(" in expr:
            lines_of_each.append((expr, legend))
            continue
        first = first or (labels, expr)
        beside = re.search(r" p\d\d$", legend) or dashed and re.search(dashed.strip("/"), legend)
        ranked_by = first[1] if beside and labels == first[0] else None
        lines_of_each.append((leading(expr, ", ".join(labels), ranked_by), legend))
        if total:
            words = re.sub(r"\{\{\w+\}\}", "", legend).split()
            totals.setdefault(" ".join(["all", *words]), f"sum({expr})")
    return lines_of_each, [(expr, legend) for legend, expr in totals.items()]


def thresholds(names):
    """Their steps. What no alert judges is neither well nor ill, and has no colour of its own."""
    steps, base = {}, "green" if names else "text"
    for alert in (ALERTS[name] for name in names):
        at, bad_above = alert.step
        if bad_above:
            steps[at] = COLORS[alert.severity]
        else:
            base, steps[at] = COLORS[alert.severity], "green"
    return {
        "mode": "absolute",
        "steps": [{"color": base, "value": None}] + [{"color": steps[at], "value": at} for at in sorted(steps)],
    }


def panel(kind, title, description, targets, unit, alerts=(), width=8, height=8, empty=None, **config):
    """What all panels have in common. `config` holds `defaults`, `custom`, `overrides` and `options`."""
    watched = f" Watched by {', '.join(alerts)}." if alerts else ""
    instant = kind == "table"
    form = {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series")
    return {
        "type": kind,
        "title": title,
        "description": description + watched,
        "datasource": SOURCE,
        "gridPos": {"h": height, "w": width},
        "links": [
            {"title": f"Runbook: {name}", "url": ALERTS[name].runbook_url, "targetBlank": True} for name in alerts
        ],
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "expr": expand(expr),
                "legendFormat": named(legend),
                "format": form,
                "instant": instant,
                "range": not instant,
            }
            for i, (expr, legend) in enumerate(targets)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "noValue": empty or without(targets[0][0]),
                "thresholds": thresholds(alerts),
                "color": {"mode": "palette-classic-by-name" if kind == "timeseries" else "thresholds"},
                **({"custom": config["custom"]} if "custom" in config else {}),
                **config.get("defaults", {}),
            },
            "overrides": config.get("overrides", []),
        },
        "options": config.get("options", {}),
    }


def stat(title, description, expr, unit, alerts=(), legend="", words=None, width=4, height=4, **defaults):
    """One figure now, with its recent course. `words` says figures in words, so that colour is not the only sign."""
    grey = {"index": 99, "color": GREY, "text": defaults.get("noValue", "not seen")}
    # Else no data would have the colour of the lowest figure, which is green.
    defaults["mappings"] = [{"type": "special", "options": {"match": "null+nan", "result": grey}}]
    if words:
        defaults["mappings"] += [
            {
                "type": "value",
                "options": {
                    str(value): {"index": i, "text": f"{STATUS[level][0]} {word}", "color": STATUS[level][1]}
                    for i, (value, (level, word)) in enumerate(words.items())
                },
            }
        ]
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none" if words else "area",
        "textMode": "value_and_name" if legend else "auto",
        "justifyMode": "auto",
        "orientation": "auto",
    }
    return panel("stat", title, description, [(expr, legend)], unit, alerts, width, height, defaults=defaults, options=options)


def answers():
    """Whether the server answers, as one word."""
    return stat("Database", "Whether PostgreSQL answers poolwatch.", "min(pg_up{@server})", "short", ["DatabaseDown"], width=3,
                words={0: (2, "down"), 1: (0, "up")})


def lines(title, description, targets, unit, alerts=(), width=8, height=8, stack=False, dashed=None, colors=None, empty=None, total=None,
          **defaults):
    """Figures over time, the alerts' thresholds drawn across. Quantiles differ by the style of their lines; `links` of the defaults lead on.

    `total` adds a line of all pools or instances together, as is done where figures can be added up.
    """
    if isinstance(targets, tuple):
        targets = [targets]
    if total is None:
        total = unit in ADDED_UP and not stack and "max" not in defaults
    targets, totals = bounded(targets, dashed, total)
    if totals:
        targets += totals
        dashed = f"/{dashed.strip('/')}|^all( |$)/" if dashed else "/^all( |$)/"
    defaults.setdefault("min", 0)
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stack else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if alerts else "off"},
        "axisSoftMin": 0,
    }

    def style(pattern, width, fill, dash):
        return {
            "matcher": {"id": "byRegexp", "options": pattern},
            "properties": [
                {"id": "custom.lineWidth", "value": width},
                {"id": "custom.lineStyle", "value": {"fill": fill, **({"dash": dash} if dash else {})}},
            ],
        }

    overrides = []
    if any(legend.endswith("p95") for _, legend in targets):
        overrides = [style("/p50$/", 1, "dot", [2, 6]), style("/p95$/", 2, "solid", None), style("/p99$/", 1, "dash", [10, 6])]
    if dashed:
        outline = style(dashed, 2, "dash", [10, 6])
        outline["properties"] += [
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "custom.stacking", "value": {"mode": "none", "group": "limit"}},
        ]
        overrides.append(outline)
    for name, color in (colors or {}).items():
        overrides.append({
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        })
    options = {
        "legend": (
            {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["lastNotNull", "max"]}
            if width >= 16
            else {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
        ),
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries", title, description, targets, unit, alerts, width, height, empty,
        custom=custom, defaults=defaults, overrides=overrides, options=options,
    )


def heatmap(title, description, metric, scope="@pool", width=12, height=8):
    """How many took how long, over time."""
    expr = f"sum by (le) (increase({metric}_bucket{{{scope}}}[$__rate_interval]))"
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": False},
        "yAxis": {"unit": "s", "axisPlacement": "left", "reverse": False},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": True},
        "filterValues": {"le": 1e-9},
        "showValue": "never",
    }
    return panel("heatmap", title, description, [(expr, "{{le}}")], "s", (), width, height, options=options)


def table(title, description, expr, unit, columns, width=8, height=8, value=None, words=None, wide=None, links=None, figures=None, sort=None, empty=None):
    """Rows now. `columns` names the labels shown, in order; `value` the column of the figure, if it says anything, which is the last unless
    `columns` has it as Value.

    `wide` is the one column that takes what room there is; `links` lead on from a column; `figures` are further columns, each
    with its expression and unit, in rows of the same labels; `sort` is the column to
    sort by from the lowest, where it is not the figure from the highest.
    """
    # Grafana would give a query id, which looks like a number, the unit of the figure.
    overrides = [
        {"matcher": {"id": "byName", "options": title}, "properties": [{"id": "unit", "value": "string"}]}
        for label, title in columns.items() if label != "Value"
    ]
    figures = figures or {}
    letters = [chr(ord("A") + i) for i in range(1 + len(figures))]
    named = dict(zip([f"Value #{letter}" for letter in letters] if figures else ["Value"], [value, *figures]))
    columns = list(columns.items()) + [(name, words) for name, words in named.items() if words and name not in columns]
    for title_of, (_, unit_of) in figures.items():
        overrides.append({"matcher": {"id": "byName", "options": title_of}, "properties": [{"id": "unit", "value": unit_of}]})
    for label, to in (links or {}).items():
        overrides.append({"matcher": {"id": "byName", "options": label}, "properties": [{"id": "links", "value": to}]})
    if wide:
        overrides += [
            {"matcher": {"id": "byName", "options": title}, "properties": [{"id": "custom.width", "value": 190 if title == "query id" and width == 24 else 108}]}
            for _, title in columns if title != wide
        ]
    for label, mapped in (words or {}).items():
        mapping = {str(k): {"index": i, "text": text, "color": color} for i, (k, (text, color)) in enumerate(mapped.items())}
        overrides.append({
            "matcher": {"id": "byName", "options": label},
            "properties": [
                {"id": "mappings", "value": [{"type": "value", "options": mapping}]},
                {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            ],
        })
    targets = [(expr, ""), *((other, "") for other, _ in figures.values())]
    together = [{"id": "merge", "options": {}}] if figures else []
    return {
        **panel(
            "table", title, description, targets, unit, (), width, height, empty, overrides=overrides,
            options={"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": [], "fields": ""},
                     **({"sortBy": [{"displayName": sort or value, "desc": not sort}]} if value else {})},
        ),
        "transformations": [
            *together,
            {"id": "filterFieldsByName", "options": {"include": {"names": [name for name, _ in columns]}}},
            {"id": "organize", "options": {
                "indexByName": {name: i for i, (name, _) in enumerate(columns)},
                "renameByName": dict(columns),
                "excludeByName": {},
            }},
        ],
    }


def firing(names, width=8, height=9):
    """The alerts that fire, the worst first, or one row that says none does."""
    # One column for what each is of: an alert has one of them at most.
    expr = worst_first("ALERTS", f'@, alertstate="firing", alertname=~"{names}"', "alertname", "✓ none", "pool", "datname", "subject")
    return table(
        "Which alerts are firing?",
        "Alerts as Prometheus holds them; the runbook of each is docs/runbooks.md under its name.",
        expr, "short",
        {"severity": "severity", "alertname": "alert", "of": "of", "instance": "instance"},
        width, height, words={"severity": SEVERITIES},
    )
