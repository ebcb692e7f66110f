"""The vocabulary of the dashboards: panels, rows which ask a question, and the frame around them.

In expressions {@} stands for the job and instance chosen above, {@pool} and {@database} for those with the pool or
database: `db_pool_pending{@pool}`. A panel names the alerts which watch the same figure; their thresholds become its
lines and colours, and their runbooks its links.
"""

import json

from . import alerts as rules

ALERTS = rules.read()
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN = 'job=~"$job", instance=~"$instance"'
SCOPES = {"@pool": CHOSEN + ', pool=~"$pool"', "@database": CHOSEN + ', datname=~"$database", datname!~"template.*"', "@": CHOSEN}
COLORS = {"info": "blue", "warning": "orange", "critical": "red"}
# The one that is judged first, so that it heads the legend.
QUANTILES = (0.95, "p95"), (0.99, "p99"), (0.5, "p50")
SEVERITIES = {"critical": "✗ critical", "warning": "! warning", "info": "i info"}
STATUS = ("✓", "green"), ("!", "orange"), ("✗", "red")


def expand(expr):
    for scope, selector in SCOPES.items():
        expr = expr.replace("{" + scope + "}", "{" + selector + "}").replace("{" + scope + ",", "{" + selector + ",")
    return " ".join(expr.split())


def highest(count, figure, over_all, by):
    """The series whose figure over the whole time shown is highest: those of each moment would together be many."""
    return f"{figure} and on ({by}) topk({count}, {over_all.replace('[$__range]', '[$__range] @ end()')})"


def quantiles(metric, by, scope=None):
    """The quantiles of a histogram, as targets."""
    rate = f"sum by (le, {by}) (rate({metric}_bucket{{{scope or '@' + by}}}[$__rate_interval]))"
    return [(f"histogram_quantile({q}, {rate})", f"{{{{{by}}}}} {p}") for q, p in QUANTILES]


def thresholds(names):
    steps, base = {}, "green"
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


