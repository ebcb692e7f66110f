//! Pools, tables and servers in the last minutes, in steps of a few seconds, as far back as rules
//! ask.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::{RuleContext, ServerFigures};
use super::slow_statement::SlowStatement;
use crate::latency::Histogram;
use crate::reading::{Conditions, Indexes, Totals};
use crate::state::{DatabaseState, PoolState, Thresholds};
use crate::window::Window;

/// The length of time that is kept.
pub(super) const REACH: Duration = Duration::from_mins(10);
/// The length of a step.
const STEP: Duration = Duration::from_secs(5);

/// The last minutes of pools, servers and tables.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pools: HashMap<String, Window<PoolStep>>,
    servers: HashMap<String, Window<ServerStep>>,
    tables: HashMap<(String, String), Window<TableStep>>,
    /// The last reading of a server's tables, by its number.
    readings: HashMap<String, u64>,
}

/// A pool within one step. Counters and histograms are as they stood when the step began.
#[derive(Clone, Debug)]
pub(super) struct PoolStep {
    /// Counted since the pool began.
    pub(super) totals: Totals,
    /// Statements timed since the pool began.
    pub(super) query: Option<Histogram>,
    /// Connections taken since the pool began.
    pub(super) acquired: Option<u64>,
    /// The fewest connections checked out.
    pub(super) floor: Option<u64>,
    /// The most connections above size.
    pub(super) overflow: u64,
    /// The fewest connections open, where that is known.
    pub(super) open_floor: Option<u64>,
    /// The busiest worker's lowest utilization.
    pub(super) utilization: Option<f64>,
    /// A slow statement that was running, the last that was observed.
    pub(super) slow: Option<SlowStatement>,
}

/// The number of times that a table was read from its beginning, and of the rows read so, at one
/// reading.
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
    /// The number of samples so far in which a statement had been running for longer than a slow one
    /// may.
    pub(super) slow_samples: u64,
    /// A slow statement that was running, the last that was observed.
    pub(super) slow: Option<SlowStatement>,
    /// As they were when the step began.
    pub(super) conditions: Option<Arc<Conditions>>,
}

impl Recent {
    /// Adds what is seen now, and forgets what is too old or no more there.
    pub(super) fn add(&mut self, context: &RuleContext<'_>, now: Instant) {
        for pool in &context.pools {
            let steps = self.pools.entry(pool.pool.name.clone()).or_insert_with(windows);
            let thresholds = context.thresholds.of_pool(&pool.pool.name);
            add_pool(steps, pool, &thresholds, now);
        }
        let names: HashSet<_> = context.pools.iter().map(|pool| pool.pool.name.as_str()).collect();
        self.pools.retain(|name, _| names.contains(name.as_str()));
        for database in context.databases {
            let steps = self.servers.entry(database.name.clone()).or_insert_with(windows);
            let server = context.servers.iter().find(|server| server.name == database.name);
            add_server(steps, database, server, context.thresholds, now);
        }
        let names: HashSet<_> =
            context.databases.iter().map(|database| database.name.as_str()).collect();
        self.servers.retain(|name, _| names.contains(name.as_str()));
        self.tables.retain(|(name, _), _| names.contains(name.as_str()));
        self.readings.retain(|name, _| names.contains(name.as_str()));
        for indexes in &context.indexes {
            self.add_tables(indexes, now);
        }
    }

    /// Forgets the last minutes of a server and its tables.
    pub(super) fn forget(&mut self, server: &str) {
        self.servers.remove(server);
        self.tables.retain(|(name, _), _| name != server);
        self.readings.remove(server);
    }

    /// Tables are read rarely, and each reading is added once: one in which nothing has
    /// changed says that a table is scanned no more.
    fn add_tables(&mut self, indexes: &Indexes, now: Instant) {
        let before = self.readings.insert(indexes.server.clone(), indexes.number);
        if before == Some(indexes.number) {
            return;
        }
        for table in &indexes.tables {
            let key = (indexes.server.clone(), table.table.clone());
            let readings = self.tables.entry(key).or_insert(Window::new(REACH, Duration::ZERO));
            readings
                .keep(now, || TableStep { scans: table.scans, rows_scanned: table.rows_scanned });
        }
    }

    /// The steps of a pool.
    pub(super) fn pool(&self, name: &str) -> Option<&Window<PoolStep>> {
        self.pools.get(name)
    }

    /// The steps of a server.
    pub(super) fn server(&self, name: &str) -> Option<&Window<ServerStep>> {
        self.servers.get(name)
    }

