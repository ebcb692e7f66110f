//! `pgbouncer_exporter`'s families under its names, so that its dashboards work.

use std::collections::BTreeMap;

use super::Views;
use super::catalogue::{CONFIG, DATABASES, LISTS, Measure, POOLS, TOTALS};
use super::table::Table;
use crate::metric::{Family, Kind};

/// The most rows of a view that are shown, and the most groups of clients.
const MOST_ROWS: usize = 500;

/// Every family, and how many samples were left out.
pub(super) fn all(views: &Views) -> (Vec<Family>, u64) {
    let (mut all, mut dropped) = (vec![up(true), version(&views.version)], 0);
    let database = ["name", "host", "port", "database", "force_user", "pool_mode"];
    for (kind, view, table, labels, measures) in [
        (Kind::Gauge, "databases", &views.databases, &database[..], DATABASES),
        (Kind::Counter, "stats_totals", &views.totals, &["database"][..], TOTALS),
        (Kind::Gauge, "pools", &views.pools, &["database", "user"][..], POOLS),
    ] {
        for Measure(name, cell, help) in measures {
            let mut family = Family::new(kind, format!("pgbouncer_{view}_{name}"), *help);
            for row in table.rows().take(MOST_ROWS) {
                let text = |label: &&'static str| (*label, row.text(label).unwrap_or(""));
                family.sample(&labels.iter().map(text).collect::<Vec<_>>(), cell.value(row));
            }
            dropped += table.rows().skip(MOST_ROWS).count() as u64;
            all.push(family);
        }
    }
    all.extend(LISTS.iter().map(|entry| named(entry, &views.lists, "list", "items")));
    all.extend(CONFIG.iter().map(|entry| named(entry, &views.config, "key", "value")));
    if let Some(clients) = &views.seldom.clients {
        all.push(clients.family());
        dropped += clients.dropped;
    }
    all.retain(|family| !family.is_empty());
    (all, dropped)
}

/// Whether the console could be read.
pub(super) fn up(up: bool) -> Family {
    let mut family =
        Family::gauge("pgbouncer_up", "Whether PgBouncer's admin console could be read.");
    family.sample(&[], f64::from(u8::from(up)));
    family
}

fn version(table: &Table) -> Family {
    let mut family = Family::gauge("pgbouncer_version_info", "PgBouncer's version (SHOW VERSION).");
    let version = table.rows().next().and_then(|row| row.text("version"));
    family.sample(&[("version", version.unwrap_or(""))], version.map(|_| 1.0));
    family
}

fn named(
    (name, family, help): &(&str, &str, &str),
    table: &Table,
    key: &str,
    value: &str,
) -> Family {
    let mut family = Family::gauge(*family, *help);
    family.sample(&[], table.value(key, name, value));
    family
}

/// Clients counted by database, user, application and state.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    counts: BTreeMap<[String; 4], u64>,
    dropped: u64,
}

/// What clients are counted by.
const GROUP: [&str; 4] = ["database", "user", "application_name", "state"];

impl Clients {
    /// Counts a client, of which the cells are told by the names of their columns.
    pub(super) fn count(&mut self, cell: impl Fn(&str) -> Option<String>) {
        let group = GROUP.map(|column| cell(column).unwrap_or_default());
        if self.counts.len() >= MOST_ROWS && !self.counts.contains_key(&group) {
            self.dropped += 1;
            return;
        }
        *self.counts.entry(group).or_default() += 1;
    }

    fn family(&self) -> Family {
        let mut family = Family::gauge(
            "pgbouncer_client_connections",
            "Clients by application and state, counted every 15 seconds (SHOW CLIENTS).",
        );
        for (group, count) in &self.counts {
            let labels: Vec<_> = GROUP.into_iter().zip(group.iter().map(String::as_str)).collect();
            family.sample(&labels, *count as f64);
        }
        family
    }
}

