//! Hand-written readings for the rules' tests.

use std::time::{Duration, Instant};

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, ServerFigures};
use crate::latency::{BOUNDS, Histogram};
use crate::reading::{
    Figures, Finding, Holders, Indexes, MaxOverflow, Origin, Pool, Sessions, Timings, Totals,
    Worker,
};
use crate::state::{DatabaseState, PoolState, RecentPool, Thresholds};

/// A context, while time passes.
pub(super) struct Fixture {
    pub(super) pools: Vec<PoolState>,
    pub(super) databases: Vec<DatabaseState>,
    pub(super) findings: Vec<Finding>,
    pub(super) indexes: Vec<Indexes>,
    pub(super) servers: Vec<ServerFigures>,
    pub(super) thresholds: Thresholds,
    pub(super) recent: Recent,
    pub(super) now: Instant,
}

impl Fixture {
    /// One pool `web` whose workers have so many checked out, and nothing else.
    pub(super) fn with_workers(checked_out: &[u64]) -> Self {
        Self {
            pools: vec![pool(checked_out)],
            databases: Vec::new(),
            findings: Vec::new(),
            indexes: Vec::new(),
            servers: Vec::new(),
            thresholds: Thresholds::default(),
            recent: Recent::default(),
            now: Instant::now(),
        }
    }

    /// One `PgBouncer` with one pair, `shop/web`, of 20 servers.
    pub(super) fn with_pgbouncer(change: impl Fn(&mut Worker)) -> Self {
        let mut fixture = Self::with_workers(&[0]);
        let pool = &mut fixture.pools[0].pool;
        pool.origin = Origin::Pgbouncer;
        pool.workers[0].pid = None;
        pool.workers[0].app = Some("shop/web".into());
        change(&mut pool.workers[0]);
        fixture.refresh();
        fixture
    }

    /// One server `primary` with these sessions, and no pool.
    pub(super) fn with_sessions(sessions: Sessions) -> Self {
        let name = "primary".to_owned();
        let database = DatabaseState { name, sessions: Some(sessions), ..DatabaseState::default() };
        Self { pools: Vec::new(), databases: vec![database], ..Self::with_workers(&[]) }
    }

    pub(super) fn totals(&mut self) -> &mut Totals {
        &mut self.pools[0].pool.totals
    }

    /// One more figure of the pool's only worker.
    pub(super) fn figures(&mut self, change: impl Fn(&mut Figures)) {
        self.pools[0].pool.workers.iter_mut().for_each(|worker| change(&mut worker.figures));
        self.refresh();
    }

    /// Statements of the pool that took so many seconds each.
    pub(super) fn queries(&mut self, count: u64, seconds: f64) {
        let query = &mut self.pools[0].pool.timings.query;
        let query = query.get_or_insert_with(|| Histogram::new(BOUNDS));
        (0..count).for_each(|_| query.observe(seconds));
    }

    /// So many checked out from now on.
    pub(super) fn check_out(&mut self, checked_out: u64) {
        self.figures(|figures| figures.checked_out = Some(checked_out));
    }

    fn refresh(&mut self) {
        let pool = self.pools.remove(0).pool;
        self.pools.insert(0, PoolState::judge(pool, RecentPool::default(), &self.thresholds));
    }

    /// Lets time pass, with a sample each second.
    pub(super) fn advance(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            let mut recent = std::mem::take(&mut self.recent);
            recent.add(&self.context(), self.now);
            self.recent = recent;
        }
    }

    /// The advice of a rule after another second.
    pub(super) fn judge(&mut self, rule: &dyn Rule) -> Vec<Advice> {
        self.advance(1);
        rule.judge(&self.context(), &self.recent)
    }

    /// The message of the only advice of a rule.
    #[track_caller]
    pub(super) fn message(&mut self, rule: &dyn Rule) -> String {
        let advice = self.judge(rule);
        assert_eq!(advice.len(), 1, "{advice:?}");
        advice[0].message.clone()
    }

    pub(super) fn context(&self) -> RuleContext<'_> {
        RuleContext {
            pools: self.pools.iter().collect(),
            databases: &self.databases,
            findings: self.findings.iter().collect(),
            indexes: self.indexes.iter().collect(),
            servers: self.servers.clone(),
            thresholds: &self.thresholds,
        }
    }
}

fn pool(checked_out: &[u64]) -> PoolState {
    let worker = |(at, checked_out): (usize, &u64)| Worker {
        pid: u32::try_from(at + 1).ok(),
        figures: Figures {
            size: Some(5),
            max_overflow: Some(MaxOverflow::Limited(15)),
            checked_out: Some(*checked_out),
            ..Figures::default()
        },
        ..Worker::default()
    };
    let pool = Pool {
        name: "web".into(),
        origin: Origin::Workers,
        workers: checked_out.iter().enumerate().map(worker).collect(),
        worker_count: None,
        totals: Totals::default(),
        timings: Timings::default(),
        holders: Holders::default(),
        targets: Vec::new(),
    };
    PoolState::judge(pool, RecentPool::default(), &Thresholds::default())
}
