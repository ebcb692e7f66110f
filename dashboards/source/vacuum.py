"""Vacuum: does it keep up, and does anything run out?"""

from .expression import RATE, busiest, largest
from .frame import dashboard
from .panel import firing, lines, stat, table
from .relations import NAME, OPEN_LINE, TABLE, a_second, of_tables, tables

ONE = "{{instance}} {{server}}"


def progress(view, done, total, what):
    """The share done of something at work, where its total is known."""
    of = f"pg_stat_progress_{view}_%s{{@database}}"
    return f"{of % done} / ({of % total} > 0)", f"{what} {{{{relname}}}} {{{{phase}}}}"


DEAD = f"{of_tables('n_dead_tup')} / ({of_tables('n_live_tup')} + {of_tables('n_dead_tup')} > 0)"
LAST = f"max by ({TABLE}) (pg_stat_user_tables_last_autovacuum{{@database}} or pg_stat_user_tables_last_vacuum{{@database}})"
NOW = [
    stat("Workers of autovacuum", "Of those there may be, how many are at work. All at work for long: raise autovacuum_max_workers or its cost limit.",
         "max(pg_autovacuum_workers{@server} / pg_autovacuum_workers_limit{@server})", "percentunit", decimals=0, min=0, max=1),
    stat("Dead rows", "Dead rows in all tables shown.", "sum(pg_stat_user_tables_n_dead_tup{@database})", "short"),
    stat("Transaction ids used", "The share of transaction ids in use, in the worst database.", "max(pg_database_wraparound_age_datfrozenxid_seconds{@database}) / 2 ^ 31",
         "percentunit", ["TransactionIdsHalfUsed", "TransactionIdsRunningOut"], min=0, max=1),
    stat("Sequences", "The share of its values that the fullest sequence has used.", "max(pg_sequence_used_ratio{@database})", "percentunit", ["SequenceRunningOut"],
         decimals=0, min=0, max=1),
]

AUTOVACUUM = [
    lines("Workers of autovacuum at work", "Those at work, those of them that prevent wraparound, and how many there may be.",
          [("pg_autovacuum_workers{@server}", f"{ONE} at work"), ("pg_autovacuum_wraparound_workers{@server}", f"{ONE} against wraparound"),
           ("pg_autovacuum_workers_limit{@server}", f"{ONE} limit")], "short", dashed="/ limit$/", decimals=0),
    lines("Longest worker", "How long the worker of autovacuum that has run longest has been on its table.", ("pg_autovacuum_longest_seconds{@server}", ONE), "s"),
    lines("On which table since when?", "How long each worker of autovacuum has been on its table.",
          ("topk($top, time() - pg_stat_activity_autovacuum_timestamp_seconds{@server})", "{{relname}}"), "s"),
    lines("Vacuums and analyzes", "Those made an hour, by autovacuum and by hand.",
          [(f"3600 * sum(rate(pg_stat_user_tables_{name}_count{{@database}}{RATE}))", name) for name in ("autovacuum", "vacuum", "autoanalyze", "analyze")], "short"),
    lines("Time spent on them", "Seconds a second, with PostgreSQL 18 or later.",
          [(f"sum(rate(pg_stat_user_tables_{name}_seconds_total{{@database}}{RATE}))", name) for name in ("autovacuum", "vacuum", "autoanalyze", "analyze")], "s"),
    firing("Dead.*|Transaction.*|Multixact.*|Index.*|Table.*|Sequence.*"),
    lines("What waits for autovacuum?", "How urgent each table is: above 1 autovacuum takes it.",
          (largest(f"max by ({TABLE}) (pg_stat_autovacuum_scores_score{{@database}})", TABLE), NAME), "short", width=12, links=OPEN_LINE),
    tables("Why does it wait?", "The scores of the most urgent tables: above 1 autovacuum vacuums or analyzes.",
           f"max by ({TABLE}) (pg_stat_autovacuum_scores_score{{@database}})", "short", "urgency",
           figures={"dead rows": (f"max by ({TABLE}) (pg_stat_autovacuum_scores_vacuum_score{{@database}})", "short"),
                    "inserts": (f"max by ({TABLE}) (pg_stat_autovacuum_scores_vacuum_insert_score{{@database}})", "short"),
                    "analyze": (f"max by ({TABLE}) (pg_stat_autovacuum_scores_analyze_score{{@database}})", "short"),
                    "freeze": (f"max by ({TABLE}) (pg_stat_autovacuum_scores_xid_score{{@database}})", "short")}),
    lines("Tables to be vacuumed or analyzed", "Tables that autovacuum would take now, and those of them against wraparound.",
          [(f"sum(pg_stat_autovacuum_scores_{name}{{@database}})", words)
           for name, words in (("do_vacuum", "vacuum"), ("do_analyze", "analyze"), ("for_wraparound", "against wraparound"))], "short", width=24, height=6, decimals=0),
]

