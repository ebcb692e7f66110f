//! The views as each version shows them, for the tests: 1.18 and 1.26 as recorded, those between as
//! their changelogs and sources have it.

use super::clients::Clients;
use super::console::{SlowViews, Views};
use super::table::ConsoleTable;
use crate::process::Usage;

/// All of them: 18 stands for 1.18.
pub(super) fn views(minor: u32) -> Views {
    let clients = {
        let mut clients = Clients::default();
        for state in ["active", "active", "waiting"] {
            clients.count(|column| match column {
                "state" => Some(state.to_owned()),
                "application_name" => Some("web".to_owned()),
                "database" => Some("a".to_owned()),
                _ => None,
            });
        }
        clients
    };
    Views {
        version: ConsoleTable::new("version", &[&format!("PgBouncer 1.{minor}.0")]),
        pools: pools(minor),
        databases: databases(minor),
        totals: totals(minor),
        lists: lists(minor),
        config: ConsoleTable::new(
            "key, value, default, changeable",
            &[
                "max_client_conn, 100, 100, yes",
                "max_user_connections, 0, 0, yes",
                "query_wait_timeout, 120, 120, yes",
                "x, y, z, no",
            ],
        ),
        state: if minor < 19 {
            ConsoleTable::default()
        } else {
            ConsoleTable::new("key, value", &["active, yes", "paused, no"])
        },
        slow: SlowViews { users: users(minor), clients: Some(clients) },
        usage: Some(Usage { cpu_seconds: Some(0.5), open_fds: Some(50), ..Usage::default() }),
    }
}

fn lists(minor: u32) -> ConsoleTable {
    let mut rows = vec!["databases, 2", "users, 3"];
    rows.extend((minor >= 19).then_some("peers, 2"));
    rows.push("pools, 2");
    rows.extend((minor >= 19).then_some("peer_pools, 0"));
    rows.extend(["free_clients, 49", "used_clients, 1", "login_clients, 0", "free_servers, 50"]);
    rows.extend(["used_servers, 0", "dns_names, 0", "dns_zones, 0", "dns_queries, 0"]);
    rows.push("dns_pending, 0");
    ConsoleTable::new("list, items", &rows)
}

fn users(minor: u32) -> ConsoleTable {
    match minor {
        ..=22 => ConsoleTable::new("name, pool_mode", &["u, NULL"]),
        23 => ConsoleTable::new(
            "name, pool_size, pool_mode, max_user_connections, current_connections",
            &["u, , NULL, 0, 2"],
        ),
        24.. => ConsoleTable::new(
            "name, pool_size, reserve_pool_size, pool_mode, max_user_connections, \
             current_connections, max_user_client_connections, current_client_connections",
            &["u, , , NULL, 0, 2, 0, 5"],
        ),
    }
}

fn pools(minor: u32) -> ConsoleTable {
    let columns = "database, user, cl_active, cl_waiting, cl_active_cancel_req, \
        cl_waiting_cancel_req, sv_active, sv_active_cancel, sv_being_canceled, sv_idle, \
        sv_used, sv_tested, sv_login, maxwait, maxwait_us, pool_mode";
    let row = "a, u, 2, 3, 0, 0, 2, 0, 0, 0, 0, 0, 0, 7, 500000, session";
    if minor < 24 {
        return ConsoleTable::new(columns, &[row]);
    }
    ConsoleTable::new(&format!("{columns}, load_balance_hosts"), &[&format!("{row}, NULL")])
}

fn databases(minor: u32) -> ConsoleTable {
    let (columns, row) = match minor {
        ..=22 => (
            "name, host, port, database, force_user, pool_size, min_pool_size, reserve_pool, \
             pool_mode, max_connections, current_connections, paused, disabled",
            "a, /tmp, 5432, b, NULL, 2, 0, 1, NULL, 0, 2, 0, 0",
        ),
        23 => (
            "name, host, port, database, force_user, pool_size, min_pool_size, reserve_pool, \
             server_lifetime, pool_mode, max_connections, current_connections, paused, disabled",
            "a, /tmp, 5432, b, NULL, 2, 0, 1, 3600, NULL, 0, 2, 0, 0",
        ),
        24.. => (
            "name, host, port, database, force_user, pool_size, min_pool_size, \
             reserve_pool_size, server_lifetime, pool_mode, load_balance_hosts, \
             max_connections, current_connections, max_client_connections, \
             current_client_connections, paused, disabled",
            "a, /tmp, 5432, b, NULL, 2, 0, 1, 3600, NULL, NULL, 0, 2, 7, 5, 0, 0",
        ),
    };
    ConsoleTable::new(columns, &[row])
}

fn totals(minor: u32) -> ConsoleTable {
    let columns = "xact_count, query_count, bytes_received, bytes_sent, xact_time, query_time, \
        wait_time";
    let (before, after) = match minor {
        ..=22 => ("", ""),
        23 => ("server_assignment_count, ", ""),
        24..=25 => {
            ("server_assignment_count, ", ", client_parse_count, server_parse_count, bind_count")
        }
        26.. => (
            "server_assignment_count, ",
            ", client_parse_count, server_parse_count, bind_count, client_login_count",
        ),
    };
    let first = if before.is_empty() { "" } else { "8, " };
    let last = &", 11, 12, 13, 14"[..after.matches(',').count() * 4];
    let row = format!("a, {first}1, 2, 3, 4, 5000000, 6000000, 7000000{last}");
    ConsoleTable::new(&format!("database, {before}{columns}{after}"), &[&row])
}
