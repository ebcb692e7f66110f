"""Settings: how is the server set, and what changed?"""

import re

from .frame import dashboard
from .panel import GREY, firing, lines, stat, table

OF = "instance, server"
# By subject: what people ask of each other first.
SUBJECTS = {
    "Memory": ("shared_buffers_bytes", "work_mem_bytes", "maintenance_work_mem_bytes", "effective_cache_size_bytes", "wal_buffers_bytes", "temp_buffers_bytes", "hash_mem_multiplier"),
    "Connections": ("max_connections", "superuser_reserved_connections", "reserved_connections", "idle_in_transaction_session_timeout_seconds", "idle_session_timeout_seconds",
                    "tcp_keepalives_idle_seconds", "max_worker_processes", "max_parallel_workers"),
    "WAL and checkpoints": ("max_wal_size_bytes", "min_wal_size_bytes", "checkpoint_timeout_seconds", "checkpoint_completion_target", "full_page_writes", "fsync",
                            "bgwriter_lru_maxpages", "bgwriter_delay_seconds"),
    "Archive and replication": ("archive_timeout_seconds", "max_wal_senders", "max_replication_slots", "wal_keep_size_bytes", "max_slot_wal_keep_size_bytes", "hot_standby_feedback",
                                "max_standby_streaming_delay_seconds", "wal_sender_timeout_seconds"),
    "Autovacuum": ("autovacuum", "autovacuum_max_workers", "autovacuum_naptime_seconds", "autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold", "autovacuum_analyze_scale_factor",
                   "autovacuum_vacuum_cost_limit", "autovacuum_vacuum_cost_delay_seconds", "autovacuum_freeze_max_age"),
    "Planner and statistics": ("random_page_cost", "seq_page_cost", "effective_io_concurrency", "default_statistics_target", "jit", "track_io_timing", "track_wal_io_timing",
                               "track_activities", "pg_stat_statements_max"),
    "Locks and timeouts": ("deadlock_timeout_seconds", "lock_timeout_seconds", "statement_timeout_seconds", "transaction_timeout_seconds", "max_locks_per_transaction", "max_prepared_transactions"),
    "Logging": ("log_min_duration_statement_seconds", "log_lock_waits", "log_checkpoints", "log_disconnections", "log_temp_files_bytes", "log_autovacuum_min_duration_seconds",
                "logging_collector"),
}


def all_of(names):
    """These settings as rows, each with its name as PostgreSQL has it."""
    parts = (f'label_replace(max by ({OF}) (pg_settings_{name}{{@server}}), "setting", "{re.sub("_(bytes|seconds)$", "", name)}", "", "")' for name in names)
    return " or ".join(parts)


def of_subject(title, names):
    sizes, times = ([name for name in names if name.endswith(end)] for end in ("_bytes", "_seconds"))
    others = [name for name in names if name not in sizes + times]
    figures = {words: (all_of(some), unit) for words, some, unit in (("size", sizes, "bytes"), ("time", times, "s")) if some}
    return table(title, "A switch is 1 or 0; -1 is off or without limit, and a time of 0 is off.", all_of(others), "short",
                 {"setting": "setting", "server": "server", "instance": "instance"}, width=12, height=9, value="value", sort="setting", figures=figures)


NOW = [
    stat("Versions of PostgreSQL", "How many different versions run.", "count(count by (short_version) (pg_static{@server}))", "short", decimals=0),
    stat("Wait for a restart", "Settings whose new value waits for a restart.", "sum(pg_setting_pending_restart{@server}) or vector(0)", "short", decimals=0),
    stat("Durable", "Whether fsync and full_page_writes are on: without them a crash may cost the data.",
         "min(pg_settings_fsync{@server}) * min(pg_settings_full_page_writes{@server})", "short", words={0: (1, "off"), 1: (0, "on")}),
    stat("Shared buffers", "The cache of the smallest server.", "min(pg_settings_shared_buffers_bytes{@server})", "bytes"),
    stat("Autovacuum", "Whether autovacuum is on everywhere.", "min(pg_settings_autovacuum{@server})", "short", words={0: (2, "off"), 1: (0, "on")}),
    stat("Time of I/O", "Whether track_io_timing is on everywhere.", "min(pg_settings_track_io_timing{@server})", "short", words={0: (1, "not measured"), 1: (0, "measured")}),
]
CHANGED = [
    table("Settings that wait for a restart", "Their new values are set, and not in force.", "max by (name, instance, server) (pg_setting_pending_restart{@server})", "short",
          {"name": "setting", "server": "server", "instance": "instance"}, width=12),
    table("Settings that changed in the time shown", "Settings with more than one value in the time shown.",
          'topk($top, changes(label_replace({@server, __name__=~"pg_settings_.+"}, "setting", "$1", "__name__", "pg_settings_(.+)")[$__range:$__interval]) > 0)', "short", {"setting": "setting", "server": "server", "instance": "instance"}, width=12, value="changes"),
    table("Servers", "The version of each.", "max by (instance, server, short_version, version) (pg_static{@server})", "short",
          {"instance": "instance", "server": "server", "short_version": "version", "version": "in full"}, width=16, wide="in full"),
    firing("Setting.*|Database.*|ServerRole.*"),
    table("Extensions", "The extensions of each database, with their versions, and whether ALTER EXTENSION … UPDATE would bring another.",
          'max by (datname, extname, version, server) (pg_extension_update_available{@server, datname!~"template.*"})', "short",
          {"extname": "extension", "version": "version", "datname": "database", "server": "server"}, width=24, value="update",
          words={"update": {0: ("none", GREY), 1: ("! available", "orange")}}),
    lines("Statistics began, by database", "How long ago the statistics of each database began: a fall to zero is a reset, and all counters with it.",
          ('time() - max by (datname) (pg_stat_database_stats_reset{@server, datname!~"template.*"} > 0)', "{{datname}}"), "s", width=24, height=6),
    lines("Running since", "How long each server has run: a fall to zero is a restart.", ("time() - pg_postmaster_start_time_seconds{@server}", "{{instance}} {{server}}"), "s", width=24, height=6),
]

DASHBOARD = dashboard(
    "poolwatch-settings", "poolwatch / Settings", "How are the servers set, and what changed?",
    [("Is anything set dangerously?", NOW), ("What changed?", CHANGED),
     ("How are the servers set?", [of_subject(title, names) for title, names in SUBJECTS.items()])],
)
