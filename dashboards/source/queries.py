"""Queries: are they slow, is it the server, and which are they?"""

from .expression import busiest, or_none, over_range, per_minute, per_second, quantiles
from .frame import dashboard
from .panel import dashboard_link, firing, heatmap, lines, stat, table
from .statements import BY, CALLS, ROWS, SECONDS, figure, with_text

QUERY = per_second("db_query_duration_seconds_bucket", "le", "@pool")


def bounds(seconds):
    """The share of statements above a threshold: at least, as estimated, at most."""
    calls = per_second("db_statement_duration_estimated_seconds_count", "datname")

    def share(within):
        return f"1 - sum by (datname) (rate({within}[$__rate_interval])) / {calls}"

    within = f'db_statement_duration_within_total{{@database, threshold="{seconds}", bound="%s"}}'
    estimated = f'db_statement_duration_estimated_seconds_bucket{{@database, le="{seconds}"}}'
    # What the log settles later may raise the least count by more than ran since.
    return [(share(within % "upper"), "{{datname}} at least"), (share(estimated), "{{datname}} estimated"),
            (f"clamp_min({share(within % 'lower')}, 0)", "{{datname}} at most")]


NOW = [
    stat("p50", "Half of the queries are faster, as the client measures them.",
         f"histogram_quantile(0.5, {QUERY})", "s"),
    stat("p95", "19 of 20 queries are faster. The target is 100 ms; above 200 ms it is time to scale.",
         f"histogram_quantile(0.95, {QUERY})", "s", ["QueryLatencyAboveTarget", "QueryLatencyHigh"]),
    stat("p99", "99 of 100 queries are faster.", f"histogram_quantile(0.99, {QUERY})", "s", ["SlowQueries"]),
    stat("Queries", "Queries a second.", "sum(rate(db_query_duration_seconds_count{@pool}[$__rate_interval]))", "ops"),
    stat("Failing", "The share of queries that fail.",
         "sum(rate(db_query_errors_total{@pool}[$__rate_interval])) "
         "/ sum(rate(db_query_duration_seconds_count{@pool}[$__rate_interval]))", "percentunit", ["QueryErrors"]),
    stat("N+1 a minute", "Checkouts a minute that run one statement for each row of another (N+1).",
         "60 * sum(rate(db_n_plus_one_checkouts_total{@pool}[$__rate_interval]))", "short", ["NPlusOneQueries"], decimals=1),
]

SLOW = [
    lines("Query time of each pool", "The duration of queries as the application sees it: the server's time and the network.",
          quantiles("db_query_duration_seconds", "@pool"), "s",
          ["QueryLatencyAboveTarget", "QueryLatencyHigh", "SlowQueries"], width=16, height=9),
    firing("Query.*|Slow.*|Statement.*|Commit.*|Probe.*|NPlusOne.*|Unpaginated.*|Acquire.*|HoldTime.*|Index.*|Table.*"),
    heatmap("Query time, every query", "Queries by their duration. Two bands are two kinds of query; a band that "
            "rises is the server slowing down.", "db_query_duration_seconds"),
    lines("Queries of each pool", "Queries a second.",
          (per_second("db_query_duration_seconds_count", "@pool"), "{{@pool}}"), "ops", width=12),
]

