//! `pgbouncer_exporter`'s families under its names, so that its dashboards work, and what it lacks.

use super::catalogue::{CONFIG, DATABASES, LISTS, Measure, POOLS, TOTALS, USERS};
use super::clients::Clients;
use super::console::Views;
use super::table::{ConsoleTable, MOST_ROWS};
use crate::metric::{Family, Kind};
use crate::process::{self, Usage};

/// A view of which each row has a sample in each family: the labels with their columns.
struct ViewLabels {
    kind: Kind,
    name: &'static str,
    labels: &'static [(&'static str, &'static str)],
    measures: &'static [Measure],
}

const VIEWS: [ViewLabels; 4] = [
    ViewLabels {
        kind: Kind::Gauge,
        name: "databases",
        labels: &[
            ("name", "name"),
            ("host", "host"),
            ("port", "port"),
            ("database", "database"),
            ("force_user", "force_user"),
            ("pool_mode", "pool_mode"),
        ],
        measures: DATABASES,
    },
    ViewLabels {
        kind: Kind::Counter,
        name: "stats_totals",
        labels: &[("database", "database")],
        measures: TOTALS,
    },
    ViewLabels {
        kind: Kind::Gauge,
        name: "pools",
        labels: &[("database", "database"), ("user", "user")],
        measures: POOLS,
    },
    ViewLabels { kind: Kind::Gauge, name: "users", labels: &[("user", "name")], measures: USERS },
];

/// Every family, and how many samples were left out.
pub(super) fn all(views: &Views) -> (Vec<Family>, u64) {
    let (mut all, mut dropped) = (vec![up(true), version(&views.version)], 0);
    let tables = [&views.databases, &views.totals, &views.pools, &views.slow.users];
    for (view, table) in VIEWS.iter().zip(tables) {
        all.extend(view.measures.iter().map(|measure| view.family(measure, table)));
        dropped += (table.rows().skip(MOST_ROWS).count() * view.measures.len()) as u64;
    }
    all.extend(LISTS.iter().map(|entry| named(entry, &views.lists, "list", "items")));
    all.extend(CONFIG.iter().map(|entry| named(entry, &views.config, "key", "value")));
    all.push(paused(&views.state));
    if let Some(clients) = &views.slow.clients {
        all.push(clients.family());
        dropped += clients.dropped;
    }
    if let Some(usage) = &views.usage {
        all.extend(process::usage("pgbouncer_process", usage));
    }
    all.retain(|family| !family.is_empty());
    (all, dropped)
}

/// Every family without samples, for the documentation.
pub(super) fn empty() -> Vec<Family> {
    let nothing = ConsoleTable::default();
    let mut all = vec![up(true), version(&nothing)];
    for view in &VIEWS {
        all.extend(view.measures.iter().map(|measure| view.family(measure, &nothing)));
    }
    all.extend(LISTS.iter().map(|entry| named(entry, &nothing, "list", "items")));
    all.extend(CONFIG.iter().map(|entry| named(entry, &nothing, "key", "value")));
    all.extend([paused(&nothing), Clients::default().family()]);
    all.extend(process::usage("pgbouncer_process", &Usage::default()));
    all
}

impl ViewLabels {
    fn family(&self, Measure(name, cell, help): &Measure, table: &ConsoleTable) -> Family {
        let mut family = Family::new(self.kind, format!("pgbouncer_{}_{name}", self.name), *help);
        for row in table.rows().take(MOST_ROWS) {
            let text =
                |(label, column): &(&'static str, &str)| (*label, row.text(column).unwrap_or(""));
            family.sample(&self.labels.iter().map(text).collect::<Vec<_>>(), cell.value(row));
        }
        family
    }
}

/// The family that shows whether the console could be read.
pub(super) fn up(up: bool) -> Family {
    let mut family =
        Family::gauge("pgbouncer_up", "Whether PgBouncer's admin console could be read.");
    family.sample(&[], f64::from(u8::from(up)));
    family
}

fn version(table: &ConsoleTable) -> Family {
    let mut family = Family::gauge("pgbouncer_version_info", "PgBouncer's version (SHOW VERSION).");
    let version = table.rows().next().and_then(|row| row.text("version"));
    family.sample(&[("version", version.unwrap_or(""))], version.map(|_| 1.0));
    family
}

/// The family that shows whether a PAUSE without a database's name holds everyone: no database is
/// then shown as paused.
fn paused(state: &ConsoleTable) -> Family {
    let mut family = Family::gauge(
        "pgbouncer_paused",
        "1 while PAUSE holds the clients of all databases (SHOW STATE, since 1.19).",
    );
    family.sample(&[], state.is_yes("paused").map(|yes| f64::from(u8::from(yes))));
    family
}

fn named(
    (name, family, help): &(&str, &str, &str),
    table: &ConsoleTable,
    key: &str,
    value: &str,
) -> Family {
    let mut family = Family::gauge(*family, *help);
    family.sample(&[], table.value(key, name, value));
    family
}

#[cfg(test)]
mod tests {
    use super::super::versions::views;
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

