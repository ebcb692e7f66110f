"""One statement: since when is it slow, and why?"""

from .expression import QUANTILES, RATE
from .frame import dashboard
from .panel import lines, stat, table
from .statements import with_text


def of(counter, by="datname, user"):
    return f"sum by ({by}) (rate(pg_stat_statements_{counter}{{@statement}}{RATE}))"


def whole(counter):
    return f"sum(increase(pg_stat_statements_{counter}{{@statement}}[$__range]))"


BY = "{{datname}} {{user}}"
TEXT = with_text("sum by (datname, user, queryid) (increase(pg_stat_statements_calls_total{@statement}[$__range]))")
NOW = [
    table("Which statement is it?", "Its text, with collectors.stat_statements.include_query, and who runs it where. Another one is chosen at the top, where "
          "those that cost the most in the time shown come first.", f"topk(20, {TEXT})", "short",
          {"query": "statement", "queryid": "query id", "datname": "database", "user": "user"}, width=24, height=5, value="calls", wide="statement"),
    stat("Time", "Seconds that the server spent on it in the time shown.", whole("seconds_total"), "s"),
    stat("Share of all", "Its share of the time of all statements, in the time shown.",
         f"{whole('seconds_total')} / sum(increase(pg_stat_statements_seconds_total{{@database}}[$__range]))", "percentunit"),
    stat("Calls", "How many times it ran in the time shown.", whole("calls_total"), "short"),
    stat("Mean time", "The mean time of a call in the time shown.", f"{whole('seconds_total')} / ({whole('calls_total')} > 0)", "s"),
    stat("Rows a call", "Rows that a call returned or changed.", f"{whole('rows_total')} / ({whole('calls_total')} > 0)", "short"),
    stat("Cache hits", "The share of its blocks found in shared buffers.",
         f"{whole('shared_blocks_hit_total')} / ({whole('shared_blocks_hit_total')} + {whole('shared_blocks_read_total')} > 0)", "percentunit", decimals=1),
]
ESTIMATED = f"sum by (le) (rate(db_statement_duration_by_statement_estimated_seconds_bucket{{@statement}}{RATE}))"
COURSE = [
    lines("Mean time of a call", "Since when is it slow? Planning is left out.", (f"{of('seconds_total')} / ({of('calls_total')} > 0)", BY), "s", width=12),
    lines("How long do its calls take?", "The quantiles of its calls, estimated, with collectors.statement_durations.limit. A p99 far above the p50 is calls of two kinds.",
          [(f"histogram_quantile({q}, {ESTIMATED})", p) for q, p in QUANTILES], "s", width=12,
          empty="not seen: set collectors.statement_durations.limit, or it is not among the costliest"),
    lines("Its calls", "Calls a second. More calls of the same mean time are more work, not a slower server.", (of("calls_total"), BY), "ops"),
    lines("Its time a second", "Seconds a second the server spends on it.", (of("seconds_total"), BY), "s"),
    lines("Its rows a call", "Rows that a call returns or changes: a step up is more data, or a lost LIMIT.", (f"{of('rows_total')} / ({of('calls_total')} > 0)", BY), "short"),
]
WHY = [
    lines("Blocks of a call", "Blocks that a call finds in shared buffers and reads: a step up is another plan, or a larger table.",
          [(f"{of('shared_blocks_hit_total', 'queryid')} / ({of('calls_total', 'queryid')} > 0)", "found"),
           (f"{of('shared_blocks_read_total', 'queryid')} / ({of('calls_total', 'queryid')} > 0)", "read")], "short"),
    lines("Time of reading and writing of a call", "Of the mean time, what went into blocks, with track_io_timing.",
          [(f"{of('block_read_seconds_total', 'queryid')} / ({of('calls_total', 'queryid')} > 0)", "reading"),
           (f"{of('block_write_seconds_total', 'queryid')} / ({of('calls_total', 'queryid')} > 0)", "writing")], "s"),
    lines("Temporary blocks of a call", "Blocks written because work_mem did not suffice.",
          (f"{of('temp_blocks_written_total', 'queryid')} / ({of('calls_total', 'queryid')} > 0)", "written"), "short"),
    lines("WAL of a call", "Bytes of write-ahead log that a call writes.", (f"{of('wal_bytes_total', 'queryid')} / ({of('calls_total', 'queryid')} > 0)", "WAL"), "bytes", width=12),
    lines("Plans of its prepared calls", "Calls a second with a plan made once for all parameters, and planned for their own. A change from one to the other "
          "often is the reason.",
          [(of("generic_plan_calls_total", "queryid"), "generic"), (of("custom_plan_calls_total", "queryid"), "custom")], "ops", width=12),
]

DASHBOARD = dashboard(
    "poolwatch-statement", "poolwatch / One statement", "Since when is this statement slow, and why?",
    [("What is it, and what did it cost?", NOW), ("Since when?", COURSE), ("Why?", WHY)],
)
