"""Reading a dashboard as Grafana does: its panels and its expressions, whoever wrote the file."""

import re


def panels_of(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def selector_of(variable):
    """What a variable takes its values from: the series and the label, or nothing when it is written otherwise."""
    found = re.fullmatch(r"label_values\((.+), *(\w+)\)", variable["query"])
    if not found and variable["query"].startswith("query_result("):
        return variable["query"].removeprefix("query_result(").removesuffix(")"), None
    return found.groups() if found else None


def expressions(dashboard):
    """Every expression with its place: of panels, of annotations and within variables."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            yield f'panel "{panel["title"]}"', target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f'annotation "{annotation["name"]}"', annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query" and selector_of(variable):
            yield f'variable {variable["name"]}', selector_of(variable)[0]


# What Grafana puts in for a variable when nothing is chosen; all others are All, as `.+`.
NOTHING_CHOSEN = {"cluster": ".*", "namespace": ".*", "server": ".*", "pgbouncer": ".*", "top": "10"}


def filled_in(expr, rate_interval, interval="1m", span="1h"):
    """The expression as it is when nothing is chosen."""
    for name, value in (("$__rate_interval", rate_interval), ("$__interval", interval), ("$__range", span)):
        expr = expr.replace(name, value)
    return re.sub(r"\$([a-zA-Z_]\w*)", lambda found: NOTHING_CHOSEN.get(found[1], ".+"), expr)
