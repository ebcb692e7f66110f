//! `pgbouncer_exporter`'s families, and those it lacks: which column of which view each shows.
//!
//! Its `pgbouncer_stats_totals_queries_total` is not in the list: the column has gone since 1.8.

use super::table::ConsoleRow;

/// A family of a view: its name after the view's, how it is read, and what it says.
pub(super) struct Measure(pub(super) &'static str, pub(super) Cell, pub(super) &'static str);

/// The way in which one cell or two become a value.
pub(super) enum Cell {
    /// As it is.
    Of(&'static str),
    /// Microseconds, shown as seconds.
    Micros(&'static str),
    /// By its newer name, or else by its older.
    Renamed(&'static str, &'static str),
    /// Seconds in one column and the microseconds beyond them in another.
    Seconds(&'static str, &'static str),
}

use Cell::{Micros, Of, Renamed, Seconds};

pub(super) const DATABASES: &[Measure] = &[
    Measure(
        "pool_size",
        Of("pool_size"),
        "Servers each of its pools may have (SHOW DATABASES, pool_size).",
    ),
    Measure(
        "reserve_pool",
        Renamed("reserve_pool_size", "reserve_pool"),
        "Servers more for clients that wait long (SHOW DATABASES, reserve_pool_size; reserve_pool before 1.24).",
    ),
    Measure(
        "max_connections",
        Of("max_connections"),
        "Servers all its pools may have, 0 is unlimited (SHOW DATABASES, max_connections).",
    ),
    Measure(
        "current_connections",
        Of("current_connections"),
        "Servers all its pools have (SHOW DATABASES, current_connections).",
    ),
    Measure(
        "max_client_connections",
        Of("max_client_connections"),
        "Clients it may have, 0 is unlimited (SHOW DATABASES, max_client_connections, since 1.24).",
    ),
    Measure(
        "current_client_connections",
        Of("current_client_connections"),
        "Clients it has (SHOW DATABASES, current_client_connections, since 1.24).",
    ),
    Measure("paused", Of("paused"), "1 while PAUSE holds its clients (SHOW DATABASES, paused)."),
    Measure(
        "disabled",
        Of("disabled"),
        "1 while DISABLE turns new clients away (SHOW DATABASES, disabled).",
    ),
];

pub(super) const TOTALS: &[Measure] = &[
    Measure(
        "queries_pooled_total",
        Of("query_count"),
        "Statements (SHOW STATS_TOTALS, query_count).",
    ),
    Measure(
        "queries_duration_seconds_total",
        Micros("query_time"),
        "Time servers spent on statements (SHOW STATS_TOTALS, query_time).",
    ),
    Measure(
        "received_bytes_total",
        Of("bytes_received"),
        "Bytes from clients (SHOW STATS_TOTALS, bytes_received).",
    ),
    Measure(
        "sent_bytes_total",
        Of("bytes_sent"),
        "Bytes to clients (SHOW STATS_TOTALS, bytes_sent).",
    ),
    Measure(
        "client_wait_seconds_total",
        Micros("wait_time"),
        "Time clients waited for a server (SHOW STATS_TOTALS, wait_time).",
    ),
    Measure(
        "sql_transactions_pooled_total",
        Of("xact_count"),
        "Transactions (SHOW STATS_TOTALS, xact_count).",
    ),
    Measure(
        "server_in_transaction_seconds_total",
        Micros("xact_time"),
        "Time servers spent in transactions, the idle in them included (SHOW STATS_TOTALS, xact_time).",
    ),
    Measure(
        "client_parses_total",
        Of("client_parse_count"),
        "Prepared statements made by clients (SHOW STATS_TOTALS, client_parse_count, since 1.24).",
    ),
    Measure(
        "server_parses_total",
        Of("server_parse_count"),
        "Prepared statements made on servers (SHOW STATS_TOTALS, server_parse_count, since 1.24).",
    ),
    Measure(
        "binds_total",
        Of("bind_count"),
        "Prepared statements bound (SHOW STATS_TOTALS, bind_count, since 1.24).",
    ),
    Measure(
        "server_assignments_total",
        Of("server_assignment_count"),
        "Times a client was given a server (SHOW STATS_TOTALS, server_assignment_count, since 1.23).",
    ),
    Measure(
        "client_logins_total",
        Of("client_login_count"),
        "Clients that logged in (SHOW STATS_TOTALS, client_login_count, since 1.26).",
    ),
];

pub(super) const POOLS: &[Measure] = &[
    Measure(
        "client_active_connections",
        Of("cl_active"),
        "Clients that have a server or need none now (SHOW POOLS, cl_active).",
    ),
    Measure(
        "client_active_cancel_connections",
        Of("cl_active_cancel_req"),
        "Clients whose cancel request is on its way to the server (SHOW POOLS, cl_active_cancel_req).",
    ),
    Measure(
        "client_waiting_connections",
        Of("cl_waiting"),
        "Clients waiting for a server (SHOW POOLS, cl_waiting).",
    ),
    Measure(
        "client_waiting_cancel_connections",
        Of("cl_waiting_cancel_req"),
        "Clients whose cancel request waits (SHOW POOLS, cl_waiting_cancel_req).",
    ),
    Measure(
        "server_active_connections",
        Of("sv_active"),
        "Servers taken by a client (SHOW POOLS, sv_active).",
    ),
    Measure(
        "server_active_cancel_connections",
        Of("sv_active_cancel"),
        "Servers carrying a cancel request (SHOW POOLS, sv_active_cancel).",
    ),
    Measure(
        "server_being_canceled_connections",
        Of("sv_being_canceled"),
        "Servers kept until the cancel requests to them end (SHOW POOLS, sv_being_canceled).",
    ),
    Measure(
        "server_idle_connections",
        Of("sv_idle"),
        "Servers free for the next client (SHOW POOLS, sv_idle).",
    ),
    Measure(
        "server_used_connections",
        Of("sv_used"),
        "Servers that were idle for so long that they are checked before use (SHOW POOLS, sv_used).",
    ),
    Measure(
        "server_testing_connections",
        Of("sv_tested"),
        "Servers being reset or checked (SHOW POOLS, sv_tested).",
    ),
    Measure(
        "server_login_connections",
        Of("sv_login"),
        "Servers being logged in to (SHOW POOLS, sv_login).",
    ),
    Measure(
        "client_maxwait_seconds",
        Seconds("maxwait", "maxwait_us"),
        "How long the first of the waiting clients has waited (SHOW POOLS, maxwait and maxwait_us).",
    ),
];

pub(super) const USERS: &[Measure] = &[
    Measure(
        "max_connections",
        Of("max_user_connections"),
        "Servers the user may have, 0 is unlimited; read every 15 seconds (SHOW USERS, max_user_connections, since 1.23).",
    ),
    Measure(
        "current_connections",
        Of("current_connections"),
        "Servers the user has; read every 15 seconds (SHOW USERS, current_connections, since 1.23).",
    ),
    Measure(
        "max_client_connections",
        Of("max_user_client_connections"),
        "Clients the user may have, 0 is unlimited; read every 15 seconds (SHOW USERS, max_user_client_connections, since 1.24).",
    ),
    Measure(
        "current_client_connections",
        Of("current_client_connections"),
        "Clients the user has; read every 15 seconds (SHOW USERS, current_client_connections, since 1.24).",
    ),
];

/// A row of SHOW LISTS, its family, and what it says.
pub(super) const LISTS: &[(&str, &str, &str)] = &[
    ("databases", "pgbouncer_databases", "Databases (SHOW LISTS, databases)."),
    ("users", "pgbouncer_users", "Users (SHOW LISTS, users)."),
    ("pools", "pgbouncer_pools", "Pools (SHOW LISTS, pools)."),
    (
        "peers",
        "pgbouncer_peers",
        "PgBouncers that pass cancel requests on to one another, this one included (SHOW LISTS, peers, since 1.19).",
    ),
    (
        "free_clients",
        "pgbouncer_free_clients",
        "Client slots allocated and free (SHOW LISTS, free_clients).",
    ),
    ("used_clients", "pgbouncer_used_clients", "Client slots in use (SHOW LISTS, used_clients)."),
    ("login_clients", "pgbouncer_login_clients", "Clients logging in (SHOW LISTS, login_clients)."),
    (
        "free_servers",
        "pgbouncer_free_servers",
        "Server slots allocated and free (SHOW LISTS, free_servers).",
    ),
    ("used_servers", "pgbouncer_used_servers", "Server slots in use (SHOW LISTS, used_servers)."),
    ("dns_names", "pgbouncer_cached_dns_names", "Host names remembered (SHOW LISTS, dns_names)."),
    ("dns_zones", "pgbouncer_cached_dns_zones", "DNS zones remembered (SHOW LISTS, dns_zones)."),
    (
        "dns_queries",
        "pgbouncer_in_flight_dns_queries",
        "DNS queries under way (SHOW LISTS, dns_queries).",
    ),
];

/// A key of SHOW CONFIG, its family, and what it says.
pub(super) const CONFIG: &[(&str, &str, &str)] = &[
    (
        "max_client_conn",
        "pgbouncer_config_max_client_connections",
        "Clients there may be (SHOW CONFIG, max_client_conn).",
    ),
    (
        "max_user_connections",
        "pgbouncer_config_max_user_connections",
        "Servers a user may have, 0 is unlimited (SHOW CONFIG, max_user_connections).",
    ),
    (
        "query_wait_timeout",
        "pgbouncer_config_query_wait_timeout_seconds",
        "How long a client waits for a server before it is disconnected, 0 is forever (SHOW CONFIG, query_wait_timeout).",
    ),
];

impl Cell {
    /// The value in a row; absent when the version lacks the column.
    pub(super) fn value(&self, row: ConsoleRow<'_>) -> Option<f64> {
        match self {
            Of(column) => row.number(column),
            Micros(column) => row.number(column).map(|micros| micros / 1e6),
            Renamed(newer, older) => row.number(newer).or_else(|| row.number(older)),
            Seconds(whole, micros) => {
                Some(row.number(whole)? + row.number(micros).unwrap_or(0.0) / 1e6)
            }
        }
    }
}
