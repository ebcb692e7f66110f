//! The pools' metric families: `db_pool_*`, and what clients measure of their statements.

use crate::metric::Family;
use crate::reading::{Figures, MaxOverflow, Totals};
use crate::state::{PoolState, Status};

/// The families of all pools.
pub fn families(pools: &[PoolState]) -> Vec<Family> {
    let mut families = vec![info(pools), workers(pools), status(pools)];
    families.extend(FIGURES.iter().map(|figure| gauge(pools, figure)));
    families.extend(RATIOS.iter().map(|ratio| gauge(pools, ratio)));
    families.extend(TOTALS.iter().map(|total| counter(pools, total)));
    families.extend(durations(pools));
    families
}

type Gauge = (&'static str, &'static str, fn(&PoolState) -> Option<f64>);
type Counter = (&'static str, &'static str, fn(&Totals) -> Option<u64>);

fn gauge(pools: &[PoolState], (name, help, value): &Gauge) -> Family {
    let mut family = Family::gauge(*name, *help);
    for pool in pools {
        family.sample(&[("pool", &pool.pool.name)], value(pool));
    }
    family
}

fn counter(pools: &[PoolState], (name, help, value): &Counter) -> Family {
    let mut family = Family::counter(*name, *help);
    for pool in pools {
        family.sample(
            &[("pool", &pool.pool.name)],
            value(&pool.pool.totals).map(|total| total as f64),
        );
    }
    family
}

fn connections(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

const FIGURES: &[Gauge] = &[
    ("db_pool_size", "Connections the pool keeps, over all workers.", |p| connections(p.sum.size)),
    (
        "db_pool_max_overflow",
        "Connections the pool may open above its size, over all workers; absent when unlimited.",
        |p| connections(p.sum.max_overflow.and_then(MaxOverflow::limit)),
    ),
    ("db_pool_capacity", "Size and max overflow, over all workers; absent when unlimited.", |p| {
        connections(Figures::capacity(&p.sum))
    }),
    ("db_pool_checked_in", "Connections open and resting in the pool.", |p| {
        connections(p.sum.checked_in)
    }),
    ("db_pool_checked_out", "Connections taken by the application.", |p| {
        connections(p.sum.checked_out)
    }),
    ("db_pool_overflow", "Connections open above the pool's size, never negative.", |p| {
        connections(p.sum.overflow)
    }),
    (
        "db_pool_pending",
        "Callers waiting for one of the pool's connections, all of which are taken.",
        |p| connections(p.sum.pending),
    ),
    (
        "db_pool_pending_peak",
        "The most callers that waited at once in the last minute, over all workers.",
        |p| p.pending_peak,
    ),
    (
        "db_pool_connecting",
        "Callers that have a place in the pool and open or check a connection.",
        |p| connections(p.sum.connecting),
    ),
    ("db_pool_oldest_checkout_seconds", "The longest current hold of a connection.", |p| {
        p.sum.oldest_checkout
    }),
];

const RATIOS: &[Gauge] = &[
    (
        "db_pool_utilization_ratio",
        "Checked out / capacity over all workers; absent without a capacity.",
        |p| p.utilization,
    ),
    (
        "db_pool_busiest_worker_utilization_ratio",
        "The busiest worker's checked out / capacity, by which the status is judged; \
         the whole pool's where workers cannot be told apart.",
        |p| p.busiest,
    ),
    (
        "db_pool_peak_utilization_ratio",
        "The highest utilization of any worker in the last minute.",
        |p| p.peak,
    ),
];

const TOTALS: &[Counter] = &[
    ("db_pool_acquire_timeouts_total", "Acquires that waited until the pool's timeout.", |t| {
        t.timeouts
    }),
    (
        "db_pool_acquire_errors_total",
        "Acquires that failed for another reason than the timeout.",
        |t| t.acquire_errors,
    ),
    ("db_pool_connections_opened_total", "Connections opened.", |t| t.opened),
    ("db_pool_connections_invalidated_total", "Connections thrown away as broken.", |t| {
        t.invalidated
    }),
    (
        "db_pool_inherited_connections_total",
        "Connections found in a forked process that belong to its parent.",
        |t| t.inherited,
    ),
    ("db_query_errors_total", "Statements that failed, as the client saw.", |t| t.query_errors),
    (
        "db_n_plus_one_checkouts_total",
        "Checkouts that ran one statement for each row of another.",
        |t| t.n_plus_one,
    ),
    (
        "db_unpaginated_queries_total",
        "SELECTs without LIMIT that returned 1,000 rows or more.",
        |t| t.unpaginated,
    ),
];

fn info(pools: &[PoolState]) -> Family {
    let mut family = Family::gauge(
        "db_pool_info",
        "Where a pool's figures come from; `activity` is inferred and a lower bound.",
    );
    for pool in pools {
        family.sample(&[("pool", &pool.pool.name), ("source", pool.pool.origin.as_str())], 1.0);
    }
    family
}

fn workers(pools: &[PoolState]) -> Family {
    let mut family = Family::gauge("db_pool_workers", "Workers whose pools are summed.");
    for pool in pools {
        family.sample(&[("pool", &pool.pool.name)], connections(pool.pool.worker_count));
    }
    family
}

fn status(pools: &[PoolState]) -> Family {
    let mut family =
        Family::gauge("db_pool_status", "1 for the status the busiest worker is in, else 0.");
    for pool in pools {
        let Some(now) = pool.status else { continue };
        for status in Status::ALL {
            let labels = [("pool", pool.pool.name.as_str()), ("status", status.as_str())];
            family.sample(&labels, f64::from(u8::from(status == now)));
        }
    }
    family
}

fn durations(pools: &[PoolState]) -> [Family; 4] {
    let mut acquire = Family::histogram(
        "db_pool_acquire_duration_seconds",
        "Getting a connection, its wait included.",
    );
    let mut hold = Family::histogram(
        "db_pool_hold_duration_seconds",
        "From getting a connection to returning it.",
    );
    let mut query = Family::histogram(
        "db_query_duration_seconds",
        "Statements as the client measured them, exactly.",
    );
    let mut commit = Family::histogram(
        "db_commit_duration_seconds",
        "COMMITs as the client measured them, exactly.",
    );
    for pool in pools {
        let labels = [("pool", pool.pool.name.as_str())];
        let timings = &pool.pool.timings;
        for (family, histogram) in [
            (&mut acquire, &timings.acquire),
            (&mut hold, &timings.hold),
            (&mut query, &timings.query),
            (&mut commit, &timings.commit),
        ] {
            if let Some(histogram) = histogram {
                family.durations(&labels, histogram);
            }
        }
    }
    [acquire, hold, query, commit]
}
