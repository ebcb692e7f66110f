//! `PgBouncer`'s pools as one pool with a worker for each (database, user) pair.

use super::table::{Problem, Row, Table};
use crate::reading::{Figures, MaxOverflow, Origin, Pool, Timings, Totals, Worker};

/// The console's own database, which has no servers.
const CONSOLE: &str = "pgbouncer";

/// What is taken by clients: those that cancel count towards the size too.
const CHECKED_OUT: [&str; 3] = ["sv_active", "sv_active_cancel", "sv_being_canceled"];
/// What rests, or will after its check.
const CHECKED_IN: [&str; 3] = ["sv_idle", "sv_used", "sv_tested"];

pub(super) fn parse(
    name: &str,
    pools: &Table,
    databases: &Table,
    users: &Table,
    config: &Table,
) -> Result<Pool, Problem> {
    let every_user = config.rows().find(|row| row.text("key") == Some("max_user_connections"));
    let every_user = every_user.and_then(|row| row.count("value"));
    let worker = |row: Row<'_>| {
        let pair = (row.text("database").unwrap_or(""), row.text("user").unwrap_or(""));
        let database = databases.rows().find(|row| row.text("name") == Some(pair.0));
        let user = users.rows().find(|row| row.text("name") == Some(pair.1));
        let figures = figures(row, limits(database, user, every_user))?;
        Ok(Worker { app: Some(format!("{}/{}", pair.0, pair.1)), figures, ..Worker::default() })
    };
    let pairs = pools.rows().filter(|row| row.text("database") != Some(CONSOLE));
    Ok(Pool {
        name: name.to_owned(),
        origin: Origin::Pgbouncer,
        workers: pairs.map(worker).collect::<Result<_, _>>()?,
        worker_count: None,
        totals: Totals::default(),
        timings: Timings::default(),
    })
}

fn figures(row: Row<'_>, limits: Limits) -> Result<Figures, Problem> {
    let sum =
        |columns: [&str; 3]| columns.iter().filter_map(|column| row.count(column)).sum::<u64>();
    row.needed("POOLS", CHECKED_OUT[0])?;
    row.needed("POOLS", CHECKED_IN[0])?;
    let (checked_out, checked_in) = (sum(CHECKED_OUT), sum(CHECKED_IN));
    let above = |size| (checked_out + checked_in).saturating_sub(size);
    Ok(Figures {
        size: limits.size,
        max_overflow: limits.more,
        checked_in: Some(checked_in),
        checked_out: Some(checked_out),
        overflow: limits.size.filter(|size| *size > 0).map(above),
        pending: Some(row.needed("POOLS", "cl_waiting")?),
        peak: None,
        oldest_checkout: None,
    })
}

/// How many servers a pair may have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Limits {
    size: Option<u64>,
    more: Option<MaxOverflow>,
}

