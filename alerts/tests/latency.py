"""How long the application waits for connections, statements and commits."""

from .case import alert, case, fires_once, histogram, no_alert

CASES = [
    alert("AcquireLatencyHigh", "warning", "pool=web", histogram("db_pool_acquire_duration_seconds{pool=web}", {
        "0.1": "0+60x9 595+55x14 1425+60x10",
        "0.2": "0+60x9 600+60x14 1500+60x10",
        "+Inf": "0+60x9 600+60x14 1500+60x10",
    }), pending="15m", over="26m", fires={
        "16m 25m": "The p95 of getting a connection from pool web at app1:8001 is 140ms.",
    }),

    alert("HoldTimeHigh", "info", "pool=web", histogram("db_pool_hold_duration_seconds{pool=web}", {
        "1": "0+60x9 594+54x29 2220+60x12",
        "2.5": "0+60x9 600+60x29 2400+60x12",
        "+Inf": "0+60x9 600+60x29 2400+60x12",
    }), pending="25m", over="41m", fires={
        "26m 40m": "The p95 of holding a connection of pool web at app1:8001 is 1.75s.",
    }),

    alert("QueryLatencyAboveTarget", "info", "pool=web", histogram("db_query_duration_seconds{pool=web}", {
        "0.1": "0+60x9 595+55x19 1700+60x10",
        "0.2": "0+60x9 600+60x19 1800+60x10",
        "+Inf": "0+60x9 600+60x19 1800+60x10",
    }), pending="20m", over="31m", fires={
        "21m 30m": "The p95 of the queries of pool web at app1:8001 is 140ms.",
    }),

    alert("QueryLatencyHigh", "warning", "pool=web", histogram("db_query_duration_seconds{pool=web}", {
        "0.1": "0+60x9 570+30x19 1200+60x10",
        "0.2": "0+60x9 595+55x19 1700+60x10",
        "0.3": "0+60x9 600+60x19 1800+60x10",
        "+Inf": "0+60x9 600+60x19 1800+60x10",
    }), pending="20m", over="31m", fires={
        "21m 30m": "The p95 of the queries of pool web at app1:8001 is 240ms.",
    }),

    alert("SlowQueries", "warning", "pool=web", histogram("db_query_duration_seconds{pool=web}", {
        "0.05": "0+100x9 997+97x19 2940+100x10",
        "1": "0+100x9 997+97x19 2940+100x10",
        "2.5": "0+100x9 1000+100x19 3000+100x10",
        "+Inf": "0+100x9 1000+100x19 3000+100x10",
    }), pending="19m", over="32m", fires={
        "20m": "The p99 of the queries of pool web at app1:8001 is 2s.",
        "31m": "The p99 of the queries of pool web at app1:8001 is 1.5s.",
    }),

    alert("SlowStatementsLogged", "info", "datname=redditbot", histogram("db_statement_duration_seconds{datname=redditbot}", {
        "1": "0+10x9 94+4x19 180+10x16",
        "2.5": "0+10x9 100+10x19 300+10x16",
        "+Inf": "0+10x9 100+10x19 300+10x16",
    }), pending="20m", over="32m", fires={
        "21m": "The log of database redditbot at app1:8001 shows 6.0 statements a minute that took over a second.",
        "31m": "The log of database redditbot at app1:8001 shows 5.3 statements a minute that took over a second.",
    }),

    alert("StatementLatencyHigh", "warning", "datname=redditbot", {
        "db_statement_duration_within_total{datname=redditbot, threshold=0.2, bound=upper}": "0+60x9 594+54x29 2220+60x12",
        "db_statement_duration_within_total{datname=redditbot, threshold=0.2, bound=lower}": "0+60x9 570+30x29 1500+60x12",
        "db_statement_duration_estimated_seconds_count{datname=redditbot}": "0+60x9 600+60x29 2400+60x12",
    }, pending="24m", over="42m", fires={
        "25m": "At least 10% of the statements in database redditbot at app1:8001 took longer than 200 ms in the last "
               "3 minutes. This is a lower bound, not an estimate.",
        "41m": "At least 5% of the statements in database redditbot at app1:8001 took longer than 200 ms in the last "
               "3 minutes. This is a lower bound, not an estimate.",
    }),

    alert("CommitLatencyHigh", "warning", "pool=web", histogram("db_commit_duration_seconds{pool=web}", {
        "0.1": "0+60x9 595+55x19 1700+60x10",
        "0.2": "0+60x9 600+60x19 1800+60x10",
        "+Inf": "0+60x9 600+60x19 1800+60x10",
    }), pending="20m", over="31m", fires={
        "21m 30m": "The p95 of the commits of pool web at app1:8001 is 140ms.",
    }),

    alert("ProbeLatencyHigh", "warning", "", {
        "db_probe_duration_seconds_bucket{le=0.1}": "0+12x9 114+6x11 192+12x12",
        "db_probe_duration_seconds_bucket{le=0.2}": "0+12x9 120+12x11 264+12x12",
        "db_probe_duration_seconds_bucket{le=+Inf}": "0+12x9 120+12x11 264+12x12",
    }, pending="14m", over="24m", fires={
        "15m": "The p95 of SELECT 1 from app1:8001 to PostgreSQL is 190ms.",
        "23m": "The p95 of SELECT 1 from app1:8001 to PostgreSQL is 180ms.",
    }),

    alert("QueryErrors", "warning", "pool=web", {
        "db_query_errors_total{pool=web}": "0x9 12+12x29 360x12",
        "db_query_duration_seconds_count{pool=web}": "0+120x9 1200+120x29 4800+120x12",
    }, pending="20m", over="41m", fires={
        "21m 40m": "Of the queries of pool web at app1:8001 10% fail.",
    }),

    alert("NPlusOneQueries", "info", "pool=web", {
        "db_n_plus_one_checkouts_total{pool=web}": "0x9 4+4x49 200x29",
    }, pending="42m", over="1h2m", fires={
        "43m": "Pool web at app1:8001 sees 4.0 checkouts a minute that repeat one statement many times.",
        "1h1m": "Pool web at app1:8001 sees 3.7 checkouts a minute that repeat one statement many times.",
    }),

    alert("UnpaginatedQueries", "info", "pool=web", {
        "db_unpaginated_queries_total{pool=web}": "0x9 3+3x49 150x27",
    }, pending="43m", over="1h2m", fires={
        "44m": "Pool web at app1:8001 sees 3.0 large results a minute from queries without LIMIT.",
        "1h1m": "Pool web at app1:8001 sees 2.8 large results a minute from queries without LIMIT.",
    }),

    # Every statement may have taken long, and by the estimate half did: it is not certain of more than 4 %.
    case("a share above 200 ms that is likely but not certain is no alert", {
        "up": "1x60",
        "db_statement_duration_within_total{datname=redditbot, threshold=0.2, bound=upper}": "0+57.6x60",
        "db_statement_duration_within_total{datname=redditbot, threshold=0.2, bound=lower}": "0x60",
        **histogram("db_statement_duration_estimated_seconds{datname=redditbot}", {"0.2": "0+30x60", "1": "0+60x60", "+Inf": "0+60x60"}),
    }, no_alert("1h")),

    # Three slow queries in five minutes of a quiet night are 100 % of the traffic.
    case("a few slow queries at night are not a p95", {
        "up": "1x60",
        **histogram("db_query_duration_seconds{pool=web}", {"1": "0x60", "2.5": "0+0.6x60", "+Inf": "0+0.6x60"}),
    }, no_alert("1h")),

    case("Prometheus 3 writes the bound of one second as 1.0", {
        "db_statement_duration_seconds_bucket{datname=redditbot, le=1.0}": "0+4x60",
        "db_statement_duration_seconds_count{datname=redditbot}": "0+10x60",
    }, fires_once("SlowStatementsLogged", "1h")),
]
