//! The endpoints and the holds of a pool in the JSON of a report.

use serde::{Deserialize, Serialize};

use super::super::bounds::CountedBy;
use super::super::holders::{self, EndpointTotals, HOLD_STATEMENT};
use super::super::{NAME, Reason};
use super::pool::Counts;
use super::{LONGEST, MOST_COUNTED, cut, name};
use crate::histogram::HOLD_BOUNDS;

/// An endpoint as it is written.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Endpoint {
    name: String,
    out: u64,
    checkouts: u64,
    held: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hold: Option<Counts>,
}

/// A hold as it is written.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Hold {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    age: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sql: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    running: Option<f64>,
}

impl Endpoint {
    /// The endpoint, when it may be believed.
    pub(super) fn checked(self, counted_by: CountedBy) -> Result<holders::Endpoint, Reason> {
        let plausible = u32::try_from(self.out).is_ok()
            && self.checkouts <= MOST_COUNTED
            && (0.0..=LONGEST).contains(&self.held);
        if !plausible {
            return Err(Reason::Malformed);
        }
        let hold = match self.hold {
            Some(counts) => {
                let by = counted_by.for_bounds(HOLD_BOUNDS).ok_or(Reason::Bounds)?;
                Some(counts.checked(by, HOLD_BOUNDS)?)
            }
            None => None,
        };
        Ok(holders::Endpoint {
            name: name(self.name)?,
            checked_out: self.out,
            totals: EndpointTotals { checkouts: self.checkouts, held: self.held, hold },
        })
    }
}

impl Hold {
    /// The hold, when it may be believed.
    pub(super) fn checked(self) -> Result<holders::Hold, Reason> {
        let is_duration = |seconds: &f64| (0.0..=LONGEST).contains(seconds);
        if !is_duration(&self.age) || !self.running.as_ref().is_none_or(is_duration) {
            return Err(Reason::Malformed);
        }
        Ok(holders::Hold {
            endpoint: self.endpoint.map(|endpoint| cut(endpoint, NAME)),
            location: self.location.map(|location| cut(location, 2 * NAME)),
            age: self.age,
            sql: self.sql.map(|sql| cut(sql, HOLD_STATEMENT)),
            active: self.active,
            running: self.running,
        })
    }
}

impl From<&holders::Endpoint> for Endpoint {
    fn from(endpoint: &holders::Endpoint) -> Self {
        Self {
            name: endpoint.name.clone(),
            out: endpoint.checked_out,
            checkouts: endpoint.totals.checkouts,
            held: endpoint.totals.held,
            hold: endpoint.totals.hold.as_ref().map(Counts::from),
        }
    }
}

impl From<&holders::Hold> for Hold {
    fn from(hold: &holders::Hold) -> Self {
        let holders::Hold { endpoint, location, age, sql, active, running } = hold.clone();
        Self { endpoint, location, age, sql, active, running }
    }
}
