//! What was asked of a worker's pool between two of its reports.

use std::time::Duration;

use super::instance::LastReport;
use crate::latency::Histogram;
use crate::reading::Demand;
use poolwatch_client::report::PoolReport;

/// What was asked of a pool since its last report, which was so long ago, with what no reading has
/// taken yet; `None` where it does not count its acquires.
pub(super) fn demand(now: &PoolReport, before: &LastReport, elapsed: Duration) -> Option<Demand> {
    let count = |pool: &PoolReport| pool.timings.acquire.as_ref().map(Histogram::count);
    let (acquired, acquired_before) = (count(now)?, count(&before.pool)?);
    let waiting = |pool: &PoolReport| pool.figures.pending.unwrap_or(0);
    // Who waits now has come, and who waited then had come before.
    let callers = acquired.saturating_sub(acquired_before).saturating_add(waiting(now));
    let callers = callers.saturating_sub(waiting(&before.pool));
    let peak = now.figures.peak.max(now.figures.checked_out)?;
    // Callers wait while all connections are taken.
    let peak = match (now.figures.pending_peak(), now.figures.capacity()) {
        (Some(waiting), Some(capacity)) if waiting > 0 => {
            capacity.max(peak).saturating_add(waiting)
        }
        _ => peak,
    };
    let demand = Demand { elapsed, callers, peak, waiting: waiting(&before.pool) };
    let Some(mut earlier) = before.demand.filter(|_| before.present) else { return Some(demand) };
    earlier.merge(&demand);
    Some(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::ACQUIRE_BOUNDS;
    use crate::reading::{Figures, MaxOverflow, Timings};

    fn report(acquired: u64, peak: u64, pending: u64) -> PoolReport {
        let mut acquire = Histogram::new(ACQUIRE_BOUNDS);
        (0..acquired).for_each(|_| acquire.observe(0.001));
        PoolReport {
            figures: Figures {
                size: Some(4),
                max_overflow: Some(MaxOverflow::Limited(0)),
                peak: Some(peak),
                checked_out: Some(1),
                pending: Some(pending),
                ..Figures::default()
            },
            timings: Timings { acquire: Some(acquire), ..Timings::default() },
            ..PoolReport::default()
        }
    }

    fn last(pool: PoolReport, demand: Option<Demand>) -> LastReport {
        LastReport { pool, present: true, demand }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_waits_counts_when_he_came() {
        let waits = demand(&report(15, 4, 3), &last(report(10, 2, 0), None), SECOND);
        let waits_no_more = demand(&report(20, 4, 0), &last(report(15, 4, 3), None), SECOND);
        assert_eq!(waits, Some(Demand { elapsed: SECOND, callers: 8, peak: 7, waiting: 0 }));
        assert_eq!(
            waits_no_more,
            Some(Demand { elapsed: SECOND, callers: 2, peak: 4, waiting: 3 })
        );
    }

    #[test]
    fn what_no_reading_has_taken_is_kept() {
        let before = Demand { elapsed: SECOND, callers: 5, peak: 3, waiting: 1 };
        let both = demand(&report(12, 2, 0), &last(report(10, 2, 0), Some(before)), SECOND);
        assert_eq!(both, Some(Demand { elapsed: 2 * SECOND, callers: 7, peak: 3, waiting: 1 }));
    }

    #[test]
    fn a_pool_that_does_not_count_says_nothing() {
        let mut silent = report(0, 1, 0);
        silent.timings.acquire = None;
        assert_eq!(demand(&silent, &last(report(0, 1, 0), None), SECOND), None);
    }
}
