//! The pools' metric families: `db_pool_*`, and what clients measure of their statements.

use std::collections::BTreeMap;

use super::holders;
use crate::latency::Histogram;
use crate::metric::Family;
use crate::state::{PoolState, Status};
use poolwatch_client::pool_figures::{Cumulative, Figures, Gauge, Row, Timings, Totals, Value};

/// The families of all pools.
pub fn families(pools: &[PoolState]) -> Vec<Family> {
    let mut families = vec![info(pools), workers(pools), apps(pools), status(pools)];
    families.extend(Figures::ROWS.iter().filter_map(|row| figure(pools, row)));
    families.extend(JUDGED.iter().map(|judged| gauge(pools, judged)));
    families.extend(Totals::ROWS.iter().map(|row| total(pools, row)));
    families.extend(Timings::ROWS.iter().map(|row| timing(pools, row)));
    families.extend(holders::families(pools));
    families
}

type Judged = (&'static str, &'static str, fn(&PoolState) -> Option<f64>);

fn gauge(pools: &[PoolState], (name, help, value): &Judged) -> Family {
    let mut family = Family::gauge(*name, *help);
    for pool in pools {
        family.sample(&[("pool", &pool.pool.name)], value(pool));
    }
    family
}

fn figure(pools: &[PoolState], row: &Gauge) -> Option<Family> {
    let mut family = Family::gauge(row.metric?, row.help);
    for pool in pools {
        let value = (row.get)(&pool.sum).and_then(Value::number);
        family.sample(&[("pool", &pool.pool.name)], value);
    }
    Some(family)
}

fn total(pools: &[PoolState], row: &Row<Totals, u64>) -> Family {
    let mut family = Family::counter(row.metric, row.help);
    for pool in pools {
        let total = (row.get)(&pool.pool.totals).map(|total| total as f64);
        family.sample(&[("pool", &pool.pool.name)], total);
    }
    family
}

fn timing(pools: &[PoolState], row: &Row<Timings, Histogram>) -> Family {
    let mut family = Family::histogram(row.metric, row.help);
    for pool in pools {
        if let Some(histogram) = (row.get)(&pool.pool.timings) {
            family.durations(&[("pool", &pool.pool.name)], histogram);
        }
    }
    family
}

/// The families that are judged from a pool's figures.
const JUDGED: &[Judged] = &[
    (
        "db_pool_busiest_worker_utilization_ratio",
        "The busiest worker's checked out / capacity, by which the status is judged; \
         the whole pool's where workers cannot be distinguished.",
        |p| p.busiest,
    ),
    (
        "db_pool_peak_utilization_ratio",
        "The highest utilization of any worker in the last minute.",
        |p| p.peak,
    ),
];

fn info(pools: &[PoolState]) -> Family {
    let mut family = Family::gauge(
        "db_pool_info",
        "1 for each server that a pool's connections go to (host, port, database, role, as far as \
         they are known), and where its figures come from; `activity` is inferred and a lower bound.",
    );
    for pool in pools {
        let own = [("pool", pool.pool.name.as_str()), ("source", pool.pool.origin.as_str())];
        if pool.pool.targets.is_empty() {
            family.sample(&own, 1.0);
        }
        for target in &pool.pool.targets {
            let port = target.port.to_string();
            let mut labels = own.to_vec();
            labels.extend([("host", target.host.as_str()), ("port", port.as_str())]);
            labels.extend(target.database.as_deref().map(|database| ("database", database)));
            labels.extend(target.role.as_deref().map(|role| ("role", role)));
            family.sample(&labels, 1.0);
        }
    }
    family
}

fn workers(pools: &[PoolState]) -> Family {
    let mut family = Family::gauge("db_pool_workers", "Workers whose pools are summed.");
    for pool in pools {
        family
            .sample(&[("pool", &pool.pool.name)], pool.pool.worker_count.map(|count| count as f64));
    }
    family
}

/// Applications that share a pool's name, told apart by the names that they give themselves.
fn apps(pools: &[PoolState]) -> Family {
    let mut family = Family::gauge(
        "db_pool_app_workers",
        "Workers whose pools are summed, by the application's own name.",
    );
    for pool in pools {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for app in pool.pool.workers.iter().filter_map(|worker| worker.app.as_deref()) {
            *counts.entry(app).or_default() += 1;
        }
        for (app, count) in counts {
            family.sample(&[("pool", &pool.pool.name), ("app", app)], f64::from(count));
        }
    }
    family
}

fn status(pools: &[PoolState]) -> Family {
    let mut family =
        Family::gauge("db_pool_status", "1 for the status the busiest worker is in, else 0.");
    for pool in pools {
        let Some(now) = pool.status else { continue };
        for &status in Status::ALL {
            let labels = [("pool", pool.pool.name.as_str()), ("status", status.as_str())];
            family.sample(&labels, f64::from(u8::from(status == now)));
        }
    }
    family
}
