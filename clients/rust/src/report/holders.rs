//! The holders of a pool's connections: its endpoints, and the longest of the current holds.

use super::PoolReport;
use crate::histogram::Histogram;

/// The name under which a report has what belongs to no endpoint that it names.
pub const OTHER: &str = "other";

/// The most endpoints of one pool in a report, besides [`OTHER`]: twenty, and those that give way to
/// others and are reported for the last time.
pub const ENDPOINTS: usize = 30;

/// The most holds of one pool in a report.
pub const HOLDS: usize = 10;

/// The longest statement of a hold that is kept, in characters; the rest is cut.
pub(super) const HOLD_STATEMENT: usize = 300;

/// One endpoint of the application, or task, that takes connections from a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// The route's template or the task's name, or [`OTHER`].
    pub name: String,
    /// Connections that it holds now.
    pub checked_out: u64,
    /// Its counters since the instance began.
    pub totals: EndpointTotals,
}

/// The counters of one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointTotals {
    /// Connections given out to it.
    pub checkouts: u64,
    /// Seconds for which it held them, those still out included.
    pub held: f64,
    /// From getting a connection to returning it.
    pub hold: Option<Histogram>,
}

/// One connection that was held for longer than a second, and still is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hold {
    /// The endpoint that took it.
    pub endpoint: Option<String>,
    /// The application's own source line that took it.
    pub location: Option<String>,
    /// Seconds since it was taken.
    pub age: f64,
    /// Its last statement, literals stripped.
    pub sql: Option<String>,
    /// True while a statement runs on it.
    pub active: Option<bool>,
    /// Seconds for which that statement has been running.
    pub running: Option<f64>,
}

impl EndpointTotals {
    /// Adds another's; what only one has is taken from it.
    pub fn merge(&mut self, other: &Self) {
        self.checkouts = self.checkouts.saturating_add(other.checkouts);
        self.held += other.held;
        match (&mut self.hold, &other.hold) {
            (Some(sum), Some(more)) => sum.merge(more),
            (empty, Some(more)) => *empty = Some(more.clone()),
            (_, None) => {}
        }
    }

    /// The growth since an earlier moment; all of it where it fell, for then it began again.
    pub fn since(&self, before: &Self) -> Self {
        if self.checkouts < before.checkouts {
            return self.clone();
        }
        let hold = match (&self.hold, &before.hold) {
            (Some(now), Some(before)) => Some(now.since(before)),
            (now, _) => now.clone(),
        };
        Self {
            checkouts: self.checkouts - before.checkouts,
            held: (self.held - before.held).max(0.0),
            hold,
        }
    }
}

impl PoolReport {
    /// Adds the holders of another pool of the same name, within the limits.
    pub(super) fn join_holders(&mut self, endpoints: &[Endpoint], holds: &[Hold]) {
        for endpoint in endpoints {
            self.add_endpoint(endpoint.clone());
        }
        self.holds.extend_from_slice(holds);
        self.holds.sort_by(|a, b| b.age.total_cmp(&a.age));
        self.holds.truncate(HOLDS);
    }

    /// Adds an endpoint; one beyond the limit is part of [`OTHER`].
    pub(super) fn add_endpoint(&mut self, mut endpoint: Endpoint) {
        let named = self.endpoints.iter().filter(|one| one.name != OTHER).count();
        let is_new = self.endpoints.iter().all(|one| one.name != endpoint.name);
        if is_new && named >= ENDPOINTS && endpoint.name != OTHER {
            OTHER.clone_into(&mut endpoint.name);
        }
        match self.endpoints.iter_mut().find(|one| one.name == endpoint.name) {
            Some(same) => {
                same.checked_out += endpoint.checked_out;
                same.totals.merge(&endpoint.totals);
            }
            None => self.endpoints.push(endpoint),
        }
    }
}
