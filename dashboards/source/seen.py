"""What poolwatch sees, what it does not, and what switches that on."""

import json

from .panel import GREY, table

APPLICATION = [
    ("Workers' reports", 'db_pool_info{@, source=~"workers|shared"}', "in the application: poolwatch.watch(engine, pool='web')"),
    ("A health endpoint", 'db_pool_info{@, source="app_health"}', "pools.api.app_health.url: http://localhost:8000/health/…"),
    ("PgBouncer", "pgbouncer_up{@}", "pools.bouncer.pgbouncer.url: postgresql://stats@…:6432/pgbouncer"),
    ("Size of a pool", "db_pool_capacity{@}", "pools.app.activity: {size: 5, max_overflow: 15, workers: 4}"),
    ("Sessions", 'db_pool_info{@, source="activity"}', "pools.app.activity.server: primary"),
]
SERVER = [
    ("Server", "pg_up{@} == 1", "DATABASE_URL=postgresql://poolwatch@…"),
    ("Statements", "pg_stat_statements_calls_total{@}", "CREATE EXTENSION pg_stat_statements"),
    ("Statements' texts", "pg_stat_statements_query_id{@}", "collectors.stat_statements.include_query: true"),
    ("Server's log", 'poolwatch_source_up{@, source=~"(.+/)?server_log"} == 1', "logs.path: /var/log/postgresql/*.json"),
    ("Processor time", "pg_server_cpu_seconds_total{@}", "run poolwatch on the server's machine"),
    ("Time of reads and writes", "pg_settings_track_io_timing{@} == 1", "ALTER SYSTEM SET track_io_timing = on"),
]
STATES = {1: ("✓ seen", "green"), 0: ("not seen", GREY)}


def row(what, series, how):
    """1 where there is such a series, else 0 with what brings it."""
    named = json.dumps(what)
    return (f'(label_replace(clamp_max(count({series}), 1), "what", {named}, "", "") or on () '
            f'label_replace(label_replace(vector(0), "what", {named}, "", ""), "how", {json.dumps(how)}, "", ""))')


def sources(title, rows):
    return table(title, "What poolwatch sees here, and the setting or the step that brings what it does not see. Panels of what is not "
                 "seen say so in grey.", f"sort({' or '.join(row(*one) for one in rows)})", "short",
                 {"what": "what", "Value": "seen", "how": "switched on by"}, width=12, height=8, value="seen", sort="seen", words={"seen": STATES})


SEEN = [sources("Of the application", APPLICATION), sources("Of the server", SERVER)]