DEAD_ROWS = [
    lines("Share of dead rows", "Of the tables where it was highest in the time shown.", (f"topk($top, {DEAD} and {of_tables('n_dead_tup')} > 100)", NAME), "percentunit", width=12, max=1,
          links=OPEN_LINE),
    tables("Tables with the most dead rows", "Dead rows now, the share of them, and how long ago the table was last vacuumed.", of_tables("n_dead_tup"), "short", "dead rows",
           figures={"share": (DEAD, "percentunit"), "vacuumed": (f"time() - {LAST}", "s"),
                    "changed since analyze": (of_tables("n_mod_since_analyze"), "short"),
                    "analyzed": (f"time() - max by ({TABLE}) (pg_stat_user_tables_last_autoanalyze{{@database}} or pg_stat_user_tables_last_analyze{{@database}})", "s")}),
    lines("What keeps vacuum from removing rows?", "Transactions since the oldest whose rows must be kept, by who needs them.",
          ("max by (holder) (pg_oldest_xmin_age{@server})", "{{holder}}"), "short", width=12),
    lines("Updates without a new index entry", "The share of updates that were heap-only, in the tables with the most updates. Low: lower fillfactor, or drop an index.",
          (f"topk($top, {a_second('n_tup_hot_upd')} / ({a_second('n_tup_upd')} > 0))", NAME), "percentunit", width=12, max=1, links=OPEN_LINE),
    lines("Updates onto another page", "Rows a second that did not find room on their page.", (f"{busiest(a_second('n_tup_newpage_upd_total'), TABLE)} > 0", NAME), "ops", width=24, height=6, links=OPEN_LINE),
]

