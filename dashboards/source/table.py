"""One table: who reads and writes it, does vacuum keep up, which of its indexes serve?"""

from .expression import RATE
from .frame import dashboard
from .panel import lines, stat
from .panel import table as rows


def of(metric):
    return f"sum by (datname, schemaname, relname) (pg_stat_user_tables_{metric}{{@table}})"


def a_second(family):
    return f"sum(rate({family}{{@table}}{RATE}))"


def use(metric):
    return a_second(f"pg_stat_user_tables_{metric}")


def since(what):
    return f"time() - max(pg_stat_user_tables_last_{what}{{@table}})"


def hit(part):
    found, read = (a_second(f"pg_statio_user_tables_{part}_blocks_{kind}") for kind in ("hit", "read"))
    return f"{found} / ({found} + {read} > 0)"


NOW = [
    stat("Rows", "Live rows, as estimated.", "sum(pg_stat_user_tables_n_live_tup{@table})", "short"),
    stat("Size", "What the table takes with TOAST, without its indexes.", "sum(pg_stat_user_tables_table_size_bytes{@table})", "bytes"),
    stat("Size of its indexes", "What its indexes take.", "sum(pg_stat_user_tables_index_size_bytes{@table})", "bytes"),
    stat("Dead", "The share of its rows that are dead.",
         "sum(pg_stat_user_tables_n_dead_tup{@table}) / (sum(pg_stat_user_tables_n_live_tup{@table}) + sum(pg_stat_user_tables_n_dead_tup{@table}) > 0)", "percentunit",
         ["DeadTuplesHigh"], decimals=1),
    stat("Vacuumed", "How long ago it was last vacuumed, by autovacuum or by hand.",
         "time() - max(pg_stat_user_tables_last_autovacuum{@table} or pg_stat_user_tables_last_vacuum{@table})", "s", noValue="never"),
    stat("Age", "Transactions since the oldest in it that is not frozen.", "max(pg_table_xid_age{@table})", "short", noValue="not among the oldest"),
]
READS = [
    lines("Scans", "Scans a second of the whole table, and by an index.", [(use("seq_scan"), "whole table"), (use("idx_scan"), "by an index")], "ops"),
    lines("Rows read", "Rows a second read by scans of the whole table, and fetched by an index.", [(use("seq_tup_read"), "whole table"), (use("idx_tup_fetch"), "by an index")], "ops"),
    lines("Blocks found in shared buffers", "The share, of the table, its indexes, its TOAST table and the index of that.",
          [(hit(part), words) for part, words in (("heap", "table"), ("idx", "indexes"), ("toast", "TOAST"), ("tidx", "index of TOAST"))], "percentunit", max=1),
]
WRITES = [
    lines("Rows written", "Rows a second inserted, updated and deleted.",
          [(use(f"n_tup_{kind}"), words) for kind, words in (("ins", "inserted"), ("upd", "updated"), ("del", "deleted"))], "ops"),
    lines("Kinds of updates", "Updates a second, those without a new index entry, and those onto another page.",
          [(use("n_tup_upd"), "all"), (use("n_tup_hot_upd"), "without a new index entry"), (use("n_tup_newpage_upd_total"), "onto another page")], "ops"),
    lines("Rows changed since the last analyze", "The planner's figures are of before.", (of("n_mod_since_analyze"), "{{schemaname}}.{{relname}}"), "short"),
]
VACUUM = [
    lines("Live and dead rows", "Rows, as estimated.", [("sum(pg_stat_user_tables_n_live_tup{@table})", "live"), ("sum(pg_stat_user_tables_n_dead_tup{@table})", "dead")], "short"),
    lines("Since the last vacuum and analyze", "A fall to zero is one that ended.",
          [(since("autovacuum"), "autovacuum"), (since("vacuum"), "vacuum"), (since("autoanalyze"), "autoanalyze"), (since("analyze"), "analyze")], "s"),
    lines("Time of vacuums", "Seconds a second spent on it.",
          [(use(f"{kind}_seconds_total"), kind) for kind in ("autovacuum", "vacuum", "autoanalyze", "analyze")], "s"),
    lines("Vacuums and analyzes of it", "In an hour.",
          [(f"3600 * {use(f'{kind}_count')}", kind) for kind in ("autovacuum", "vacuum", "autoanalyze", "analyze")], "short", width=12),
    lines("Its urgency for autovacuum", "Above 1 autovacuum takes it; of the tables that are the most urgent.",
          [(f"max(pg_stat_autovacuum_scores_{kind}score{{@table}})", words)
           for kind, words in (("vacuum_", "dead rows"), ("vacuum_insert_", "inserts"), ("analyze_", "analyze"), ("xid_", "freeze"), ("mxid_", "freeze of multitransactions"))],
          "short", width=12),
]
INDEXES = [
    rows("Its indexes", "Scans and rows in the time shown. Those of no scan serve nobody, unless they keep rows unique.",
         "sum by (indexrelname) (increase(pg_stat_user_indexes_idx_scan_total{@table}[$__range]))", "short", {"indexrelname": "index"}, width=12, value="scans",
         figures={"entries": ("sum by (indexrelname) (increase(pg_stat_user_indexes_idx_tup_read_total{@table}[$__range]))", "short"),
                  "rows": ("sum by (indexrelname) (increase(pg_stat_user_indexes_idx_tup_fetch_total{@table}[$__range]))", "short"),
                  "last scan": ("time() - max by (indexrelname) (pg_stat_user_indexes_last_idx_scan_timestamp_seconds{@table})", "s")}),
    lines("Scans of its indexes", "Scans a second.", (f"sum by (indexrelname) (rate(pg_stat_user_indexes_idx_scan_total{{@table}}{RATE}))", "{{indexrelname}}"), "ops", width=12),
    lines("Blocks of its indexes", "Blocks a second found in shared buffers and read, with the collector statio_user_indexes.",
          [(f"sum by (indexrelname) (rate(pg_statio_user_indexes_idx_blks_hit_total{{@table}}{RATE}))", "{{indexrelname}} found"),
           (f"sum by (indexrelname) (rate(pg_statio_user_indexes_idx_blks_read_total{{@table}}{RATE}))", "{{indexrelname}} read")], "ops", width=12),
    lines("Its size", "The table and its indexes.",
          [("sum(pg_stat_user_tables_table_size_bytes{@table})", "table"), ("sum(pg_stat_user_tables_index_size_bytes{@table})", "indexes")], "bytes", width=12),
]

DASHBOARD = dashboard(
    "poolwatch-table", "poolwatch / One table", "Who reads and writes this table, does vacuum keep up, and which of its indexes serve?",
    [("How large is it?", NOW), ("Who reads it?", READS), ("Who writes it?", WRITES), ("Does vacuum keep up with it?", VACUUM), ("Do its indexes serve?", INDEXES)],
)
