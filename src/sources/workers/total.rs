//! Sums over the workers of all times. Only what a worker's counters have grown by is added, so a
//! sum never falls, whether a worker ends, begins again or forgets.

use crate::latency::Histogram;
use crate::reading::{Timings, Totals};
use crate::report;

/// One pool's sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) totals: Totals,
    pub(super) timings: Timings,
}

impl Total {
    /// Adds what a worker counted since its last report. What the new report leaves out is carried
    /// over, to go on from when it is said again.
    pub(super) fn add(&mut self, now: &mut report::Pool, before: Option<&report::Pool>) {
        let Some(before) = before else {
            self.totals = self.totals.plus(&now.totals);
            self.timings.merge(&now.timings);
            return;
        };
        self.totals = self.totals.plus(&grown(&now.totals, &before.totals));
        self.timings.merge(&timed(&now.timings, &before.timings));
        now.totals = carried(&now.totals, &before.totals);
        carry(&mut now.timings, &before.timings);
    }
}

fn carried(now: &Totals, before: &Totals) -> Totals {
    Totals {
        timeouts: now.timeouts.or(before.timeouts),
        acquire_errors: now.acquire_errors.or(before.acquire_errors),
        opened: now.opened.or(before.opened),
        invalidated: now.invalidated.or(before.invalidated),
        inherited: now.inherited.or(before.inherited),
        query_errors: now.query_errors.or(before.query_errors),
        n_plus_one: now.n_plus_one.or(before.n_plus_one),
        unpaginated: now.unpaginated.or(before.unpaginated),
    }
}

fn carry(now: &mut Timings, before: &Timings) {
    let pairs = [
        (&mut now.acquire, &before.acquire),
        (&mut now.hold, &before.hold),
        (&mut now.query, &before.query),
        (&mut now.commit, &before.commit),
    ];
    for (now, before) in pairs {
        if now.is_none() {
            now.clone_from(before);
        }
    }
}

fn grown(now: &Totals, before: &Totals) -> Totals {
    Totals {
        timeouts: growth(now.timeouts, before.timeouts),
        acquire_errors: growth(now.acquire_errors, before.acquire_errors),
        opened: growth(now.opened, before.opened),
        invalidated: growth(now.invalidated, before.invalidated),
        inherited: growth(now.inherited, before.inherited),
        query_errors: growth(now.query_errors, before.query_errors),
        n_plus_one: growth(now.n_plus_one, before.n_plus_one),
        unpaginated: growth(now.unpaginated, before.unpaginated),
    }
}

/// What a counter grew by; one that fell began again.
fn growth(now: Option<u64>, before: Option<u64>) -> Option<u64> {
    let (now, before) = (now?, before.unwrap_or(0));
    Some(now.checked_sub(before).unwrap_or(now))
}

fn timed(now: &Timings, before: &Timings) -> Timings {
    Timings {
        acquire: since(now.acquire.as_ref(), before.acquire.as_ref()),
        hold: since(now.hold.as_ref(), before.hold.as_ref()),
        query: since(now.query.as_ref(), before.query.as_ref()),
        commit: since(now.commit.as_ref(), before.commit.as_ref()),
    }
}

fn since(now: Option<&Histogram>, before: Option<&Histogram>) -> Option<Histogram> {
    match (now, before) {
        (Some(now), Some(before)) => Some(now.since(before)),
        (now, _) => now.cloned(),
    }
}
