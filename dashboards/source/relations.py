"""Tables by database, schema and name, and the way to the dashboard of one."""

from .expression import RATE, busiest
from .panel import dashboard_link, lines, table

TABLE = "datname, schemaname, relname"
NAME = "{{datname}}.{{relname}}"
COLUMNS = {"relname": "table", "schemaname": "schema", "datname": "database"}
OPEN = [dashboard_link("This table over time", "poolwatch-table", database="${__data.fields.datname}", schema="${__data.fields.schemaname}",
                       table="${__data.fields.relname}")]
OPEN_LINE = [dashboard_link("This table over time", "poolwatch-table", database="${__field.labels.datname}", schema="${__field.labels.schemaname}",
                            table="${__field.labels.relname}")]


def of_tables(metric, by=TABLE):
    return f"sum by ({by}) (pg_stat_user_tables_{metric}{{@database}})"


def a_second(metric):
    return f"sum by ({TABLE}) (rate(pg_stat_user_tables_{metric}{{@database}}{RATE}))"


def tables(title, description, expr, unit, value, width=12, figures=None):
    """The tables with the highest figure, with further figures of them."""
    highest = f"topk($top, {expr})"
    figures = {words: (f"({other}) and on ({TABLE}) {highest}", unit_of) for words, (other, unit_of) in (figures or {}).items()}
    return table(title, description, highest, unit, COLUMNS, value=value, width=width, links={"table": OPEN}, figures=figures)


def busiest_tables(title, description, metric, width=12):
    return lines(title, description, (f"{busiest(a_second(metric), TABLE)} > 0", NAME), "ops", width=width, links=OPEN_LINE)
