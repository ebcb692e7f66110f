"""Tables and indexes: what is read and written, what serves nobody, and what takes the space?"""

from .expression import RATE, busiest
from .frame import dashboard
from .panel import firing, lines, stat, table
from .relations import NAME, OPEN, OPEN_LINE, TABLE, busiest_tables, of_tables, tables

NOW = [
    stat("Invalid indexes", "Indexes that slow writes and serve no query.", "sum(pg_indexes_invalid{@database})", "short", decimals=0),
    stat("Unused indexes", "What indexes take that no scan has used since the statistics began.", "sum(pg_indexes_unused_bytes{@database})", "bytes"),
    stat("Indexes unused", "How many they are.", "sum(pg_indexes_unused{@database})", "short", decimals=0),
    stat("Scans without an index", "The share of all scans that read a whole table.",
         f"sum(rate(pg_stat_user_tables_seq_scan{{@database}}{RATE})) / (sum(rate(pg_stat_user_tables_seq_scan{{@database}}{RATE})) "
         f"+ sum(rate(pg_stat_user_tables_idx_scan{{@database}}{RATE})) > 0)", "percentunit", decimals=0),
    stat("Size of tables", "All tables shown, without indexes.", "sum(pg_stat_user_tables_table_size_bytes{@database})", "bytes"),
    stat("Size of indexes", "All indexes of the tables shown.", "sum(pg_stat_user_tables_index_size_bytes{@database})", "bytes"),
]

READS = [
    busiest_tables("Rows read without an index", "Rows a second read by sequential scans. poolwatch indexes says which index is missing.", "seq_tup_read"),
    busiest_tables("Sequential scans", "Scans a second of whole tables.", "seq_scan"),
    busiest_tables("Index scans", "Scans a second by an index.", "idx_scan"),
    busiest_tables("Rows fetched by an index", "Rows a second.", "idx_tup_fetch"),
    lines("Share of scans without an index", "Of all scans of each database.",
          (f"sum by (datname) (rate(pg_stat_user_tables_seq_scan{{@database}}{RATE})) / (sum by (datname) (rate(pg_stat_user_tables_seq_scan{{@database}}{RATE})) "
           f"+ sum by (datname) (rate(pg_stat_user_tables_idx_scan{{@database}}{RATE})) > 0)", "{{datname}}"), "percentunit", width=12, max=1),
    lines("Blocks of tables read from disk", "Blocks a second that were not in shared buffers, in the tables where it was most.",
          (f"{busiest(f'sum by ({TABLE}) (rate(pg_statio_user_tables_heap_blocks_read{{@database}}{RATE}))', TABLE)} > 0", NAME), "ops", width=12, links=OPEN_LINE),
]

WRITES = [
    busiest_tables("Rows inserted", "Rows a second.", "n_tup_ins", 8),
    busiest_tables("Rows updated", "Rows a second.", "n_tup_upd", 8),
    busiest_tables("Rows deleted", "Rows a second.", "n_tup_del", 8),
]

INDEXES = [
    table("Indexes that serve nobody", "No scan has used them since the statistics began; indexes that keep rows unique are left out. Look at standbys before dropping.",
          "topk($top, max by (datname, schemaname, relname, indexrelname) (pg_index_unused_bytes{@database}))", "bytes",
          {"indexrelname": "index", "relname": "table", "datname": "database"}, width=12, value="size", links={"table": OPEN}),
    table("Invalid indexes, by name", "Left by a failed CREATE INDEX CONCURRENTLY. poolwatch indexes --apply builds them again.",
          "topk($top, max by (datname, schemaname, relname, indexrelname) (pg_index_invalid{@database}))", "short",
          {"indexrelname": "index", "relname": "table", "datname": "database"}, width=12, links={"table": OPEN}),
    lines("Indexes most scanned", "Scans a second.",
          (f"{busiest(f'sum by (datname, relname, indexrelname) (rate(pg_stat_user_indexes_idx_scan_total{{@database}}{RATE}))', 'datname, relname, indexrelname')} > 0",
           "{{relname}}.{{indexrelname}}"), "ops", width=12),
    firing("Index.*|Table.*", width=12, height=8),
]

SPACE = [
    lines("System catalog", "The size of the catalog of each database. Temporary tables, made and dropped all day, bloat it.",
          ('max by (datname) (pg_system_catalog_size_bytes{@database})', "{{datname}}"), "bytes", width=12),
    lines("Databases by size", "The size of each database.", ("max by (datname) (pg_database_size_bytes{@database})", "{{datname}}"), "bytes", width=12),
    tables("Largest tables, with their indexes", "The size of tables with their indexes and TOAST.",
           f"sum by ({TABLE}) (pg_stat_user_tables_table_size_bytes{{@database}} + pg_stat_user_tables_index_size_bytes{{@database}})", "bytes", "size"),
    tables("Largest indexes of a table", "The size of all indexes of each table.", of_tables("index_size_bytes"), "bytes", "size"),
]

DASHBOARD = dashboard(
    "poolwatch-tables", "poolwatch / Tables and indexes", "What is read and written, what serves nobody, and what takes the space?",
    [
        ("Is an index missing, broken or useless?", NOW),
        ("Which tables are read?", READS),
        ("Which tables are written?", WRITES),
        ("Which indexes serve nobody?", INDEXES),
        ("What takes the space?", SPACE),
    ],
)