#[cfg(test)]
mod tests {
    use super::super::Seldom;
    use super::*;
    use crate::exposition::Chunk;

    /// Every family of `pgbouncer_exporter` that some version since 1.18 has the column of.
    const EXPORTER: &str = "
        up version_info
        databases_pool_size databases_reserve_pool databases_max_connections
        databases_current_connections databases_paused databases_disabled
        stats_totals_queries_pooled_total stats_totals_queries_duration_seconds_total
        stats_totals_received_bytes_total stats_totals_sent_bytes_total
        stats_totals_client_wait_seconds_total stats_totals_sql_transactions_pooled_total
        stats_totals_server_in_transaction_seconds_total stats_totals_client_parses_total
        stats_totals_server_parses_total stats_totals_binds_total
        stats_totals_server_assignments_total
        pools_client_active_connections pools_client_active_cancel_connections
        pools_client_waiting_connections pools_client_waiting_cancel_connections
        pools_server_active_connections pools_server_active_cancel_connections
        pools_server_being_canceled_connections pools_server_idle_connections
        pools_server_used_connections pools_server_testing_connections
        pools_server_login_connections pools_client_maxwait_seconds
        databases users pools free_clients used_clients login_clients free_servers used_servers
        cached_dns_names cached_dns_zones in_flight_dns_queries
        config_max_client_connections config_max_user_connections
        client_connections";

    /// What 1.24 added to `SHOW STATS_TOTALS`, beside what 1.23 did.
    const SINCE_1_24: [&str; 3] = ["client_parses_total", "server_parses_total", "binds_total"];