def panel(kind, title, description, targets, unit, alerts=(), width=8, height=8, **config):
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
                "legendFormat": legend,
                "format": form,
                "instant": instant,
                "range": not instant,
            }
            for i, (expr, legend) in enumerate(targets)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
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
    defaults.setdefault("noValue", "not seen")
    if words:
        defaults["mappings"] = [
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


def lines(title, description, targets, unit, alerts=(), width=8, height=8, stack=False, dashed=None, colors=None, **defaults):
    """Figures over time, the alerts' thresholds drawn across. Quantiles differ by the style of their lines."""
    if isinstance(targets, tuple):
        targets = [targets]
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
        "timeseries", title, description, targets, unit, alerts, width, height,
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


def table(title, description, expr, unit, columns, width=8, height=8, value=None, words=None, wide=None):
    """Rows now. `columns` names the labels shown, in order; `value` the column of the figure, if it says anything.

    `wide` is the one column that takes what room there is.
    """
    # Grafana would give a query id, which looks like a number, the unit of the figure.
    overrides = [
        {"matcher": {"id": "byName", "options": title}, "properties": [{"id": "unit", "value": "string"}]}
        for title in columns.values()
    ]
    columns = list(columns.items()) + ([("Value", value)] if value else [])
    if wide:
        overrides += [
            {"matcher": {"id": "byName", "options": title}, "properties": [{"id": "custom.width", "value": 108}]}
            for _, title in columns if title != wide
        ]
    for label, mapped in (words or {}).items():
        mapping = {k: {"index": i, "text": v, "color": COLORS[k]} for i, (k, v) in enumerate(mapped.items())}
        overrides.append({
            "matcher": {"id": "byName", "options": label},
            "properties": [
                {"id": "mappings", "value": [{"type": "value", "options": mapping}]},
                {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            ],
        })
    return {
        **panel(
            "table", title, description, [(expr, "")], unit, (), width, height, overrides=overrides,
            options={"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": [], "fields": ""},
                     **({"sortBy": [{"displayName": value, "desc": True}]} if value else {})},
        ),
        "transformations": [
            {"id": "filterFieldsByName", "options": {"include": {"names": [name for name, _ in columns]}}},
            {"id": "organize", "options": {
                "indexByName": {name: i for i, (name, _) in enumerate(columns)},
                "renameByName": dict(columns),
                "excludeByName": {},
            }},
        ],
    }


def worst_first(metric, selector, label, none, *joined):
    """The series of a metric with a severity, or one whose label says that there is none. `joined` labels become one: of."""
    ranks = " or ".join(
        f'{rank} * {metric}{{{selector}, severity="{severity}"}}'
        for rank, severity in ((3, "critical"), (2, "warning"), (1, "info"))
    )
    expr = f'{ranks} or on () label_replace(vector(0), "{label}", "{none}", "", "")'
    if joined:
        expr = f'label_join({expr}, "of", " ", {", ".join(json.dumps(name) for name in joined)})'
    return f"sort_desc({expr})"


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


def variable(name, label, query):
    return {
        "type": "query", "name": name, "label": label, "query": query, "definition": query, "datasource": SOURCE,
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".+", "regex": "", "hide": 0,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [],
    }


VARIABLES = {
    "job": variable("job", "Job", "label_values(poolwatch_build_info, job)"),
    "instance": variable("instance", "Instance", 'label_values(poolwatch_build_info{job=~"$job"}, instance)'),
    "pool": variable("pool", "Pool", expand('label_values(db_pool_info{@}, pool)')),
    "database": variable("database", "Database", expand('label_values(pg_stat_database_numbackends{@, datname!~"template.*"}, datname)')),
}


def annotation(name, expr, color, text, enable=True, **more):
    return {
        "name": name, "datasource": SOURCE, "enable": enable, "hide": False, "iconColor": color,
        "expr": expand(expr), "step": "60s", "titleFormat": name, "textFormat": text, **more,
    }


def begun(severity):
    """When the condition of each alert that fires began, in milliseconds."""
    return (f'1000 * ALERTS_FOR_STATE{{@, severity{severity}}} '
            f'and ignoring (alertstate) ALERTS{{@, alertstate="firing", severity{severity}}}')


# A line where each begins, rather than a tint as long as it lasts: tints lie upon one another and hide what is beneath.
ANNOTATIONS = [
    annotation("Critical alert", begun('="critical"'), "red", "{{alertname}} {{pool}}{{datname}}", useValueForTime=True),
    # To be switched on at the top: they are many.
    annotation("Other alert", begun('!="critical"'), "orange", "{{alertname}} ({{severity}}) {{pool}}{{datname}}{{subject}}",
               enable=False, useValueForTime=True),
    annotation("poolwatch started", "process_start_time_seconds{@} * 1000", "blue", "{{instance}}", useValueForTime=True),
    annotation("PostgreSQL started", "pg_postmaster_start_time_seconds{@} * 1000", "purple", "{{instance}} {{server}}",
               useValueForTime=True),
]


def dashboard(uid, title, description, rows, variables=(), collapsed=()):
    """The frame: rows of panels laid out from left to right, 24 columns wide. The last rows may be collapsed."""
    panels, y = [], 0
    for question, members in (*rows, *collapsed):
        row = {"type": "row", "title": question, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}}
        panels.append(row)
        if (question, members) in collapsed:
            row.update(collapsed=True, panels=members)
        y, x, tallest = y + 1, 0, 0
        for member in members:
            place = member["gridPos"]
            if x + place["w"] > 24:
                y, x, tallest = y + tallest, 0, 0
            place.update(x=x, y=y)
            x, tallest = x + place["w"], max(tallest, place["h"])
            if not row["collapsed"]:
                panels.append(member)
        y += tallest
    for number, member in enumerate((one for member in panels for one in (member, *member.get("panels", ()))), 1):
        member["id"] = number
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["poolwatch"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "annotations": {"list": ANNOTATIONS},
        "links": [
            {"title": "poolwatch", "type": "dashboards", "tags": ["poolwatch"], "asDropdown": False, "includeVars": True,
             "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}
        ],
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "current": {},
                 "hide": 0, "includeAll": False, "multi": False, "options": [], "refresh": 1, "regex": ""},
                *(VARIABLES[name] for name in ("job", "instance", *variables)),
            ]
        },
        "panels": panels,
    }
