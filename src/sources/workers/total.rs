//! Sums over the workers of all times. Only the growth of a worker's counters is added, so a
//! sum never falls, whether a worker ends, begins again or forgets.

use tokio::time::Instant;

use super::endpoints::{Endpoints, carry};
use crate::reading::{Cumulative, Timings, Totals};
use poolwatch_client::report::{self, ConnectionTarget};

/// One pool's sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) totals: Totals,
    pub(super) timings: Timings,
    pub(super) endpoints: Endpoints,
    /// The servers that its workers connect to, as the last of them said.
    pub(super) targets: Vec<ConnectionTarget>,
}

impl Total {
    /// Adds what a worker counted since its last report. What the new report leaves out is carried
    /// over, to go on from when it is reported again. Returns the number of endpoints that were summed.
    pub(super) fn add(
        &mut self,
        now: &mut report::PoolReport,
        before: Option<&report::PoolReport>,
        max_endpoints: usize,
        received_at: Instant,
    ) -> u64 {
        let summed = self.endpoints.add(now, before, max_endpoints, received_at);
        let Some(before) = before else {
            self.totals.merge(&now.totals);
            self.timings.merge(&now.timings);
            return summed;
        };
        self.totals.merge(&now.totals.since(&before.totals));
        self.timings.merge(&now.timings.since(&before.timings));
        now.totals.carry(&before.totals);
        now.timings.carry(&before.timings);
        carry(now, before);
        summed
    }
}
