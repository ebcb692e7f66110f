//! `PgBouncer`'s pools as one pool with a worker for each (database, user) pair.

use std::collections::BTreeSet;

use super::console::Views;
use super::counts::{CHECKED_IN, CHECKED_OUT, sum, taken};
use super::limits::{Limit, Limits};
use super::table::{ConsoleRow, ViewProblem};
use crate::reading::{
    ConnectionTarget, Figures, Holders, Origin, Pool, TARGETS, Timings, Totals, Worker,
};

/// The console's own database, which has no servers.
const CONSOLE: &str = "pgbouncer";

pub(super) fn parse(name: &str, views: &Views) -> Result<Pool, ViewProblem> {
    let pairs = || views.pools.rows().filter(|row| row.text("database") != Some(CONSOLE));
    let limits = Limits::new(views, pairs());
    let timeout = query_wait_timeout(views);
    let worker = |row: ConsoleRow<'_>| {
        let (database, user) = (row.text("database").unwrap_or(""), row.text("user").unwrap_or(""));
        let limit = limits.pair(database, user, taken(row));
        Ok(Worker {
            app: Some(format!("{database}/{user}")),
            figures: Figures { timeout, ..figures(row, limit)? },
            growth_limit: limit.growth,
            ..Worker::default()
        })
    };
    Ok(Pool {
        name: name.to_owned(),
        origin: Origin::Pgbouncer,
        workers: pairs().map(worker).collect::<Result<_, _>>()?,
        worker_count: None,
        totals: Totals::default(),
        timings: Timings::default(),
        holders: Holders::default(),
        targets: targets(views),
    })
}

/// The time in seconds after which a client that waits is disconnected; 0 is never.
fn query_wait_timeout(views: &Views) -> Option<f64> {
    let timeout = views.config.value("key", "query_wait_timeout", "value");
    timeout.filter(|seconds| *seconds > 0.0)
}

/// The servers of the databases that have a pool: each with the role of its own, or of the pool.
fn targets(views: &Views) -> Vec<ConnectionTarget> {
    let socket = views.config.row("key", "unix_socket_dir").and_then(|row| row.text("value"));
    let mut targets = BTreeSet::new();
    for pair in views.pools.rows().filter(|row| row.text("database") != Some(CONSOLE)) {
        let name = pair.text("database").unwrap_or("");
        let Some(row) = views.databases.row("name", name) else { continue };
        let port = row.text("port").and_then(|port| port.parse().ok()).unwrap_or(5432);
        let role = row.text("force_user").filter(|role| !role.is_empty()).or(pair.text("user"));
        let database = row.text("database").unwrap_or(name);
        let hosts = row.text("host").filter(|host| !host.is_empty()).or(socket).unwrap_or("");
        let each = hosts.split(',');
        targets.extend(
            each.filter_map(|host| ConnectionTarget::new(host, port, Some(database), role)),
        );
    }
    targets.into_iter().take(TARGETS).collect()
}

