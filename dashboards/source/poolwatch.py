"""poolwatch itself: does it see everything, and what does it cost?"""

from .expression import largest, or_none, per_second
from .frame import dashboard
from .panel import firing, lines, stat, table

NOW = [
    stat("poolwatch", "Whether Prometheus reaches every poolwatch chosen above.", "min(up{@})", "short", ["PoolwatchDown"],
         words={0: (2, "down"), 1: (0, "up")}),
    stat("Sources", "Whether every source is read. The figures of a failing one are gone, not stale.",
         "min(poolwatch_source_up{@})", "short", ["PoolwatchSourceFailing"], words={0: (1, "failing"), 1: (0, "all read")}),
    stat("Settings", "Whether the last reload of the settings was accepted.",
         "min(poolwatch_config_last_reload_successful{@})", "short", ["PoolwatchReloadFailed"],
         words={0: (1, "refused"), 1: (0, "in force")}),
    stat("Reports", "Reports of workers a second; each worker sends one.",
         "sum(rate(poolwatch_reports_total{@}[$__rate_interval]))", "ops"),
    stat("Memory", "Resident memory of the largest poolwatch.", "max(process_resident_memory_bytes{@})", "bytes"),
    stat("CPU", "The share of one core, of the busiest poolwatch.",
         "max(rate(process_cpu_seconds_total{@}[$__rate_interval]))", "percentunit", decimals=2),
]

SEES = [
    lines("Sources up", "1 while a source is read, 0 while it is not. Those that fail are named.",
          ('''min by (source) (poolwatch_source_up{@} == 0)
              or label_replace(max(poolwatch_source_up{@}), "source", "all others", "", "")''', "{{source}}"), "short", ["PoolwatchSourceFailing"], width=16, height=9,
          decimals=0, max=1),
    firing("Poolwatch.*"),
    lines("Failures", "Readings a second that failed.",
          (or_none(f'{per_second("poolwatch_source_failures_total", "source")} > 0', "source"), "{{source}}"), "ops"),
    lines("Last read", "How long ago the three sources were read whose reading is the oldest. Sizes are read every 5 minutes.",
          ("topk(3, max by (source) (time() - poolwatch_source_last_success_timestamp_seconds{@}))", "{{source}}"), "s",
          ["PoolwatchSourceStale"]),
    lines("Duration of a reading", "The duration of the last reading, of the three sources whose readings take longest.",
          (largest("max by (source) (poolwatch_source_read_duration_seconds{@})", "source", 3), "{{source}}"),
          "s"),
]

LEFT_OUT = [
    lines("Reports of workers", "Reports a second. They stop when the workers die or cannot reach the socket.",
          (per_second("poolwatch_reports_total", "instance"), "{{instance}}"), "ops"),
    lines("Reports rejected", "Reports a second that could not be used, by reason.",
          (or_none(f'{per_second("poolwatch_reports_rejected_total", "reason")} > 0', "reason"), "{{reason}}"), "ops"),
    lines("Series dropped", "Series a second left out: omitted beyond a limit or because they repeat another, and summed "
          "under other, which is as intended.",
          (per_second("poolwatch_series_dropped_total", "reason"), "{{reason}}"), "ops"),
    lines("Lines of poolwatch's log dropped", "Lines a second that were dropped, because its standard error output was not read fast enough.",
          (per_second("poolwatch_own_log_lines_dropped_total", "instance"), "{{instance}}"), "ops", width=12),
    lines("Settings in force since", "How long ago the settings in force were read.",
          ("time() - poolwatch_config_last_reload_success_timestamp_seconds{@}", "{{instance}}"), "s", width=12),
]

COST = [
    lines("Memory", "Resident memory.", ("process_resident_memory_bytes{@}", "{{instance}}"), "bytes"),
    lines("CPU", "The share of one core.", ("rate(process_cpu_seconds_total{@}[$__rate_interval])", "{{instance}}"),
          "percentunit"),
    lines("Own connections", "poolwatch keeps two connections to each database. Its readings wait for each other; slow statistics "
          "are read one at a time.",
          [('sum by (instance) (avg_over_time(poolwatch_connections{@, state="checked_out"}[$__rate_interval]))', "{{instance}} in use"),
           ('sum by (instance) (avg_over_time(poolwatch_connections_waiting{@}[$__rate_interval]))', "{{instance}} waiting")],
          "short"),
    lines("Connections opened", "Connections that poolwatch opens to each server, a minute: it keeps those it has.",
          ("60 * sum by (instance, server) (rate(poolwatch_connections_opened_total{@}[$__rate_interval]))", "{{instance}} {{server}}"), "short"),
    lines("Collectors that take longest", "The duration of the last reading of the slowest, under postgres_exporter's name.",
          (largest("max by (collector) (pg_scrape_collector_duration_seconds{@})", "collector", 5), "{{collector}}"), "s"),
    lines("Open files", "Open file descriptors.", ("process_open_fds{@}", "{{instance}}"), "short", decimals=0),
    lines("Duration of a scrape", "The time that Prometheus waits for /metrics.", ("scrape_duration_seconds{@}", "{{instance}}"), "s"),
    lines("Series", "Series of each scrape.", ("scrape_samples_scraped{@}", "{{instance}}"), "short"),
    table("Versions", "Which version runs where.", "sum by (instance, version) (poolwatch_build_info{@})", "short",
          {"instance": "instance", "version": "version"}, width=24, height=4),
]

DASHBOARD = dashboard(
    "poolwatch-itself", "poolwatch / poolwatch", "Does poolwatch see everything, and what does it cost?",
    [
        ("Is anybody watching?", NOW),
        ("Which source cannot be read?", SEES),
        ("Is anything left out?", LEFT_OUT),
        ("What does watching cost?", COST),
    ],
)
