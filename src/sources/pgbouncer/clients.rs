//! The clients of `PgBouncer`, counted.

use std::collections::BTreeMap;

use super::table::MOST_ROWS;
use crate::metric::Family;

/// Clients counted by database, user, application and state.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    counts: BTreeMap<[String; 4], u64>,
    pub(super) dropped: u64,
}

/// The columns by which clients are counted.
const GROUP: [&str; 4] = ["database", "user", "application_name", "state"];

impl Clients {
    /// Counts a client, whose cells are found by the names of their columns.
    pub(super) fn count(&mut self, cell: impl Fn(&str) -> Option<String>) {
        let group = GROUP.map(|column| cell(column).unwrap_or_default());
        if self.counts.len() >= MOST_ROWS && !self.counts.contains_key(&group) {
            self.dropped += 1;
            return;
        }
        *self.counts.entry(group).or_default() += 1;
    }

    /// The counts as a metric family.
    pub(super) fn family(&self) -> Family {
        let mut family = Family::gauge(
            "pgbouncer_client_connections",
            "Clients by application and state, counted every 15 seconds (SHOW CLIENTS).",
        );
        for (group, count) in &self.counts {
            let labels: Vec<_> = GROUP.into_iter().zip(group.iter().map(String::as_str)).collect();
            family.sample(&labels, *count as f64);
        }
        family
    }
}