WHERE = [
    lines("On the server, estimated", "Statement time inside the server, estimated from pg_stat_statements. Where this "
          "is flat and the client's is not, look at the network and the pool.",
          quantiles("db_statement_duration_estimated_seconds", "datname", "@database"), "s", width=12),
    lines("Above 200 ms on the server", "The share of statements that took longer than 200 ms inside the server. It lies between "
          "'at least' and 'at most', whatever the durations were; 'estimated' is the likeliest. Where the log is read "
          "and has all of these, the two are nearly the same.",
          bounds("0.2"), "percentunit", ["StatementLatencyHigh"], width=12),
    lines("On the server, from its log", "Statement time inside the server, parsing and planning included, exact for what is "
          "logged (logs in the settings). With log_min_duration_statement alone it is of the slower ones only.",
          quantiles("db_statement_duration_seconds", "datname", "@database"), "s", width=12),
    lines("Commit", "The duration of COMMIT: the disk, and replicas where it waits for them.",
          quantiles("db_commit_duration_seconds", "@pool"), "s", ["CommitLatencyHigh"], width=12),
    lines("SELECT 1", "poolwatch's own probe: the network and the server's shortest answer.",
          quantiles("db_probe_duration_seconds", "instance, server", "@server"), "s", ["ProbeLatencyHigh"], width=12),
]

LOGGED = [
    lines("Logged as slow", "Statements over a second a minute, counted in the server's log.",
          ('''60 * sum by (datname) (rate(db_statement_duration_seconds_count{@database}[$__rate_interval])
               - ignoring (le) rate(db_statement_duration_seconds_bucket{@database, le=~"1|1[.]0"}[$__rate_interval]))''',
           "{{datname}}"), "short", ["SlowStatementsLogged"]),
    lines("Errors", "Errors a minute by class, the first two characters of the SQLSTATE: 23 a constraint, 40 a deadlock or "
          "serialization failure, 53 a lack of resources, 57 a cancellation.",
          (f'60 * {per_second("db_statement_errors_total", "datname, class", "@database")}', "{{datname}} {{class}}"), "short"),
    lines("Cancelled and refused", "Statements and sessions a minute that were cancelled or terminated, and connections that "
          "the server refused.",
          [(f'60 * {per_second("db_statement_cancellations_total", "reason", "@database")} > 0', "{{reason}}"),
           (f'60 * {per_second("pg_connections_refused_total", "reason")} > 0', "refused: {{reason}}")], "short"),
    lines("Log read", "Bytes of the server's log a second, and those that are still to be read because it grows faster than logs.read_limit.",
          [("sum by (instance) (rate(poolwatch_log_bytes_total{@}[$__rate_interval]))", "{{instance}} read a second"),
           ("max by (instance) (poolwatch_log_unread_bytes{@})", "{{instance}} unread")], "bytes"),
    lines("Messages of the log", "Messages a second, and those that could not be counted, by reason.",
          [("sum by (instance) (rate(poolwatch_log_messages_total{@}[$__rate_interval]))", "{{instance}} read"),
           (or_none("sum by (reason) (rate(poolwatch_log_messages_rejected_total{@}[$__rate_interval])) > 0", "reason"), "rejected: {{reason}}")], "ops"),
    lines("Logged from", "The log has statements that took at least so long: figures from it are of those alone. 0 is all.",
          ("max by (datname, instance) (db_statement_duration_counted_from_seconds{@})", "{{instance}} {{datname}}"), "s"),
]

STATEMENT = {"query": "statement", "queryid": "query id", "datname": "database", "user": "user"}
TEXT = ("Those of the role poolwatch are left out. Choose one to see it over time. The text is there with "
        "collectors.stat_statements.include_query; else SELECT query FROM pg_stat_statements WHERE queryid = …")
ONE = dashboard_link("This statement over time", "poolwatch-statement", queryid="${__data.fields.queryid}")
OF_LINE = dashboard_link("This statement over time", "poolwatch-statement", queryid="${__field.labels.queryid}")


def statements(title, description, figure, unit, value, width=24, **more):
    """The statements that head the whole time shown, so that the culprit is there afterwards too."""
    columns = STATEMENT if width == 24 else {label: title for label, title in STATEMENT.items() if label != "user"}
    return table(title, f"{description} {TEXT}.", with_text(f"topk($top, {figure})"), unit, columns, value=value, height=10, width=width,
                 wide="statement", links={"statement": [ONE], "query id": [ONE]}, **more)


