//! A pool nearly full.

use super::{Advice, Severity};
use crate::snapshot::{PoolState, Status, Thresholds};

pub(super) fn judge(state: &PoolState, thresholds: &Thresholds) -> Option<Advice> {
    let (severity, mark) = match state.status? {
        Status::Healthy => return None,
        Status::Warning => (Severity::Warning, thresholds.warning),
        Status::Critical => (Severity::Critical, thresholds.critical),
    };
    let worker = state.pool.workers.iter().map(|worker| worker.figures).max_by(|a, b| {
        a.utilization().partial_cmp(&b.utilization()).unwrap_or_else(|| 0.cmp(&0))
    })?;
    Some(Advice {
        rule: "pool_usage",
        severity,
        subject: state.pool.name.clone(),
        message: format!(
            "{} of {} connections are checked out ({:.0} %, the mark is {:.0} %){}",
            worker.checked_out?,
            worker.capacity()?,
            100.0 * state.busiest?,
            100.0 * mark,
            if state.pool.workers.len() > 1 { " in the busiest worker" } else { "" },
        ),
        remedy: "look for sessions that are not closed and for slow queries; \
                 if neither, raise max_overflow or add workers"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Figures, MaxOverflow, Origin, Pool, Timings, Totals, Worker};

    fn pool(checked_out: u64) -> PoolState {
        let figures = Figures {
            size: Some(5),
            max_overflow: Some(MaxOverflow::Limited(15)),
            checked_out: Some(checked_out),
            ..Figures::default()
        };
        let pool = Pool {
            name: "web".into(),
            origin: Origin::AppHealth,
            workers: vec![Worker { figures, ..Worker::default() }],
            worker_count: None,
            totals: Totals::default(),
            timings: Timings::default(),
        };
        PoolState::judge(pool, None, Timings::default(), &Thresholds::default())
    }

    #[test]
    fn nineteen_of_twenty_is_critical_and_says_so() {
        let advice = judge(&pool(19), &Thresholds::default()).unwrap();
        assert_eq!(advice.severity, Severity::Critical);
        assert!(advice.message.starts_with("19 of 20 connections"), "{}", advice.message);
    }

    #[test]
    fn a_quiet_pool_is_not_spoken_of() {
        assert_eq!(judge(&pool(3), &Thresholds::default()), None);
    }
}
