//! The budget of series: what the pools of all workers may have together, so that no application
//! fills a Prometheus by the number of its endpoints.

use std::collections::BTreeMap;

use super::settings::Settings;
use super::total::Total;

/// The series of a pool whose workers report all there is, with one target and one application.
/// docs/topology.md has it, which a test compares with a scrape.
pub const SERIES_OF_POOL: usize = 120;

/// The series of an endpoint.
pub const SERIES_OF_ENDPOINT: usize = 13;

/// The series of a pool whose endpoints are all summed.
const AT_LEAST: usize = SERIES_OF_POOL + SERIES_OF_ENDPOINT;

/// What pools and endpoints may have.
#[derive(Debug)]
pub(super) struct Budget {
    max_series: usize,
    max_pools: usize,
    max_endpoints: usize,
    /// The series that there may be beside those that there are.
    left: usize,
}

impl Budget {
    /// The budget of no pools.
    pub(super) fn new(settings: &Settings) -> Self {
        let &Settings { max_series, max_pools, max_endpoints, .. } = settings;
        Self { max_series, max_pools, max_endpoints, left: max_series }
    }

    /// The most pools.
    pub(super) fn max_pools(&self) -> usize {
        self.max_pools.min((self.max_series / AT_LEAST).max(1))
    }

    /// The most endpoints with names of their own of a pool that has so many.
    pub(super) fn max_endpoints(&self, named: usize) -> usize {
        self.max_endpoints.min(named + self.left / SERIES_OF_ENDPOINT)
    }

    /// Takes in that there is one more pool.
    pub(super) fn add_pool(&mut self) {
        self.left = self.left.saturating_sub(AT_LEAST);
    }

    /// Takes in that so many more endpoints have names.
    pub(super) fn add_endpoints(&mut self, names: usize) {
        self.left = self.left.saturating_sub(names * SERIES_OF_ENDPOINT);
    }

    /// Counts what there is, `further` series of targets and applications included. Where it is too
    /// much, the endpoints that did nothing for longest give way.
    pub(super) fn balance(&mut self, pools: &mut BTreeMap<String, Total>, further: usize) {
        let of_endpoints = self.max_series.saturating_sub(pools.len() * AT_LEAST + further);
        let room = of_endpoints / SERIES_OF_ENDPOINT;
        let named: usize = pools.values().map(|total| total.endpoints.named()).sum();
        for _ in room..named {
            let unused = pools.values_mut().filter(|total| total.endpoints.named() > 0);
            if let Some(total) = unused.min_by_key(|total| total.endpoints.longest_unused()) {
                total.endpoints.forget_longest_unused();
            }
        }
        self.left = of_endpoints.saturating_sub(named * SERIES_OF_ENDPOINT);
    }
}