def over_time(title, description, figure, unit):
    """The statements that were highest in the time shown, by their texts."""
    return lines(title, description, (with_text(f"({busiest(figure, BY)})", 60), "{{query}}"), unit, width=24, links=[OF_LINE])


TIME, RUNS = over_range(SECONDS), over_range(CALLS)
ALL = "sum(increase(pg_stat_statements_seconds_total{@database}[$__range]))"
WHICH = [
    statements("Statements that cost the most", "Time the server spent on each statement in the whole time shown.", TIME, "s", "time",
               figures={"share": (with_text(f"topk($top, {TIME}) / on () group_left () {ALL}"), "percentunit"),
                        "calls": (with_text(f"({RUNS} and on ({BY}) topk($top, {TIME}))"), "short"),
                        "mean": (with_text(f"({TIME} / ({RUNS} > 0) and on ({BY}) topk($top, {TIME}))"), "s"),
                        "rows": (with_text(f"({over_range(ROWS)} and on ({BY}) topk($top, {TIME}))"), "short")}),
    over_time("Time on the costliest statements", "Seconds a second the server spends on the statements that cost the most in the time shown: "
              "what changed when it became slow?", SECONDS, "s"),
    statements("Statements slowest on average", "Mean time of a call in the time shown.", f"{TIME} / ({RUNS} > 0)", "s", "mean time", 12),
    statements("Statements called most", "Calls in the time shown. Many calls of a fast statement are often N+1.", RUNS, "short", "calls", 12),
    statements("Statements that return the most rows", "Rows returned or changed in the time shown.", over_range(ROWS), "short", "rows", 12),
    statements("Statements that read the most", "Blocks that were not in shared buffers, in the time shown.",
               over_range(figure("shared_blocks_read_total")), "short", "blocks", 12),
    statements("Statements that write temporary files", "Blocks written to sort and join what does not fit in work_mem, in the time shown.",
               over_range(figure("temp_blocks_written_total")) + " > 0", "short", "blocks", 12,
               empty="none wrote any"),
    statements("Statements that write the most WAL", "Bytes of write-ahead log in the time shown.", over_range(figure("wal_bytes_total")), "bytes",
               "WAL", 12),
    lines("Statements forgotten", "Statements a minute that pg_stat_statements forgot, because there were more than pg_stat_statements.max: "
          "the tables above miss them.",
          ("60 * sum by (instance, server) (rate(pg_stat_statements_deallocations_total{@server}[$__rate_interval]))", "{{instance}} {{server}}"), "short", width=12),
    lines("Statistics began", "How long ago the statistics of statements began: a fall to zero is a reset.",
          ("time() - pg_stat_statements_reset_timestamp_seconds{@server}", "{{instance}} {{server}}"), "s", width=12),
]

APPLICATION = [
    lines("Failing queries", "Queries a second that fail, as the client sees.",
          (per_second("db_query_errors_total", "@pool"), "{{@pool}}"), "ops"),
    lines("N+1", "Checkouts a minute that run one statement for each row of another. Load the relation eagerly.",
          (per_minute("db_n_plus_one_checkouts_total", "@pool"), "{{@pool}}"), "short",
          ["NPlusOneQueries"]),
    lines("Queries without LIMIT", "Queries a minute without LIMIT that return a thousand rows or more. Paginate.",
          (per_minute("db_unpaginated_queries_total", "@pool"), "{{@pool}}"), "short",
          ["UnpaginatedQueries"]),
]

DASHBOARD = dashboard(
    "poolwatch-queries", "poolwatch / Queries", "Are the queries slow, where, and which?",
    [
        ("Are queries slow now?", NOW),
        ("Since when, and all of them?", SLOW),
        ("Is it the server, the disk or the network?", WHERE),
        ("Which statements?", WHICH),
        ("What does the application do wrong?", APPLICATION),
    ],
    collapsed=[("What does the server's log say? (with logs in the settings)", LOGGED)],
)
