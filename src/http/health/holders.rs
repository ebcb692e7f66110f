//! The holders of a pool's connections: its endpoints, and the longest of its current holds.

use serde::Serialize;

use crate::reading::{Endpoint, OTHER, WorkerHold};
use crate::state::PoolState;

/// The most endpoints that are shown; the rest are summed.
const SHOWN: usize = 20;

/// One endpoint or task that takes connections.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct EndpointBody<'a> {
    pub(in crate::http) endpoint: &'a str,
    pub(in crate::http) checked_out: u64,
    pub(in crate::http) checkouts: u64,
    pub(in crate::http) held_seconds: f64,
    /// Of the last five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) hold_p95_seconds: Option<f64>,
}

/// One connection that has been held for longer than a second.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct HoldBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) app: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "where")]
    pub(in crate::http) location: Option<&'a str>,
    pub(in crate::http) held_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) statement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) state: Option<&'static str>,
}

/// The endpoints that hold most, then the rest as one.
pub(super) fn endpoints(state: &PoolState) -> Vec<EndpointBody<'_>> {
    let all = &state.pool.holders.endpoints;
    let (named, other): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.name != OTHER);
    let (shown, beyond) = named.split_at(named.len().min(SHOWN));
    let mut bodies: Vec<_> = shown.iter().map(|one| EndpointBody::new(one, state)).collect();
    let rest = beyond.iter().chain(&other).map(|one| EndpointBody::new(one, state));
    bodies.extend(rest.reduce(EndpointBody::joined));
    bodies
}

/// The longest current holds.
pub(super) fn holds(state: &PoolState) -> Vec<HoldBody<'_>> {
    state.pool.holders.holds.iter().map(HoldBody::from).collect()
}

impl<'a> EndpointBody<'a> {
    fn new(endpoint: &'a Endpoint, state: &PoolState) -> Self {
        let recent = state.recent_holds.get(&endpoint.name);
        Self {
            endpoint: &endpoint.name,
            checked_out: endpoint.checked_out,
            checkouts: endpoint.totals.checkouts,
            held_seconds: endpoint.totals.held,
            hold_p95_seconds: recent.and_then(|holds| holds.quantile(0.95)),
        }
    }

    /// The sum with another of the rest, without a quantile.
    fn joined(self, other: Self) -> Self {
        Self {
            endpoint: OTHER,
            checked_out: self.checked_out + other.checked_out,
            checkouts: self.checkouts + other.checkouts,
            held_seconds: self.held_seconds + other.held_seconds,
            hold_p95_seconds: None,
        }
    }
}

impl<'a> From<&'a WorkerHold> for HoldBody<'a> {
    fn from(held: &'a WorkerHold) -> Self {
        let hold = &held.hold;
        Self {
            pid: held.pid,
            app: held.app.as_deref(),
            endpoint: hold.endpoint.as_deref(),
            location: hold.location.as_deref(),
            held_seconds: hold.age,
            statement: hold.sql.as_deref(),
            state: hold.active.map(|active| if active { "active" } else { "idle" }),
        }
    }
}
