//! The metric families of endpoints: who takes the connections of a pool.

use crate::latency::Histogram;
use crate::metric::Family;
use crate::reading::Endpoint;
use crate::state::PoolState;

/// The upper bounds in seconds of an endpoint's holds: few of those of a pool, for each is a series of
/// each endpoint.
const BOUNDS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

/// The families of the endpoints of all pools.
pub(super) fn families(pools: &[PoolState]) -> [Family; 4] {
    let mut checked_out = Family::gauge(
        "db_pool_endpoint_checked_out",
        "Connections taken, by the application's endpoint or task.",
    );
    let mut checkouts = Family::counter(
        "db_pool_endpoint_checkouts_total",
        "Connections given out, by the application's endpoint or task.",
    );
    let mut held = Family::counter(
        "db_pool_endpoint_held_seconds_total",
        "Seconds for which connections were held, those still out included, by the application's endpoint or task.",
    );
    let mut holds = Family::histogram(
        "db_pool_endpoint_hold_duration_seconds",
        "From getting a connection to returning it, by the application's endpoint or task.",
    );
    for (pool, endpoint) in pools.iter().flat_map(endpoints) {
        let labels = [("pool", pool), ("endpoint", endpoint.name.as_str())];
        checked_out.sample(&labels, endpoint.checked_out as f64);
        checkouts.sample(&labels, endpoint.totals.checkouts as f64);
        held.sample(&labels, endpoint.totals.held);
        if let Some(histogram) = endpoint.totals.hold.as_ref().and_then(coarser) {
            holds.durations(&labels, &histogram);
        }
    }
    [checked_out, checkouts, held, holds]
}

fn endpoints(state: &PoolState) -> impl Iterator<Item = (&str, &Endpoint)> {
    let endpoints = state.pool.holders.endpoints.iter();
    endpoints.map(|endpoint| (state.pool.name.as_str(), endpoint))
}

/// The same counts over fewer bounds.
fn coarser(histogram: &Histogram) -> Option<Histogram> {
    let mut counts = vec![0; BOUNDS.len() + 1];
    let bounds = histogram.bounds().iter().copied().chain([f64::INFINITY]);
    for (bound, count) in bounds.zip(histogram.counts()) {
        let bucket = BOUNDS.partition_point(|coarse| *coarse < bound);
        counts[bucket] += count;
    }
    Histogram::from_counts(BOUNDS, counts, histogram.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolwatch_client::histogram::HOLD_BOUNDS;

    #[test]
    fn fewer_buckets_hold_the_same_counts() {
        assert!(BOUNDS.iter().all(|bound| HOLD_BOUNDS.contains(bound)), "the counts are exact");
        let mut fine = Histogram::new(HOLD_BOUNDS);
        for seconds in [0.0004, 0.01, 0.02, 0.4, 0.5, 20.0, 299.0, 900.0] {
            fine.observe(seconds);
        }
        let coarse = coarser(&fine).unwrap();
        assert_eq!(coarse.counts(), [2, 1, 2, 0, 0, 1, 1, 1]);
        assert_eq!(coarse.sum(), fine.sum());
    }
}