    /// The families that it does not have, or only with its `--pgBouncer.pid-file`.
    const OURS: &str = "
        databases_max_client_connections databases_current_client_connections
        stats_totals_client_logins_total
        users_max_connections users_current_connections
        users_max_client_connections users_current_client_connections
        peers config_query_wait_timeout_seconds paused
        process_cpu_seconds_total process_open_fds";

    /// Since when the families are there that 1.18 lacks.
    const SINCE: [(u32, &str); 13] = [
        (19, "peers"),
        (19, "paused"),
        (23, "stats_totals_server_assignments_total"),
        (23, "users_max_connections"),
        (23, "users_current_connections"),
        (24, "stats_totals_client_parses_total"),
        (24, "stats_totals_server_parses_total"),
        (24, "stats_totals_binds_total"),
        (24, "databases_max_client_connections"),
        (24, "databases_current_client_connections"),
        (24, "users_max_client_connections"),
        (24, "users_current_client_connections"),
        (26, "stats_totals_client_logins_total"),
    ];

    fn names(minor: u32) -> Vec<String> {
        all(&views(minor)).0.iter().map(|family| family.name().to_owned()).collect()
    }

    fn text(minor: u32) -> String {
        let chunk = Chunk::encode(&all(&views(minor)).0);
        String::from_utf8(chunk.plain().to_vec()).unwrap()
    }

    #[test]
    fn every_family_of_pgbouncer_exporter_is_there() {
        let all = EXPORTER.split_whitespace().chain(OURS.split_whitespace());
        let mut all: Vec<_> = all.map(|name| format!("pgbouncer_{name}")).collect();
        let mut ours = names(26);
        all.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, all);
    }

    #[test]
    fn a_version_has_the_families_of_its_columns() {
        for minor in 18..=26 {
            let names = names(minor);
            let has = |name: &str| names.contains(&format!("pgbouncer_{name}"));
            for name in EXPORTER.split_whitespace().chain(OURS.split_whitespace()) {
                let since = SINCE.iter().find(|(_, newer)| *newer == name).map(|(since, _)| *since);
                assert_eq!(has(name), since.is_none_or(|since| minor >= since), "1.{minor} {name}");
            }
        }
    }

    #[test]
    fn no_family_is_left_out_of_the_documentation() {
        let documented: Vec<_> = empty().iter().map(|family| family.name().to_owned()).collect();
        for name in names(26) {
            assert!(documented.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_values_are_the_exporters_in_every_version() {
        for minor in 18..=26 {
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
                assert!(text.lines().any(|shown| shown == line), "1.{minor}: {line}\n{text}");
            }
            let newest = [
                "pgbouncer_databases_max_client_connections{name=\"a\",host=\"/tmp\",port=\"5432\",\
                 database=\"b\",force_user=\"\",pool_mode=\"\"} 7",
                "pgbouncer_users_current_client_connections{user=\"u\"} 5",
                "pgbouncer_stats_totals_client_logins_total{database=\"a\"} 14",
                "pgbouncer_paused 0",
            ];
            for line in newest.iter().filter(|_| minor >= 26) {
                assert!(text.lines().any(|shown| shown == *line), "1.{minor}: {line}\n{text}");
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
            Views { totals: ConsoleTable::new("database, query_count", &rows), ..Views::default() };
        assert_eq!(all(&views).1, 2 * TOTALS.len() as u64);
    }
}
