//! The smallest pool that serves a workload, and what poolwatch says of a pool.

use std::time::Duration;

use poolwatch::advice::{self, RuleContext};
use poolwatch::reading::Pool;
use poolwatch::sizing::{LATE_SHARE, Sizer, Sizing, TARGET};
use poolwatch::sources::workers::{Fold, Settings};
use poolwatch::state::{PoolState, RecentPool, Thresholds};
use tokio::time::Instant;

use super::pool::{late_share, run};
use super::reports::{Capacity, reports};
use super::workload::{Micros, Workload};

/// The smallest pool in which no more callers wait too long than may.
pub(crate) fn smallest(workload: &Workload) -> u64 {
    let target = TARGET.as_micros() as Micros;
    let is_enough = |size: u64| late_share(&run(workload, size), target) <= LATE_SHARE;
    (1..=512).find(|size| is_enough(*size)).unwrap()
}

/// What poolwatch makes of the reports of one worker.
pub(crate) struct Judged {
    pub(crate) sizing: Option<Sizing>,
    /// The message of its advice.
    pub(crate) message: Option<String>,
}

pub(crate) fn judge(workload: &Workload, capacity: Capacity) -> Judged {
    let calls = run(workload, capacity.size + capacity.overflow);
    let (mut fold, mut sizer) = (Fold::new(&Settings::default()), Sizer::default());
    let start = Instant::now();
    let mut last = None;
    for (second, report) in reports(1, &calls, capacity).into_iter().enumerate() {
        let now = start + Duration::from_secs(second as u64);
        fold.take(report, None, now).unwrap();
        let pool = fold.reading(now).pools.remove(0);
        sizer.add(&pool, now.into_std());
        if sizer.is_due(now.into_std()) {
            sizer.replay(&pool, now.into_std());
        }
        last = Some(pool);
    }
    let sizing = sizer.sizing().cloned();
    let message = last.and_then(|pool| advice(pool, sizing.clone()));
    Judged { sizing, message }
}

fn advice(pool: Pool, sizing: Option<Sizing>) -> Option<String> {
    let thresholds = Thresholds::default();
    let recent = RecentPool { sizing, ..RecentPool::default() };
    let pool = PoolState::judge(pool, recent, &thresholds);
    let context = RuleContext {
        pools: vec![&pool],
        databases: &[],
        findings: Vec::new(),
        indexes: Vec::new(),
        servers: Vec::new(),
        thresholds: &thresholds,
    };
    let settings = advice::Settings::default();
    let given = advice::judge_once(&settings, &context, std::time::Instant::now());
    given.into_iter().find(|one| one.rule == "pool_size").map(|one| one.message)
}