    /// The views as a version shows them: 18 stands for 1.18.
    fn views(minor: u32) -> Views {
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
            version: Table::new("version", &[&format!("PgBouncer 1.{minor}.0")]),
            pools: pools(minor),
            databases: databases(minor),
            totals: totals(minor),
            lists: Table::new(
                "list, items",
                &[
                    "databases, 2",
                    "users, 3",
                    "peers, 0",
                    "pools, 2",
                    "peer_pools, 0",
                    "free_clients, 49",
                    "used_clients, 1",
                    "login_clients, 0",
                    "free_servers, 50",
                    "used_servers, 0",
                    "dns_names, 0",
                    "dns_zones, 0",
                    "dns_queries, 0",
                    "dns_pending, 0",
                ],
            ),
            config: Table::new(
                "key, value, default, changeable",
                &[
                    "max_client_conn, 100, 100, yes",
                    "max_user_connections, 0, 0, yes",
                    "x, y, z, no",
                ],
            ),
            seldom: Seldom {
                users: Table::new("name, pool_mode", &["u, NULL"]),
                clients: Some(clients),
            },
        }
    }

    fn pools(minor: u32) -> Table {
        let columns = "database, user, cl_active, cl_waiting, cl_active_cancel_req, \
            cl_waiting_cancel_req, sv_active, sv_active_cancel, sv_being_canceled, sv_idle, \
            sv_used, sv_tested, sv_login, maxwait, maxwait_us, pool_mode";
        let row = "a, u, 2, 3, 0, 0, 2, 0, 0, 0, 0, 0, 0, 7, 500000, session";
        if minor < 24 {
            return Table::new(columns, &[row]);
        }
        Table::new(&format!("{columns}, load_balance_hosts"), &[&format!("{row}, NULL")])
    }

    fn databases(minor: u32) -> Table {
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
                "a, /tmp, 5432, b, NULL, 2, 0, 1, 3600, NULL, NULL, 0, 2, 0, 5, 0, 0",
            ),
        };
        Table::new(columns, &[row])
    }

    fn totals(minor: u32) -> Table {
        let columns = "xact_count, query_count, bytes_received, bytes_sent, xact_time, query_time, \
            wait_time";
        let (before, after) = match minor {
            ..=22 => ("", ""),
            23 => ("server_assignment_count, ", ""),
            24 => (
                "server_assignment_count, ",
                ", client_parse_count, server_parse_count, bind_count",
            ),
            25.. => (
                "server_assignment_count, ",
                ", client_parse_count, server_parse_count, bind_count, client_login_count",
            ),
        };
        let first = if before.is_empty() { "" } else { "8, " };
        let last = ", 11, 12, 13, 14".get(..after.matches(',').count() * 4).unwrap_or("");
        let row = format!("a, {first}1, 2, 3, 4, 5000000, 6000000, 7000000{last}");
        Table::new(&format!("database, {before}{columns}{after}"), &[&row])
    }

    fn names(minor: u32) -> Vec<String> {
        all(&views(minor)).0.iter().map(|family| family.name().to_owned()).collect()
    }

    fn text(minor: u32) -> String {
        let chunk = Chunk::encode(&all(&views(minor)).0);
        String::from_utf8(chunk.text().to_vec()).unwrap()
    }

    #[test]
    fn every_family_of_pgbouncer_exporter_is_there() {
        let mut exporter: Vec<_> =
            EXPORTER.split_whitespace().map(|name| format!("pgbouncer_{name}")).collect();
        let mut ours = names(25);
        exporter.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, exporter);
    }

    #[test]
    fn a_version_has_the_families_of_its_columns() {
        for minor in 18..=25 {
            let names = names(minor);
            let has = |name: &str| names.iter().any(|known| known.ends_with(name));
            assert_eq!(has("_server_assignments_total"), minor >= 23, "1.{minor}");
            for name in SINCE_1_24 {
                assert_eq!(has(name), minor >= 24, "1.{minor} {name}");
            }
            let everywhere = EXPORTER.split_whitespace().filter(|name| {
                !name.ends_with("assignments_total")
                    && !SINCE_1_24.iter().any(|newer| name.ends_with(newer))
            });
            for name in everywhere {
                assert!(has(name), "1.{minor} {name}");
            }
        }
    }

    #[test]
    fn the_values_are_the_exporters_in_every_version() {
        for minor in 18..=25 {
            let text = text(minor);
            for line in [
                "pgbouncer_up 1",
                "pgbouncer_databases_reserve_pool{name=\"a\",host=\"/tmp\",port=\"5432\",\
                 database=\"b\",force_user=\"\",pool_mode=\"\"} 1",
                "pgbouncer_pools_client_waiting_connections{database=\"a\",user=\"u\"} 3",
                "pgbouncer_pools_client_maxwait_seconds{database=\"a\",user=\"u\"} 7.5",
                "pgbouncer_stats_totals_queries_pooled_total{database=\"a\"} 2",
                "pgbouncer_stats_totals_client_wait_seconds_total{database=\"a\"} 7",
                "pgbouncer_users 3",
                "pgbouncer_config_max_user_connections 0",
                "pgbouncer_client_connections{database=\"a\",user=\"\",application_name=\"web\",\
                 state=\"active\"} 2",
            ] {
                assert!(text.lines().any(|known| known == line), "1.{minor}: {line}\n{text}");
            }
            let version = format!("pgbouncer_version_info{{version=\"PgBouncer 1.{minor}.0\"}} 1");
            assert!(text.contains(&version));
        }
    }

    #[test]
    fn rows_and_groups_beyond_the_limit_are_counted_as_dropped() {
        let mut clients = Clients::default();
        (0..MOST_ROWS + 7).for_each(|number| clients.count(|_| Some(number.to_string())));
        assert_eq!((clients.family().len(), clients.dropped), (MOST_ROWS, 7));
        let rows: Vec<String> = (0..MOST_ROWS + 2).map(|number| format!("d{number}, 1")).collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let views =
            Views { totals: Table::new("database, query_count", &rows), ..Views::default() };
        assert_eq!(all(&views).1, 2 * TOTALS.len() as u64);
    }
}
