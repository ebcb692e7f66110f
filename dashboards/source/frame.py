"""The frame around the panels: the variables chosen above, the annotations, the rows."""

from .expression import expand
from .panel import SOURCE


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
