//! What pools, tables and servers did lately, in steps of a few seconds, as far back as rules ask.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::known::{Known, Server};
use crate::latency::Histogram;
use crate::reading::{Indexes, Totals};
use crate::state::{DatabaseState, PoolState, Thresholds};
use crate::window::Window;

/// How far back the past goes.
pub(super) const REACH: Duration = Duration::from_mins(10);
/// What happens within one step is kept together.
const STEP: Duration = Duration::from_secs(5);

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct History {
    pools: HashMap<String, Window<PoolStep>>,
    servers: HashMap<String, Window<ServerStep>>,
    tables: HashMap<(String, String), Window<TableStep>>,
    /// The last reading of a server's tables, by its number.
    readings: HashMap<String, u64>,
}

/// A pool within one step. What is counted or timed is as it stood when the step began.
#[derive(Clone, Debug)]
pub(super) struct PoolStep {
    /// Counted since the pool began.
    pub(super) totals: Totals,
    /// Statements timed since the pool began.
    pub(super) query: Option<Histogram>,
    /// The fewest connections checked out.
    pub(super) floor: Option<u64>,
    /// The most connections above size.
    pub(super) overflow: u64,
    /// The busiest worker's lowest utilization.
    pub(super) utilization: Option<f64>,
}

/// How often a table was read from its beginning, and how many rows so, when it was looked at.
#[derive(Clone, Debug)]
pub(super) struct TableStep {
    pub(super) scans: u64,
    pub(super) rows_scanned: u64,
}

/// A server within one step.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerStep {
    /// As counted when the step began.
    pub(super) cpu_seconds: Option<f64>,
    /// Looks at which a statement had been running for longer than a slow one may, so far.
    pub(super) slow_looks: u64,
}

impl History {
    /// Remembers what is known now, and forgets what is too long ago or no more.
    pub(super) fn remember(&mut self, known: &Known<'_>, now: Instant) {
        for pool in &known.pools {
            remember_pool(
                self.pools.entry(pool.pool.name.clone()).or_insert_with(steps),
                pool,
                now,
            );
        }
        let names: HashSet<_> = known.pools.iter().map(|pool| pool.pool.name.as_str()).collect();
        self.pools.retain(|name, _| names.contains(name.as_str()));
        for database in known.databases {
            let past = self.servers.entry(database.name.clone()).or_insert_with(steps);
            let server = known.servers.iter().find(|server| server.name == database.name);
            remember_server(past, database, server, known.thresholds, now);
        }
        let names: HashSet<_> = known.databases.iter().map(|known| known.name.as_str()).collect();
        self.servers.retain(|name, _| names.contains(name.as_str()));
        self.tables.retain(|(name, _), _| names.contains(name.as_str()));
        self.readings.retain(|name, _| names.contains(name.as_str()));
        for indexes in &known.indexes {
            self.remember_tables(indexes, now);
        }
    }

    /// Tables are read seldom, and each reading is remembered once: one in which nothing has
    /// changed says that a table is scanned no more.
    fn remember_tables(&mut self, indexes: &Indexes, now: Instant) {
        let known = self.readings.insert(indexes.server.clone(), indexes.number);
        if known == Some(indexes.number) {
            return;
        }
        for table in &indexes.tables {
            let key = (indexes.server.clone(), table.table.clone());
            let past = self.tables.entry(key).or_insert(Window::new(REACH, Duration::ZERO));
            past.keep(now, || TableStep { scans: table.scans, rows_scanned: table.rows_scanned });
        }
    }

    /// What a pool did.
    pub(super) fn pool(&self, name: &str) -> Option<&Window<PoolStep>> {
        self.pools.get(name)
    }

    /// What a server did.
    pub(super) fn server(&self, name: &str) -> Option<&Window<ServerStep>> {
        self.servers.get(name)
    }

    /// How a table was read.
    pub(super) fn table(&self, server: &str, table: &str) -> Option<&Window<TableStep>> {
        self.tables.get(&(server.to_owned(), table.to_owned()))
    }

    /// By how much a pool's count grew within the last steps.
    pub(super) fn grown(
        &self,
        pool: &PoolState,
        within: Duration,
        count: fn(&Totals) -> Option<u64>,
    ) -> u64 {
        let before = self.pool(&pool.pool.name).and_then(|past| past.before(within));
        let before = before.and_then(|step| count(&step.totals));
        let now = count(&pool.pool.totals);
        now.zip(before).map_or(0, |(now, before)| now.saturating_sub(before))
    }

    /// The statements of a pool within the last steps.
    pub(super) fn queries(&self, pool: &PoolState, within: Duration) -> Option<Histogram> {
        let before = self.pool(&pool.pool.name)?.before(within)?;
        Some(pool.pool.timings.query.as_ref()?.since(before.query.as_ref()?))
    }
}

/// Steps of a few seconds.
fn steps<T>() -> Window<T> {
    Window::new(REACH, STEP)
}

fn remember_pool(past: &mut Window<PoolStep>, state: &PoolState, now: Instant) {
    let lower = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
    let overflow = state.sum.overflow.unwrap_or(0);
    let begin = || PoolStep {
        totals: state.pool.totals,
        query: state.pool.timings.query.clone(),
        floor: state.sum.checked_out,
        overflow,
        utilization: state.busiest,
    };
    past.update(now, begin, |step| {
        step.floor = step.floor.into_iter().chain(state.sum.checked_out).min();
        step.overflow = step.overflow.max(overflow);
        step.utilization = lower(step.utilization, state.busiest);
    });
}

fn remember_server(
    past: &mut Window<ServerStep>,
    state: &DatabaseState,
    server: Option<&Server>,
    thresholds: &Thresholds,
    now: Instant,
) {
    let oldest = state.sessions.as_ref().and_then(|s| s.oldest_statement_seconds);
    let slow = oldest.is_some_and(|oldest| oldest >= thresholds.slow_query.as_secs_f64());
    let slow_looks = past.last().map_or(0, |step| step.slow_looks) + u64::from(slow);
    let begin =
        || ServerStep { cpu_seconds: server.and_then(|server| server.cpu_seconds), slow_looks };
    past.update(now, begin, |step| step.slow_looks = slow_looks);
}