    /// The readings of a table.
    pub(super) fn table(&self, server: &str, table: &str) -> Option<&Window<TableStep>> {
        self.tables.get(&(server.to_owned(), table.to_owned()))
    }

    /// The growth of a pool's counter within the last steps.
    pub(super) fn grown(
        &self,
        pool: &PoolState,
        within: Duration,
        count: fn(&Totals) -> Option<u64>,
    ) -> u64 {
        let before = self.pool(&pool.pool.name).and_then(|steps| steps.before(within));
        let before = before.and_then(|step| count(&step.totals));
        let now = count(&pool.pool.totals);
        now.zip(before).map_or(0, |(now, before)| now.saturating_sub(before))
    }

    /// The sessions of a server that hold a connection on purpose, when that was last read.
    pub(super) fn keepers(&self, server: &str) -> u64 {
        let steps = self.server(server).into_iter().flat_map(|steps| steps.since(REACH));
        steps.filter_map(|(_, step)| Some(step.conditions.as_ref()?.keepers)).last().unwrap_or(0)
    }

    /// The conditions of a server as long ago, or as they were first read, and how long ago that was.
    pub(super) fn conditions(
        &self,
        server: &str,
        within: Duration,
    ) -> Option<(Duration, &Conditions)> {
        let mut steps = self.server(server)?.since(within);
        steps.find_map(|(ago, step)| Some((ago, step.conditions.as_deref()?)))
    }

    /// The slow statement of a pool that was observed last within the last steps.
    pub(super) fn slow_of_pool(&self, pool: &str, within: Duration) -> Option<&SlowStatement> {
        self.pool(pool)?.since(within).filter_map(|(_, step)| step.slow.as_ref()).last()
    }

    /// The same of a server.
    pub(super) fn slow_of_server(&self, server: &str, within: Duration) -> Option<&SlowStatement> {
        self.server(server)?.since(within).filter_map(|(_, step)| step.slow.as_ref()).last()
    }

    /// The number of steps that reach back to before something of this age in seconds began.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age")]
    pub(super) fn steps_of(seconds: f64) -> usize {
        (seconds / STEP.as_secs_f64()).ceil() as usize + 1
    }

    /// The statements of a pool within the last steps.
    pub(super) fn queries(&self, pool: &PoolState, within: Duration) -> Option<Histogram> {
        let before = self.pool(&pool.pool.name)?.before(within)?;
        Some(pool.pool.timings.query.as_ref()?.since(before.query.as_ref()?))
    }
}

/// A window in steps of a few seconds.
fn windows<T>() -> Window<T> {
    Window::new(REACH, STEP)
}

fn add_pool(
    steps: &mut Window<PoolStep>,
    state: &PoolState,
    thresholds: &Thresholds,
    now: Instant,
) {
    let lower = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
    let overflow = state.sum.overflow.unwrap_or(0);
    let open = state.sum.checked_in.zip(state.sum.checked_out).map(|(idle, out)| idle + out);
    let slow = SlowStatement::of_pool(state, thresholds.slow_query.as_secs_f64());
    let begin = || PoolStep {
        totals: state.pool.totals,
        query: state.pool.timings.query.clone(),
        acquired: state.pool.timings.acquire.as_ref().map(Histogram::count),
        floor: state.sum.checked_out,
        overflow,
        open_floor: open,
        utilization: state.busiest,
        slow: slow.clone(),
    };
    steps.update(now, begin, |step| {
        step.floor = step.floor.into_iter().chain(state.sum.checked_out).min();
        step.overflow = step.overflow.max(overflow);
        step.open_floor = step.open_floor.into_iter().chain(open).min();
        step.utilization = lower(step.utilization, state.busiest);
        step.slow = slow.clone().or(step.slow.take());
    });
}

fn add_server(
    steps: &mut Window<ServerStep>,
    state: &DatabaseState,
    server: Option<&ServerFigures>,
    thresholds: &Thresholds,
    now: Instant,
) {
    let oldest = state.sessions.as_ref().and_then(|s| s.oldest_statement_seconds);
    let threshold = thresholds.slow_query.as_secs_f64();
    let is_slow = oldest.is_some_and(|oldest| oldest >= threshold);
    let slow_samples = steps.last().map_or(0, |step| step.slow_samples) + u64::from(is_slow);
    let slow = SlowStatement::of_server(state, threshold);
    let begin = || ServerStep {
        cpu_seconds: server.and_then(|server| server.cpu_seconds),
        slow_samples,
        slow: slow.clone(),
        conditions: state.conditions.clone(),
    };
    steps.update(now, begin, |step| {
        step.slow_samples = slow_samples;
        step.slow = slow.clone().or(step.slow.take());
    });
}
