"""poolwatch's own scrapes, sources, settings and reports."""

from .case import alert, case, fires_once, firing, no_alert, shows, silent

CASES = [
    alert("PoolwatchDown", "critical", "", {
        "up": "1x9 0x9 1x9",
    }, pending="14m", over="22m", fires={
        "15m 21m": "The scrape of app1:8001 (job poolwatch) has failed for 5 minutes.",
    }),

    alert("PoolwatchMissing", "warning", "job=, instance=", {
        "up": "1x9 stale _x13 1x8",
    }, pending="19m", over="26m", fires={
        "20m 25m": "Prometheus knows 0 targets that are poolwatch, or of a job whose name contains poolwatch.",
    }),

    case("a job of any name is poolwatch when its targets say so, and other targets of that job are not", {
        "up{job=shop}": "1x9 0x19 1x9",
        "poolwatch_build_info{job=shop, version=1.0.0}": "1x9 stale _x18 1x9",
        "up{job=shop, instance=app1:9102}": "0x60",
    },
        silent("PoolwatchMissing", "20m"),
        fires_once("PoolwatchDown", "20m"),
        firing("PoolwatchDown", "critical", "job=shop", "20m", "The scrape of app1:8001 (job shop) has failed for 5 minutes."),
        silent("PoolwatchDown", "35m 50m")),

    case("a pod that is gone is not down", {
        "up{job=shop}": "1x9 stale",
        "poolwatch_build_info{job=shop, version=1.0.0}": "1x9 stale",
        "up{job=shop, instance=app2:8001}": "1x60",
        "poolwatch_build_info{job=shop, instance=app2:8001, version=1.0.0}": "1x60",
    }, no_alert("12m 20m 50m")),

    alert("PoolwatchNoLeader", "critical", "instance=, address=db:5432, datname=app", {
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x9 0x9 1x9",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x27",
    }, pending="11m", over="21m", fires={
        "12m 19m": "Of the watchers of database app of PostgreSQL at db:5432 none is the leader.",
    }),

    alert("PoolwatchManyLeaders", "warning", "instance=, address=db:5432, datname=app", {
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x40",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x9 1x9 0x20",
    }, pending="14m", over="21m", fires={
        "15m 19m": "Of the watchers of database app of PostgreSQL at db:5432 2 lead.",
    }),

    case("a leader that ends and is followed by another raises nothing", {
        "up{instance=b:8001}": "1x40",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x9 stale",
        "pg_up{instance=a:8001}": "1x9 stale",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x10 1x30",
        "pg_up{instance=b:8001}": "_x10 1x30",
    }, no_alert("9m 13m 20m 35m")),

    case("a watcher that stands by and cannot reach the server pages nobody", {
        "up{instance=b:8001}": "1x40",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x40",
        "pg_up{instance=a:8001}": "1x40",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x40",
        "pg_up{instance=b:8001}": "_x9 0x31",
        "pg_session_failure{instance=b:8001, reason=too_many_connections_server}": "_x9 0x9 1x22",
    }, no_alert("9m 13m 20m 35m")),

    case("a server that no watcher of a pair can reach is down, and that is all", {
        "up{instance=b:8001}": "1x40",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x9 0x31",
        "pg_up{instance=a:8001}": "1x9 0x31",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x40",
        "pg_up{instance=b:8001}": "_x9 0x31",
    },
        shows("20m", 'count(ALERTS{alertname="DatabaseDown", alertstate="firing"}) == bool 2', "{}"),
        silent("PoolwatchNoLeader", "20m 35m")),

    case("one watcher of one server and another of two agree on who leads, each database by itself", {
        "up{instance=b:8001}": "1x60",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=one}": "1x60",
        "pg_up{instance=a:8001}": "1x60",
        "poolwatch_leader{instance=b:8001, server=one, address=db:5432, datname=one}": "0x60",
        "pg_up{instance=b:8001, server=one}": "_x20 0x40",
        "poolwatch_leader{instance=b:8001, server=two, address=db:5432, datname=two}": "1x60",
        "pg_up{instance=b:8001, server=two}": "1x60",
    }, no_alert("5m 20m 30m 50m")),

    case("a database that nobody leads pages beside another of the same server that is led", {
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=one}": "0x20",
        "poolwatch_leader{instance=b:8001, server=one, address=db:5432, datname=one}": "0x20",
        "poolwatch_leader{instance=b:8001, server=two, address=db:5432, datname=two}": "1x20",
        "pg_up{instance=b:8001, server=two}": "1x20",
    }, firing("PoolwatchNoLeader", "critical", "instance=, address=db:5432, datname=one", "10m",
              "Of the watchers of database one of PostgreSQL at db:5432 none is the leader.")),

    case("a lock that nobody has who is known pages though another watcher is cut off, or not let in", {
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "0x40",
        "pg_up{instance=a:8001}": "0x40",
        "pg_session_failure{instance=a:8001, reason=no_answer}": "1x20 0x20",
        "pg_session_failure{instance=a:8001, reason=authentication}": "0x20 1x20",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x40",
    }, fires_once("PoolwatchNoLeader", "10m 35m")),

    case("a server that lets no watcher of a pair in has no leader for that reason alone", {
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "0x40",
        "pg_up{instance=a:8001}": "0x40",
        "pg_session_failure{instance=a:8001, reason=authentication}": "1x40",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x40",
        "pg_up{instance=b:8001}": "0x40",
        "pg_session_failure{instance=b:8001, reason=authentication}": "1x40",
    },
        silent("PoolwatchNoLeader", "10m 35m"),
        shows("10m", 'count(ALERTS{alertname="PoolwatchDeniedAccess", alertstate="firing"}) == bool 2', "{}")),

    case("a restart is told by the leader after it, who was none before", {
        "up{instance=b:8001}": "1x60",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x9 0x50",
        "pg_up{instance=a:8001}": "1x9 stale",
        "pg_postmaster_start_time_seconds{instance=a:8001}": "-86400x9 stale",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x9 1x50",
        "pg_up{instance=b:8001}": "_x10 1x50",
        "pg_postmaster_start_time_seconds{instance=b:8001}": "_x10 600x50",
    },
        firing("DatabaseRestarted", "info", "instance=b:8001", "13m", "PostgreSQL at b:8001 started 3m 0s ago."),
        silent("DatabaseRestarted", "9m 16m 30m")),

    case("a promotion is told by the leader after it, who was none before", {
        "up{instance=b:8001}": "1x60",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x9 0x50",
        "pg_up{instance=a:8001}": "1x9 stale",
        "pg_replication_is_replica{instance=a:8001}": "1x9 stale",
        "pg_replication_archive_only{instance=a:8001}": "1x9 stale",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x9 1x50",
        "pg_up{instance=b:8001}": "_x10 1x50",
        "pg_replication_is_replica{instance=b:8001}": "_x10 0x50",
    },
        firing("ServerRoleChanged", "info", "instance=b:8001", "13m", "PostgreSQL at b:8001 is now a primary."),
        silent("ServerRoleChanged", "9m 16m 30m")),

    case("a leader that follows another is no restart and no promotion, however young the server", {
        "up{instance=b:8001}": "1x60",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x3 0x50",
        "pg_up{instance=a:8001}": "1x3 stale",
        "pg_postmaster_start_time_seconds{instance=a:8001}": "-10x3 stale",
        "pg_replication_is_replica{instance=a:8001}": "0x3 stale",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x3 1x50",
        "pg_up{instance=b:8001}": "_x4 1x50",
        "pg_postmaster_start_time_seconds{instance=b:8001}": "_x4 -10x50",
        "pg_replication_is_replica{instance=b:8001}": "_x4 0x50",
    }, no_alert("3m 4m 5m 6m 8m 20m")),

    case("a setting that was changed before another led is told by that one, and others are not", {
        "up{instance=b:8001}": "1x60",
        "poolwatch_leader{instance=a:8001, address=db:5432, datname=app}": "1x9 0x50",
        "pg_up{instance=a:8001}": "1x9 stale",
        "pg_settings_work_mem_bytes{instance=a:8001}": "4194304x9 stale",
        "pg_settings_max_connections{instance=a:8001}": "100x9 stale",
        "poolwatch_leader{instance=b:8001, address=db:5432, datname=app}": "0x9 1x50",
        "pg_up{instance=b:8001}": "_x10 1x50",
        "pg_settings_work_mem_bytes{instance=b:8001}": "_x10 8388608x50",
        "pg_settings_max_connections{instance=b:8001}": "_x10 100x50",
    },
        firing("SettingChanged", "info", "instance=b:8001, setting=work_mem_bytes", "13m",
               "Setting work_mem_bytes of PostgreSQL at b:8001 was changed 1 times in the last 4 minutes."),
        silent("SettingChanged", "9m 17m 30m")),

    case("two leaders of servers on their own machines are the leaders of two, of which one is down", {
        "up{instance=b:8001}": "1x40",
        "poolwatch_leader{instance=a:8001, address=localhost:5432, datname=app}": "1x19 0x20",
        "pg_up{instance=a:8001}": "1x19 0x20",
        "pg_server_info{instance=a:8001, address=localhost:5432, host=localhost, port=5432}": "1x40",
        "poolwatch_leader{instance=b:8001, address=localhost:5432, datname=app}": "1x40",
        "pg_up{instance=b:8001}": "1x40",
        "pg_server_info{instance=b:8001, address=localhost:5432, host=localhost, port=5432}": "1x40",
    },
        no_alert("15m"),
        silent("PoolwatchManyLeaders", "35m"),
        firing("DatabaseDown", "critical", "instance=a:8001, address=localhost:5432 at a:8001", "25m",
               "poolwatch at a:8001 cannot reach PostgreSQL at localhost:5432 at a:8001.")),

    case("a pair that reaches one server by a proxy each has one leader", {
        "up{instance=b:8001}": "1x40",
        "poolwatch_leader{instance=a:8001, address=localhost:5432, datname=app}": "1x40",
        "pg_up{instance=a:8001}": "1x40",
        "poolwatch_leader{instance=b:8001, address=localhost:5432, datname=app}": "0x40",
    }, no_alert("15m 35m")),

    alert("PoolwatchRestarting", "warning", "", {
        "process_start_time_seconds": "0x9 600 720 840 960 1080 1200x46",
        "poolwatch_build_info{version=1.0.0}": "1x61",
    }, pending="13m", over="24m", fires={
        "14m": "poolwatch at app1:8001 started 5 times in the last 30 minutes.",
        "23m": "poolwatch at app1:8001 started 6 times in the last 30 minutes.",
    }),

    alert("PoolwatchSourceFailing", "warning", "source=web", {
        "poolwatch_source_up{source=web}": "1x9 0x9 1x9",
    }, pending="14m", over="22m", fires={
        "15m 21m": "poolwatch at app1:8001 has not been able to read web for 5 minutes.",
    }),

    case("a server that does not answer raises one alert, and another source that fails its own", {
        "pg_up{server=one}": "1x9 0x20 1x9",
        "pg_up{server=two}": "1x40",
        "poolwatch_source_up{source=one/probe}": "1x9 0x20 1x9",
        "poolwatch_source_up{source=one/stat_database}": "1x9 0x20 1x9",
        "poolwatch_source_up{source=one/activity}": "1x9 0x20 1x9",
        "poolwatch_source_up{source=two/probe}": "1x40",
        "poolwatch_source_up{source=two/stat_database}": "1x9 0x20 1x9",
        "poolwatch_source_up{source=pool/web}": "1x40",
    },
        fires_once("DatabaseDown", "20m 28m"),
        fires_once("PoolwatchSourceFailing", "20m 28m"),
        firing("PoolwatchSourceFailing", "warning", "source=two/stat_database", "20m 28m",
               "poolwatch at app1:8001 has not been able to read two/stat_database for 5 minutes."),
        silent("DatabaseDown", "39m"),
        silent("PoolwatchSourceFailing", "39m"),
    ),

    case("the sources of an only server are silent while it is down, those of others are not", {
        "pg_up": "1x9 0x30",
        "poolwatch_source_up{source=primary/probe}": "1x9 0x30",
        "poolwatch_source_up{source=primary/locks}": "1x9 0x30",
        "poolwatch_source_up{source=pool/bouncer}": "1x9 0x30",
    },
        fires_once("PoolwatchSourceFailing", "20m 35m"),
        firing("PoolwatchSourceFailing", "warning", "source=pool/bouncer", "20m 35m",
               "poolwatch at app1:8001 has not been able to read pool/bouncer for 5 minutes."),
    ),

    case("a source that still fails when its server answers again is told of", {
        "pg_up": "1x9 0x10 1x30",
        "poolwatch_source_up{source=primary/probe}": "1x9 0x10 1x30",
        "poolwatch_source_up{source=primary/locks}": "1x9 0x40",
    },
        silent("PoolwatchSourceFailing", "19m 24m"),
        fires_once("PoolwatchSourceFailing", "26m 40m"),
    ),

    alert("PoolwatchSourceStale", "warning", "source=server", {
        "poolwatch_source_last_success_timestamp_seconds{source=server}": "0+60x9 540x35 2760+60x9",
        "poolwatch_source_up{source=server}": "1x55",
        "poolwatch_source_interval_seconds{source=server}": "60x70",
    }, pending="19m", over="48m", fires={
        "20m": "poolwatch at app1:8001 last read server 11m 0s ago.",
        "47m": "poolwatch at app1:8001 last read server 36m 0s ago.",
    }),

    alert("PoolwatchReloadFailed", "warning", "", {
        "poolwatch_config_last_reload_successful": "1x9 0x9 1x9",
    }, pending="14m", over="22m", fires={
        "15m 21m": "poolwatch at app1:8001 refused the settings at its last reload and goes on with those before.",
    }),

    alert("PoolwatchNoReports", "warning", "", {
        "poolwatch_reports_total": "0+240x9 2160x29 2400+240x8",
    }, pending="27m", over="42m", fires={
        "28m 41m": "poolwatch at app1:8001 received 0 reports a second in the last 10 minutes.",
    }),

    case("an application whose workers were shut down has nothing to report", {
        "up": "1x60",
        "poolwatch_reports_total": "0+240x9 2160x40",
        "poolwatch_workers_silent": "0x60",
    }, silent("PoolwatchNoReports", "28m 41m")),

    case("PoolwatchNoReports where the last worker was killed", {
        "up": "1x60",
        "poolwatch_reports_total": "0+240x9 2160x40",
        "poolwatch_workers_silent": "0x9 1x40",
    }, fires_once("PoolwatchNoReports", "28m 41m")),

    alert("PoolwatchReportsRejected", "warning", "reason=too_large", {
        "poolwatch_reports_rejected_total{reason=too_large}": "0x9 6+6x19 120x17",
    }, pending="19m", over="32m", fires={
        "20m": "poolwatch at app1:8001 rejected 18 reports in the last 3 minutes (too_large).",
        "31m": "poolwatch at app1:8001 rejected 9 reports in the last 3 minutes (too_large).",
    }),

    alert("PoolwatchSeriesDropped", "warning", "reason=omitted", {
        "poolwatch_series_dropped_total{reason=omitted}": "0x9 40+40x29 1200x32",
    }, pending="24m", over="42m", fires={
        "25m": "poolwatch at app1:8001 dropped 120 series in the last 3 minutes.",
        "41m": "poolwatch at app1:8001 dropped 60 series in the last 3 minutes.",
    }),

    case("workers which stopped for good are forgotten after six hours", {
        "up": "1x120",
        "poolwatch_reports_total": "0+1200x11 13200x108",
    }, fires_once("PoolwatchNoReports", "2h"), no_alert("8h"), interval="5m"),
]