fn figures(row: ConsoleRow<'_>, limit: Limit) -> Result<Figures, ViewProblem> {
    row.needed("POOLS", CHECKED_OUT[0])?;
    row.needed("POOLS", CHECKED_IN[0])?;
    let (checked_out, checked_in) = (sum(row, CHECKED_OUT), sum(row, CHECKED_IN));
    let above = |size| (checked_out + checked_in).saturating_sub(size);
    Ok(Figures {
        size: limit.size,
        max_overflow: limit.more,
        checked_in: Some(checked_in),
        checked_out: Some(checked_out),
        overflow: limit.size.filter(|size| *size > 0).map(above),
        pending: Some(row.needed("POOLS", "cl_waiting")?),
        ..Figures::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::console::SlowViews;
    use super::super::table::ConsoleTable;
    use super::*;
    use crate::reading::{GrowthLimit, MaxOverflow};

    const POOLS: &str = "database, user, cl_active, cl_waiting, cl_active_cancel_req, \
        cl_waiting_cancel_req, sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, \
        sv_tested, sv_login, maxwait, maxwait_us, pool_mode";
    const DATABASES: &str = "name, host, port, database, force_user, pool_size, min_pool_size, \
        reserve_pool, pool_mode, max_connections, current_connections, paused, disabled";

    fn databases(size: u64, reserve: u64, most: u64) -> ConsoleTable {
        let row = format!("a, NULL, 5432, a, NULL, {size}, 0, {reserve}, NULL, {most}, 3, 0, 0");
        ConsoleTable::new(DATABASES, &[&row])
    }

    #[test]
    fn a_client_waits_for_query_wait_timeout() {
        let pools =
            ConsoleTable::new(POOLS, &["a, u, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, session"]);
        let timeout = |seconds| {
            let config =
                ConsoleTable::new("key, value", &[&format!("query_wait_timeout, {seconds}")]);
            one(&pools, &databases(5, 2, 0), &ConsoleTable::default(), &config).timeout
        };
        assert_eq!([timeout(120), timeout(0)], [Some(120.0), None]);
    }

    fn one(
        pools: &ConsoleTable,
        databases: &ConsoleTable,
        users: &ConsoleTable,
        config: &ConsoleTable,
    ) -> Figures {
        all("26.1", pools, databases, users, config)[0].figures
    }

    fn all(
        minor: &str,
        pools: &ConsoleTable,
        databases: &ConsoleTable,
        users: &ConsoleTable,
        config: &ConsoleTable,
    ) -> Vec<Worker> {
        let views = Views {
            version: ConsoleTable::new("version", &[&format!("PgBouncer 1.{minor}")]),
            pools: pools.clone(),
            databases: databases.clone(),
            config: config.clone(),
            slow: SlowViews { users: users.clone(), clients: None },
            ..Views::default()
        };
        parse("bouncer", &views).unwrap().workers
    }

    fn with(size: u64, reserve: u64, most: u64) -> Figures {
        let pools =
            ConsoleTable::new(POOLS, &["a, u, 2, 3, 0, 0, 2, 1, 1, 1, 1, 1, 1, 7, 5, session"]);
        one(
            &pools,
            &databases(size, reserve, most),
            &ConsoleTable::default(),
            &ConsoleTable::default(),
        )
    }

    #[test]
    fn each_pair_is_a_worker_and_the_console_is_none() {
        let pools = ConsoleTable::new(
            POOLS,
            &[
                "a, u, 2, 3, 0, 0, 5, 0, 0, 0, 0, 0, 0, 7, 5, session",
                "a, v, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, session",
                "pgbouncer, pgbouncer, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, statement",
            ],
        );
        let nothing = ConsoleTable::default();
        let workers = all("18.0", &pools, &databases(5, 0, 0), &nothing, &nothing);
        let apps: Vec<_> = workers.iter().map(|worker| worker.app.as_deref()).collect();
        assert_eq!(apps, [Some("a/u"), Some("a/v")]);
        let sum = Figures::sum(workers.iter().map(|worker| &worker.figures));
        assert_eq!(
            (sum.checked_out, sum.pending, sum.utilization()),
            (Some(6), Some(3), Some(0.6))
        );
        assert_eq!(workers[0].figures.utilization(), Some(1.0));
    }

    #[test]
    fn cancelling_servers_are_taken_and_tested_ones_rest() {
        let figures = with(5, 5, 0);
        assert_eq!((figures.checked_out, figures.checked_in), (Some(4), Some(3)));
        assert_eq!((figures.overflow, figures.capacity()), (Some(2), Some(10)));
    }

    #[test]
    fn a_database_limit_caps_size_and_reserve() {
        assert_eq!(with(5, 5, 7).max_overflow, Some(MaxOverflow::Limited(2)));
        assert_eq!((with(5, 5, 6).size, with(5, 5, 6).capacity()), (Some(5), Some(6)));
    }

    #[test]
    fn what_other_pairs_have_taken_of_a_limit_is_no_capacity() {
        let nothing = ConsoleTable::default();
        let rows = [
            "a, u, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, session",
            "a, v, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, session",
            "a, w, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, session",
        ];
        let pools = ConsoleTable::new(POOLS, &rows);
        let capacities = |workers: &[Worker]| -> Vec<_> {
            workers.iter().map(|worker| worker.figures.capacity()).collect()
        };
        let workers = all("26.1", &pools, &databases(5, 0, 6), &nothing, &nothing);
        assert_eq!(capacities(&workers), [Some(4), Some(4), Some(2)]);
        assert_eq!(workers[0].growth_limit, None);
        let workers = all("26.1", &pools, &databases(5, 0, 4), &nothing, &nothing);
        assert_eq!(capacities(&workers), [Some(2), Some(2), Some(4)]);
        assert_eq!(workers[0].figures.utilization(), Some(1.0));
        assert!(
            workers.iter().all(|worker| worker.growth_limit == Some(GrowthLimit::DatabaseLimit(4)))
        );
        let config = ConsoleTable::new("key, value", &["max_user_connections, 2"]);
        let workers = all("18.0", &pools, &databases(5, 0, 0), &nothing, &config);
        assert_eq!(capacities(&workers), [Some(2), Some(2), Some(2)]);
        assert_eq!(workers[1].growth_limit, Some(GrowthLimit::UserLimit(2)));
        assert_eq!(workers[2].growth_limit, None, "the user w has taken none");
    }

    #[test]
    fn zero_is_unlimited() {
        assert_eq!((with(0, 5, 0).capacity(), with(0, 5, 0).size), (None, None));
        assert_eq!(with(0, 5, 8).capacity(), Some(8));
    }

    #[test]
    fn zero_is_one_server_at_most_before_1_24() {
        let pools =
            ConsoleTable::new(POOLS, &["a, u, 1, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, session"]);
        let nothing = ConsoleTable::default();
        let none = Some(GrowthLimit::NoSize);
        for (minor, expected) in
            [("18.0", (Some(1), none)), ("23.1", (Some(1), none)), ("24.0", (None, None))]
        {
            let workers = all(minor, &pools, &databases(0, 0, 0), &nothing, &nothing);
            assert_eq!(
                (workers[0].figures.capacity(), workers[0].growth_limit),
                expected,
                "1.{minor}"
            );
        }
    }

    #[test]
    fn a_users_own_size_goes_before_the_databases() {
        let pools =
            ConsoleTable::new(POOLS, &["a, u, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, session"]);
        let columns = "name, pool_size, reserve_pool_size, pool_mode, max_user_connections";
        let own = ConsoleTable::new(columns, &["u,         6, , NULL, 0"]);
        let figures = one(&pools, &databases(5, 2, 0), &own, &ConsoleTable::default());
        assert_eq!((figures.size, figures.capacity()), (Some(6), Some(8)));
        let config = ConsoleTable::new("key, value", &["max_user_connections, 4"]);
        let none = ConsoleTable::new("name, pool_mode", &["u, NULL"]);
        assert_eq!(one(&pools, &databases(5, 2, 0), &none, &config).capacity(), Some(4));
    }

    #[test]
    fn a_size_that_show_users_repeats_is_not_believed_before_1_26() {
        let rows = ["a, t", "a, u", "a, v"].map(|pair| format!("{pair}{}", ", 0".repeat(13)));
        let pools = ConsoleTable::new(POOLS, &rows.each_ref().map(String::as_str));
        let users = ConsoleTable::new(
            "name, pool_size, reserve_pool_size, pool_mode, max_user_connections",
            &["t, , , NULL, 0", "u, 9, 1, NULL, 0", "v, 9, 1, NULL, 0"],
        );
        for (minor, last) in [("23.1", 5), ("25.2", 5), ("26.0", 10)] {
            let workers = all(minor, &pools, &databases(5, 0, 0), &users, &ConsoleTable::default());
            let capacities: Vec<_> =
                workers.iter().filter_map(|worker| worker.figures.capacity()).collect();
            assert_eq!(capacities, [5, 10, last], "1.{minor}");
        }
    }

    #[test]
    fn a_paused_database_and_a_paused_pgbouncer_hold_their_pairs() {
        let pools =
            ConsoleTable::new(POOLS, &["a, u, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, session"]);
        let row = "a, NULL, 5432, a, NULL, 5, 0, 0, NULL, 0, 0, 1, 0";
        let growth_limit = |databases: ConsoleTable, state: ConsoleTable| {
            let pools = pools.clone();
            let views = Views { pools, databases, state, ..Views::default() };
            parse("bouncer", &views).unwrap().workers[0].growth_limit
        };
        let (nothing, paused) =
            (ConsoleTable::default(), ConsoleTable::new("key, value", &["paused, yes"]));
        assert_eq!(
            growth_limit(ConsoleTable::new(DATABASES, &[row]), nothing.clone()),
            Some(GrowthLimit::Paused)
        );
        assert_eq!(growth_limit(databases(5, 0, 0), paused), Some(GrowthLimit::Paused));
        assert_eq!(growth_limit(databases(5, 0, 0), nothing), None);
    }

    #[test]
    fn a_view_without_its_column_is_named() {
        let pools = ConsoleTable::new("database, user, sv_active, sv_idle", &["a, u, 1, 1"]);
        let error = parse("b", &Views { pools, ..Views::default() }).map(|_| ());
        assert_eq!(error, Err(ViewProblem::Column { view: "POOLS", column: "cl_waiting" }));
    }
}
