"""Statements: their figures with their texts, and the way to the dashboard of one."""

BY = "datname, user, queryid"
# poolwatch's own are left out, and the sum of those that are not shown by themselves.
SHOWN = 'user!="poolwatch", queryid!="other"'


def figure(counter):
    """A counter of pg_stat_statements a second, by statement."""
    return f"sum by ({BY}) (rate(pg_stat_statements_{counter}{{@database, {SHOWN}}}[$__rate_interval]))"


SECONDS, CALLS, ROWS = figure("seconds_total"), figure("calls_total"), figure("rows_total")


def with_text(expr, characters=None):
    """A figure by statement with its text in the label query, as poolwatch saw it at any time shown, or else its id."""
    text = "topk by (queryid) (1, last_over_time(pg_stat_statements_query_id{@server}[$__range]))"
    found = f'{expr} * on (queryid) group_left (query) {text} or on ({BY}) label_replace({expr}, "query", "$1", "queryid", "(.*)")'
    return f'label_replace({found}, "query", "$1…", "query", "(.{{{characters}}}).+")' if characters else found
