//! What was asked of a worker's pool between two of its reports.

use std::time::Duration;

use super::instance::LastReport;
use crate::latency::Histogram;
use crate::reading::{Demand, HoldCounts};
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
    let holds = holds(now, &before.pool);
    let demand = Demand { elapsed, callers, peak, waiting: waiting(&before.pool), holds };
    let Some(mut earlier) = before.demand.filter(|_| before.present) else { return Some(demand) };
    earlier.merge(&demand);
    Some(earlier)
}

/// The holds that ended between two reports; none where the pool does not time them.
fn holds(now: &PoolReport, before: &PoolReport) -> HoldCounts {
    let counts = |pool: &PoolReport| pool.timings.hold.as_ref().map(|hold| hold.counts().to_vec());
    let (now, before) = (counts(now).unwrap_or_default(), counts(before).unwrap_or_default());
    let mut holds = HoldCounts::default();
    for ((count, now), before) in holds.iter_mut().zip(now).zip(before) {
        *count = u16::try_from(now.saturating_sub(before)).unwrap_or(u16::MAX);
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{ACQUIRE_BOUNDS, HOLD_BOUNDS};
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
        let of = |callers, peak, waiting| {
            let holds = HoldCounts::default();
            Some(Demand { elapsed: SECOND, callers, peak, waiting, holds })
        };
        assert_eq!([waits, waits_no_more], [of(8, 7, 0), of(2, 4, 3)]);
    }

    #[test]
    fn the_holds_that_ended_are_counted_by_bucket() {
        let with_holds = |count: u64| {
            let mut hold = Histogram::new(HOLD_BOUNDS);
            (0..count).for_each(|_| hold.observe(0.02));
            let mut report = report(count, 1, 0);
            report.timings.hold = Some(hold);
            report
        };
        let since = |before, now| {
            let demand = demand(&with_holds(now), &last(with_holds(before), None), SECOND);
            demand.unwrap().holds
        };
        let bucket = HOLD_BOUNDS.partition_point(|bound| *bound < 0.02);
        assert_eq!(since(5, 12)[bucket], 7);
        assert_eq!(since(5, 12).iter().sum::<u16>(), 7);
        assert_eq!(since(0, 70_000)[bucket], u16::MAX);
    }

    #[test]
    fn what_no_reading_has_taken_is_kept() {
        let holds = HoldCounts::default();
        let before = Demand { elapsed: SECOND, callers: 5, peak: 3, waiting: 1, holds };
        let both = demand(&report(12, 2, 0), &last(report(10, 2, 0), Some(before)), SECOND);
        let elapsed = 2 * SECOND;
        assert_eq!(both, Some(Demand { elapsed, callers: 7, peak: 3, waiting: 1, holds }));
    }

    #[test]
    fn a_pool_that_does_not_count_says_nothing() {
        let mut silent = report(0, 1, 0);
        silent.timings.acquire = None;
        assert_eq!(demand(&silent, &last(report(0, 1, 0), None), SECOND), None);
    }
}
