"""I/O and WAL: does the disk keep up, and who uses it?"""

from .expression import RATE, busiest
from .frame import dashboard
from .panel import firing, lines, stat


def io(figure, by="backend_type"):
    """A figure of pg_stat_io a second."""
    return f"sum by ({by}) (rate(pg_stat_io_{figure}_total{{@server}}{RATE}))"


def io_lines(title, description, figure, unit, by="backend_type, context", width=8):
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return lines(title, description, (f"{busiest(io(figure, by), by)} > 0", legend), unit, width=width, stack=True)


def mean(seconds, count):
    """The mean time of an operation, where the server measures it."""
    return f"{io(seconds)} / ({io(count)} > 0) > 0"


def rate(family, by="instance, server"):
    return f"sum by ({by}) (rate({family}{{@server}}{RATE}))"


def slru(figure):
    return f"sum by (name) (rate(pg_stat_slru_{figure}_total{{@server}}{RATE}))"


ONE = "{{instance}} {{server}}"
NOW = [
    stat("Read", "Bytes a second that the server reads from the disk or the system's cache.", f"sum(rate(pg_stat_io_read_bytes_total{{@server}}{RATE}))", "Bps"),
    stat("Written", "Bytes a second that the server writes to its files.",
         f"sum(rate(pg_stat_io_write_bytes_total{{@server}}{RATE})) + sum(rate(pg_stat_io_extend_bytes_total{{@server}}{RATE}))", "Bps"),
    stat("WAL written", "Bytes of WAL a second.", f"sum(rate(pg_stat_wal_bytes_total{{@server}}{RATE}))", "Bps"),
    stat("Written by sessions", "Buffers a second that sessions had to write themselves, because nobody had cleaned them in time.",
         f"sum(rate(pg_stat_bgwriter_buffers_backend_total{{@server}}{RATE}))", "ops"),
    stat("WAL on disk", "The size of pg_wal.", "max(pg_wal_size_bytes{@server})", "bytes"),
    stat("Not archived since", "How long ago a segment was last archived.", "max(pg_stat_archiver_last_archive_age{@server})", "s"),
]

READS = [
    io_lines("Who reads?", "Bytes a second read, by kind of process and why: bulkread is a large sequential scan.", "read_bytes", "Bps"),
    lines("How long does a read take?", "The mean time of a read, with track_io_timing.", (mean("read_seconds", "reads"), "{{backend_type}}"), "s"),
    lines("Are blocks found in shared buffers?", "The share of blocks found in shared buffers, by what they are of.",
          (f"{io('hits', 'object')} / ({io('hits', 'object')} + {io('reads', 'object')} > 0)", "{{object}}"), "percentunit", max=1),
    io_lines("Whose blocks are pushed out?", "Blocks a second that gave way to others in shared buffers.", "evictions", "ops"),
    io_lines("Reuse of rings", "Buffers a second used again by large scans, vacuums and bulk writes, which keep to a ring of their own.", "reuses", "ops"),
    lines("Cache hits by database", "The share of blocks found in shared buffers.",
          (f"sum by (datname) (rate(pg_stat_database_blks_hit{{@database}}{RATE})) / (sum by (datname) (rate(pg_stat_database_blks_hit{{@database}}{RATE})) "
           f"+ sum by (datname) (rate(pg_stat_database_blks_read{{@database}}{RATE})) > 0)", "{{datname}}"), "percentunit", ["CacheHitRatioLow"], max=1),
    lines("Time that sessions read and wrote", "Seconds a second that sessions of each database spent on blocks, with track_io_timing.",
          [(f"sum by (datname) (rate(pg_stat_database_blk_read_time{{@database}}{RATE})) / 1000", "{{datname}} read"),
           (f"sum by (datname) (rate(pg_stat_database_blk_write_time{{@database}}{RATE})) / 1000", "{{datname}} written")], "s", width=12),
    lines("Temporary files", "Files a second written because work_mem did not suffice.",
          (f"sum by (datname) (rate(pg_stat_database_temp_files{{@database}}{RATE}))", "{{datname}}"), "ops", width=12),
    lines("Temporary files there now", "What running statements have written so far: a statement that fills the disk is seen before it ends.",
          ("max by (instance, server) (pg_temp_files_current_bytes{@server})", "{{instance}} {{server}}"), "bytes", width=12, height=6),
    lines("Number of temporary files", "Files that are there now.", ("max by (instance, server) (pg_temp_files_current{@server})", "{{instance}} {{server}}"), "short",
          width=12, height=6, decimals=0),
]

