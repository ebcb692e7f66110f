"""The frame around the panels: the variables chosen above, the annotations, the rows."""

import json

from .expression import expand, over_range
from .panel import SOURCE
from .statements import SECONDS, with_text


def variable(name, query, label=None, all_value=".+", **more):
    return {
        "type": "query", "name": name, "label": label or name.capitalize(), "query": expand(query), "definition": expand(query),
        "datasource": SOURCE, "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": all_value, "regex": "", "hide": 0,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [], **more,
    }


def one_of(name, query, label, **more):
    """A variable of which one value is chosen: the first, unless a link says which."""
    made = variable(name, query, label, multi=False, includeAll=False, current={}, **more)
    del made["allValue"]
    return made


# Of the labels that a scrape may have or not, All is what also stands for none.
ANY = ".*"
VARIABLES = {
    "cluster": variable("cluster", "label_values(poolwatch_build_info, cluster)", all_value=ANY),
    "namespace": variable("namespace", 'label_values(poolwatch_build_info{cluster=~"$cluster"}, namespace)', all_value=ANY),
    "job": variable("job", 'label_values(poolwatch_build_info{cluster=~"$cluster", namespace=~"$namespace"}, job)'),
    "instance": variable(
        "instance", 'label_values(poolwatch_build_info{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}, instance)'),
    "server": variable("server", "label_values(pg_up{@}, server)", all_value=ANY),
    "pool": variable("pool", "label_values(db_pool_info{@}, pool)"),
    "pgbouncer": variable("pgbouncer", "label_values(pgbouncer_up{@}, pgbouncer)", "PgBouncer", ANY),
    "address": variable("address", 'label_values(address:pg_connections_usable:max{cluster=~"$cluster"}, address)', "Server's address"),
    "database": variable("database", 'label_values(pg_stat_database_numbackends{@server, datname!~"template.*"}, datname)'),
    "schema": variable("schema", "label_values(pg_stat_user_tables_n_live_tup{@database}, schemaname)"),
    "table": one_of("table", 'label_values(pg_stat_user_tables_n_live_tup{@database, schemaname=~"$schema", relname!="other"}, relname)', "Table"),
    "queryid": one_of("queryid", f"query_result(sort_desc({with_text(over_range(SECONDS))}))", "Statement", sort=0,
                      regex='/query="(?<text>.*)",queryid="(?<value>-?[0-9]+)"/'),
    "top": {
        "type": "custom", "name": "top", "label": "Top N", "query": "5,10,20,50", "multi": False, "includeAll": False, "hide": 0,
        "current": {"selected": True, "text": "10", "value": "10"},
        "options": [{"text": n, "value": n, "selected": n == "10"} for n in ("5", "10", "20", "50")],
    },
}
# Those of the scrape are on every dashboard; others where a panel asks for them.
ALWAYS = "cluster", "namespace", "job", "instance"


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


def dashboard(uid, title, description, rows, collapsed=()):
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
    text = json.dumps(panels)
    asked = [name for name in VARIABLES if name in ALWAYS or f"${name}" in text]
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
            {"title": "All of poolwatch", "type": "dashboards", "tags": ["poolwatch"], "asDropdown": True, "includeVars": True,
             "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}
        ],
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "current": {},
                 "hide": 0, "includeAll": False, "multi": False, "options": [], "refresh": 1, "regex": ""},
                *(VARIABLES[name] for name in asked),
            ]
        },
        "panels": panels,
    }