/// The pool's size and reserve, the user's own before the database's, and neither above what the
/// database and the user may have over all their pools. 0 is unlimited, but for the reserve.
fn limits(database: Option<Row<'_>>, user: Option<Row<'_>>, every_user: Option<u64>) -> Limits {
    let of = |row: Option<Row<'_>>, column| row.and_then(|row| row.count(column));
    let reserve = of(user, "reserve_pool_size")
        .or_else(|| of(database, "reserve_pool_size"))
        .or_else(|| of(database, "reserve_pool"));
    let Some(size) = of(user, "pool_size").or_else(|| of(database, "pool_size")) else {
        return Limits::default();
    };
    let user = of(user, "max_user_connections").or(every_user);
    let caps = [of(database, "max_connections"), user].into_iter().flatten();
    match (size, caps.filter(|cap| *cap > 0).min()) {
        (0, None) => Limits { size: None, more: Some(MaxOverflow::Unlimited) },
        (0, Some(cap)) => Limits { size: Some(cap), more: Some(MaxOverflow::Limited(0)) },
        (size, cap) => {
            let cap = cap.unwrap_or(u64::MAX);
            let more = reserve.unwrap_or(0).min(cap.saturating_sub(size));
            Limits { size: Some(size.min(cap)), more: Some(MaxOverflow::Limited(more)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOLS: &str = "database, user, cl_active, cl_waiting, cl_active_cancel_req, \
        cl_waiting_cancel_req, sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, \
        sv_tested, sv_login, maxwait, maxwait_us, pool_mode";
    const DATABASES: &str = "name, host, port, database, force_user, pool_size, min_pool_size, \
        reserve_pool, pool_mode, max_connections, current_connections, paused, disabled";

    fn databases(size: u64, reserve: u64, most: u64) -> Table {
        let row = format!("a, NULL, 5432, a, NULL, {size}, 0, {reserve}, NULL, {most}, 3, 0, 0");
        Table::new(DATABASES, &[&row])
    }

    fn users(columns: &str, row: &str) -> Table {
        Table::new(columns, &[row])
    }

    fn one(pools: &Table, databases: &Table, users: &Table, config: &Table) -> Figures {
        parse("bouncer", pools, databases, users, config).unwrap().workers[0].figures
    }

    fn with(size: u64, reserve: u64, most: u64) -> Figures {
        let pools = Table::new(POOLS, &["a, u, 2, 3, 0, 0, 2, 1, 1, 1, 1, 1, 1, 7, 5, session"]);
        one(&pools, &databases(size, reserve, most), &Table::default(), &Table::default())
    }

    #[test]
    fn each_pair_is_a_worker_and_the_console_is_none() {
        let pools = Table::new(
            POOLS,
            &[
                "a, u, 2, 3, 0, 0, 5, 0, 0, 0, 0, 0, 0, 7, 5, session",
                "a, v, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, session",
                "pgbouncer, pgbouncer, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, statement",
            ],
        );
        let databases = databases(5, 0, 0);
        let pool =
            parse("bouncer", &pools, &databases, &Table::default(), &Table::default()).unwrap();
        let apps: Vec<_> = pool.workers.iter().map(|worker| worker.app.as_deref()).collect();
        assert_eq!(apps, [Some("a/u"), Some("a/v")]);
        let sum = Figures::sum(pool.workers.iter().map(|worker| &worker.figures));
        assert_eq!(
            (sum.checked_out, sum.pending, sum.utilization()),
            (Some(6), Some(3), Some(0.6))
        );
        assert_eq!(pool.workers[0].figures.utilization(), Some(1.0));
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
        assert_eq!((with(5, 5, 3).size, with(5, 5, 3).capacity()), (Some(3), Some(3)));
    }

    #[test]
    fn zero_is_unlimited() {
        assert_eq!((with(0, 5, 0).capacity(), with(0, 5, 0).size), (None, None));
        assert_eq!(with(0, 5, 8).capacity(), Some(8));
    }

    #[test]
    fn a_users_own_size_goes_before_the_databases() {
        let pools = Table::new(POOLS, &["a, u, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, session"]);
        let columns = "name, pool_size, reserve_pool_size, pool_mode, max_user_connections";
        let own = users(columns, "u,         6, , NULL, 0");
        let figures = one(&pools, &databases(5, 2, 0), &own, &Table::default());
        assert_eq!((figures.size, figures.capacity()), (Some(6), Some(8)));
        let config = Table::new("key, value", &["max_user_connections, 4"]);
        let none = users("name, pool_mode", "u, NULL");
        assert_eq!(one(&pools, &databases(5, 2, 0), &none, &config).capacity(), Some(4));
    }

    #[test]
    fn a_view_without_its_column_is_named() {
        let pools = Table::new("database, user, sv_active, sv_idle", &["a, u, 1, 1"]);
        let error = parse("b", &pools, &databases(5, 0, 0), &Table::default(), &Table::default());
        assert_eq!(error, Err(Problem::Column { view: "POOLS", column: "cl_waiting" }));
    }
}