WRITES = [
    io_lines("Who writes?", "Bytes a second written, by kind of process. Client backends that write find no clean buffer.", "write_bytes", "Bps"),
    lines("How long does a write take?", "The mean time of a write, with track_io_timing.", (mean("write_seconds", "writes"), "{{backend_type}}"), "s"),
    io_lines("Who extends files?", "Bytes a second by which files grow.", "extend_bytes", "Bps"),
    io_lines("Who waits for the disk?", "Syncs a second. Those of client backends hold up queries.", "fsyncs", "ops", "backend_type, object"),
    lines("How long does a sync take?", "The mean time of a sync, with track_io_timing.", (mean("fsync_seconds", "fsyncs"), "{{backend_type}}"), "s"),
    lines("Time of extending and of writing back", "Seconds a second, with track_io_timing.",
          [(f"sum(rate(pg_stat_io_extend_seconds_total{{@server}}{RATE}))", "extending"), (f"sum(rate(pg_stat_io_writeback_seconds_total{{@server}}{RATE}))", "writing back")], "s"),
    lines("Operations", "Operations a second on files.",
          [(f"sum(rate(pg_stat_io_{name}_total{{@server}}{RATE}))", name) for name in ("reads", "writes", "extends", "writebacks")], "ops"),
    lines("Who cleans the buffers?", "Buffers a second written by checkpoints, by the background writer, and by sessions that found no clean one.",
          [(f"sum(rate(pg_stat_bgwriter_buffers_{name}_total{{@server}}{RATE}))", words)
           for name, words in (("checkpoint", "checkpoints"), ("clean", "background writer"), ("backend", "sessions"))], "ops", stack=True),
    lines("Does the background writer stop too early?", "Rounds a second that it broke off at bgwriter_lru_maxpages, syncs by sessions, and buffers allocated.",
          [(f"sum(rate(pg_stat_bgwriter_{name}_total{{@server}}{RATE}))", words)
           for name, words in (("maxwritten_clean", "broken off"), ("buffers_backend_fsync", "syncs by sessions"), ("buffers_alloc", "allocated"))], "ops"),
]

CHECKPOINTS = [
    lines("Checkpoints in an hour", "On time, and forced because WAL filled up: then max_wal_size is small.",
          [("sum by (instance, server) (increase(pg_stat_bgwriter_checkpoints_timed_total{@server}[1h]))", f"{ONE} on time"),
           ("sum by (instance, server) (increase(pg_stat_bgwriter_checkpoints_req_total{@server}[1h]))", f"{ONE} forced")], "short", decimals=0),
    lines("Time of checkpoints", "Seconds a second that checkpoints write and sync.",
          [(f"{rate('pg_stat_bgwriter_checkpoint_write_time_total')} / 1000", f"{ONE} writing"),
           (f"{rate('pg_stat_bgwriter_checkpoint_sync_time_total')} / 1000", f"{ONE} syncing")], "s"),
    lines("Restartpoints in an hour", "What checkpoints are on a standby: on time, asked for, and made.",
          [(f"sum by (instance, server) (increase(pg_stat_checkpointer_restartpoints_{name}_total{{@server}}[1h]))", f"{ONE} {words}")
           for name, words in (("timed", "on time"), ("req", "asked for"), ("done", "made"))], "short", decimals=0),
    lines("Checkpoints made", "Those made in an hour: fewer than begun, where nothing was to be written.",
          ("sum by (instance, server) (increase(pg_stat_checkpointer_num_done_total{@server}[1h]))", ONE), "short", width=12, decimals=0),
    lines("Small caches written by checkpoints", "Buffers a second of transaction status and the like.", (rate("pg_stat_checkpointer_slru_written_total"), ONE), "ops", width=12),
]

