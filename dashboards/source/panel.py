"""The kinds of panels. A panel names the alerts that watch the same figure: their thresholds become its lines and colours,
and their runbooks its links.
"""

from . import alerts as rules
from .expression import expand, worst_first

ALERTS = rules.read()
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLORS = {"info": "blue", "warning": "orange", "critical": "red"}
SEVERITIES = {"critical": "✗ critical", "warning": "! warning", "info": "i info"}
STATUS = ("✓", "green"), ("!", "orange"), ("✗", "red")


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
    defaults.setdefault("noValue", "no data")
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


def answers():
    """Whether the server answers, as one word."""
    return stat("Database", "Whether PostgreSQL answers poolwatch.", "min(pg_up{@})", "short", ["DatabaseDown"], width=3,
                words={0: (2, "down"), 1: (0, "up")})


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