PROGRESS = [
    lines("Vacuums at work", "The share of the table that each vacuum has scanned and vacuumed.",
          [progress("vacuum", "heap_blks_scanned", "heap_blks", "scanned"), progress("vacuum", "heap_blks_vacuumed", "heap_blks", "vacuumed")], "percentunit", max=1),
    table("Vacuums, and their phase", "The phase that each vacuum is in.", "max by (datname, relname, phase) (pg_stat_progress_vacuum_phase{@database} == 1)", "short",
          {"relname": "table", "datname": "database", "phase": "phase"}),
    lines("Rounds over the indexes", "More than one round says that maintenance_work_mem is small.",
          [("pg_stat_progress_vacuum_index_vacuums{@database}", "{{relname}} rounds"), ("pg_stat_progress_vacuum_indexes_processed{@database}", "{{relname}} indexes done"),
           ("pg_stat_progress_vacuum_indexes{@database}", "{{relname}} indexes")], "short", decimals=0),
    lines("Memory of vacuums", "Of what fits before a round over the indexes, what is remembered.",
          [("pg_stat_progress_vacuum_dead_tuple_bytes{@database}", "{{relname}} remembered"), ("pg_stat_progress_vacuum_max_dead_tuple_bytes{@database}", "{{relname}} limit")],
          "bytes", dashed="/ limit$/"),
    lines("Indexes being built, tables being analyzed or rewritten", "The share done of CREATE INDEX, ANALYZE, CLUSTER, VACUUM FULL and REPACK.",
          [(" or ".join(progress("create_index", f"{what}_done", what, "")[0] for what in ("blocks", "tuples")), "index {{relname}} {{phase}}"),
           progress("analyze", "sample_blks_scanned", "sample_blks", "analyze"),
           (" or ".join(progress(view, "heap_blks_scanned", "heap_blks", "")[0] for view in ("cluster", "repack")), "rewrite {{relname}} {{phase}}")],
          "percentunit", max=1),
    lines("Sessions that index builds wait for", "CREATE INDEX CONCURRENTLY waits for transactions that are older than it.",
          ("pg_stat_progress_create_index_lockers{@database} - pg_stat_progress_create_index_lockers_done{@database}", "{{relname}} {{phase}}"), "short", decimals=0),
    lines("COPY", "Bytes copied by each COPY.", ("pg_stat_progress_copy_bytes_processed{@database}", "{{relname}} {{command}}"), "bytes"),
    lines("Base backups", "Bytes that base backups have sent, and those to send.",
          [("pg_stat_progress_basebackup_backup_streamed_bytes{@server}", "{{phase}}"), ("pg_stat_progress_basebackup_backup_bytes{@server}", "{{phase}} of")], "bytes"),
    lines("Rows rewritten", "Rows that CLUSTER and VACUUM FULL, and REPACK, have written.",
          ("pg_stat_progress_cluster_heap_tuples_written{@database} or pg_stat_progress_repack_heap_tuples_inserted{@database}", "{{relname}} {{phase}}"), "short"),
]

AGE = [
    lines("Transaction ids used", "The share of the two thousand million transaction ids in use. Vacuum gives them back.",
          ("max by (datname) (pg_database_wraparound_age_datfrozenxid_seconds{@database}) / 2 ^ 31", "{{datname}}"), "percentunit",
          ["TransactionIdsHalfUsed", "TransactionIdsRunningOut"], max=1),
    lines("Multitransactions used", "The same of multitransactions, which rows have that several transactions lock.",
          ("max by (datname) (pg_database_wraparound_age_datminmxid_seconds{@database}) / 2 ^ 31", "{{datname}}"), "percentunit",
          ["MultixactIdsHalfUsed", "MultixactIdsRunningOut"], max=1),
    tables("Oldest tables", "Transactions since the oldest in each table that is not frozen.", f"max by ({TABLE}) (pg_table_xid_age{{@database}})", "short", "age", width=8),
    lines("Multitransactions and their members", "What is kept. The more members, the earlier autovacuum removes them.",
          [("pg_multixact_multitransactions{@server}", f"{ONE} multitransactions"), ("pg_multixact_members{@server}", f"{ONE} members")], "short"),
    lines("Members on disk", "What the members of multitransactions take.", ("pg_multixact_members_size_bytes{@server}", ONE), "bytes"),
    table("Sequences by what they have used", "The share of its values that each sequence has used. At 100 % inserts fail.",
          "topk($top, max by (datname, schemaname, sequencename) (pg_sequence_used_ratio{@database}))", "percentunit",
          {"sequencename": "sequence", "schemaname": "schema", "datname": "database"}, value="used"),
]

DASHBOARD = dashboard(
    "poolwatch-vacuum", "poolwatch / Vacuum", "Does vacuum keep up, and does anything run out?",
    [
        ("Does anything run full?", NOW),
        ("Does autovacuum keep up?", AUTOVACUUM),
        ("Where are the dead rows, and what keeps them?", DEAD_ROWS),
        ("What is at work?", PROGRESS),
        ("Which ids and sequences run out?", AGE),
    ],
)