WAL = [
    lines("WAL", "Bytes of WAL a second, and of them those of whole pages, which the first change of a page after a checkpoint writes.",
          [(rate("pg_stat_wal_bytes_total"), f"{ONE} WAL"), (rate("pg_stat_wal_full_page_image_bytes_total"), f"{ONE} whole pages")], "Bps"),
    lines("WAL records and whole pages", "Records and whole pages a second.",
          [(rate("pg_stat_wal_records_total"), f"{ONE} records"), (rate("pg_stat_wal_full_page_images_total"), f"{ONE} whole pages")], "ops"),
    lines("Are the WAL buffers large enough?", "Writes a second because wal_buffers was full.", (rate("pg_stat_wal_buffers_full_total"), ONE), "ops"),
    lines("WAL writes and syncs", "Writes and syncs a second.", [(rate("pg_stat_wal_writes_total"), f"{ONE} writes"), (rate("pg_stat_wal_syncs_total"), f"{ONE} syncs")], "ops"),
    lines("How long does a sync of the WAL take?", "The mean time of a write and of a sync, with track_wal_io_timing: every commit waits for it.",
          [(f"{rate('pg_stat_wal_sync_seconds_total')} / ({rate('pg_stat_wal_syncs_total')} > 0)", f"{ONE} sync"),
           (f"{rate('pg_stat_wal_write_seconds_total')} / ({rate('pg_stat_wal_writes_total')} > 0)", f"{ONE} write")], "s"),
    lines("WAL on disk, of its limit", "The size of pg_wal, and max_wal_size, beyond which only a slot, the archiver or wal_keep_size holds it.",
          [("pg_wal_size_bytes{@server}", ONE), ("pg_settings_max_wal_size_bytes{@server}", f"{ONE} max_wal_size")], "bytes", dashed="/max_wal_size$/"),
    lines("Segments", "Files in pg_wal.", ("pg_wal_segments{@server}", ONE), "short", decimals=0),
    lines("Is the archive kept up?", "Segments a minute archived, and attempts that failed.",
          [(f"60 * {rate('pg_stat_archiver_archived_count')}", f"{ONE} archived"), (f"60 * {rate('pg_stat_archiver_failed_count')}", f"{ONE} failed")], "short"),
    lines("Since the last archived segment", "How long ago a segment was archived, and an attempt last failed.",
          [("pg_stat_archiver_last_archive_age{@server}", f"{ONE} archived"),
           ("time() - pg_stat_archiver_last_failed_timestamp_seconds{@server}", f"{ONE} failed")], "s"),
    firing("Wal.*|Checkpoints.*|Cache.*|Temporary.*|Checksum.*", height=7),
    lines("Pages that failed their checksum", "More than 0 is a broken disk or memory.", ("sum by (datname) (increase(pg_stat_database_checksum_failures_total{@database}[$__range]))", "{{datname}}"),
          "short", width=16, height=7, decimals=0),
]

SLRU = [
    lines("Found in the small caches", "The share of blocks of transaction status, subtransactions and the like that were found. Low for subtransaction or "
          "multixact_member, set the *_buffers of it higher.",
          (f"{slru('blks_hit')} / ({slru('blks_hit')} + {slru('blks_read')} > 0)", "{{name}}"), "percentunit", max=1),
    lines("Reads and writes of the small caches", "Blocks a second.",
          [(busiest(slru("blks_read"), "name", 5), "{{name}} read"), (busiest(slru("blks_written"), "name", 5), "{{name}} written")], "ops"),
    lines("Flushes and truncations of the small caches", "Each a second, with blocks zeroed and checked for.",
          [(f"sum(rate(pg_stat_slru_{name}_total{{@server}}{RATE}))", words)
           for name, words in (("flushes", "flushes"), ("truncates", "truncations"), ("blks_zeroed", "zeroed"), ("blks_exists", "checks"))], "ops"),
    lines("Shared buffers in use", "Buffers by state, with the collector buffercache_summary and the extension pg_buffercache.",
          [(f"sum(pg_buffercache_summary_buffers_{name}{{@server}})", name) for name in ("used", "unused", "dirty", "pinned")], "short", decimals=0, width=12),
    lines("Usage count of buffers", "The mean: near 5, everything is used often and the buffers are too few.",
          ("avg by (instance, server) (pg_buffercache_summary_usagecount_avg{@server})", ONE), "short", width=12, total=False),
]

DASHBOARD = dashboard(
    "poolwatch-storage", "poolwatch / I/O and WAL", "Does the disk keep up, and who uses it?",
    [
        ("How much is read and written now?", NOW),
        ("Who reads, and does the cache serve?", READS),
        ("Who writes, and how long does it take?", WRITES),
        ("Are the checkpoints calm?", CHECKPOINTS),
        ("Does the WAL flow?", WAL),
        ("Do the small caches serve?", SLRU),
    ],
)
