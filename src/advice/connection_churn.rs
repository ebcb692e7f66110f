//! A connection for each piece of work: `NullPool`, or an engine made anew for each request.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::{DatabaseState, PoolState};

const WITHIN: Duration = Duration::from_mins(1);
/// The time after which a rate can be judged.
const ENOUGH: Duration = Duration::from_secs(20);

const REMEDY: &str = "keep connections: QueuePool in place of NullPool, one engine for each process \
                      and not for each request, no engine.dispose() after use; where each process \
                      lives for a moment only, put PgBouncer between";

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConnectionChurn {
    enabled: bool,
    /// Connections opened in a second from which it costs.
    opened_per_second: f64,
    /// The least share of connections taken from a pool that had to be opened.
    #[serde(deserialize_with = "crate::yaml::share")]
    share: f64,
}

impl Default for ConnectionChurn {
    fn default() -> Self {
        Self { enabled: true, opened_per_second: 2.0, share: 0.5 }
    }
}

impl Rule for ConnectionChurn {
    fn name(&self) -> &'static str {
        "connection_churn"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        if context.pools.iter().any(|pool| pool.pool.totals.opened.is_some()) {
            let pools = context.pools.iter();
            return pools.filter_map(|pool| self.judge_pool(pool, recent)).collect();
        }
        context.databases.iter().filter_map(|server| self.judge_server(server, recent)).collect()
    }
}

impl ConnectionChurn {
    /// A pool that goes above its size again and again is the subject of `overflow_churn`.
    fn judge_pool(&self, state: &PoolState, recent: &Recent) -> Option<Advice> {
        let (ago, before) = recent.pool(&state.pool.name)?.since(WITHIN).next()?;
        let has_size = state.sum.size.is_some_and(|size| size > 0);
        let mut steps = recent.pool(&state.pool.name)?.finished(12);
        if ago < ENOUGH || has_size && steps.any(|step| step.overflow > 0) {
            return None;
        }
        let opened = state.pool.totals.opened?.checked_sub(before.totals.opened?)?;
        let acquired =
            state.pool.timings.acquire.as_ref()?.count().checked_sub(before.acquired?)?;
        let rate = opened as f64 / ago.as_secs_f64();
        if rate < self.opened_per_second || (opened as f64) < self.share * acquired as f64 {
            return None;
        }
        let message = format!(
            "{rate:.0} connections are opened each second: {opened} for {acquired} that were taken \
             from the pool in {} s, and each costs a login and a new process of the server",
            ago.as_secs()
        );
        Some(Advice::new(Severity::Warning, &state.pool.name, message, REMEDY))
    }

    /// Where no client counts: a test suite or a burst of scripts looks the same, so it is a hint.
    fn judge_server(&self, server: &DatabaseState, recent: &Recent) -> Option<Advice> {
        let (ago, before) = recent.conditions(&server.name, WITHIN)?;
        let databases = server.conditions.as_ref()?.databases_since(before);
        let grown = databases.filter_map(|(before, now)| {
            let sessions = now.sessions?.checked_sub(before.sessions?)?;
            Some((sessions, now.transactions.checked_sub(before.transactions)?, &now.name))
        });
        let (sessions, transactions, database) = grown.max()?;
        let rate = sessions as f64 / ago.as_secs_f64();
        // Each session has one or two transactions beside those of its work.
        let is_churn = (sessions as f64) >= self.share * transactions as f64 / 3.0;
        if ago < ENOUGH || rate < self.opened_per_second || !is_churn {
            return None;
        }
        let message = format!(
            "{rate:.0} sessions are opened each second in the database {database}: {sessions} for \
             {transactions} transactions in {} s, and each costs a login and a new process",
            ago.as_secs()
        );
        Some(Advice::new(Severity::Info, &server.name, message, REMEDY))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::latency::{BOUNDS, Histogram};
    use crate::reading::{Conditions, DatabaseCounters, Sessions};

    fn pool_after(opened: u64, acquired: u64) -> Vec<Advice> {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.totals().opened = Some(5);
        fixture.pools[0].pool.timings.acquire = Some(Histogram::new(BOUNDS));
        fixture.advance(40);
        fixture.totals().opened = Some(5 + opened);
        let acquire = fixture.pools[0].pool.timings.acquire.as_mut().unwrap();
        (0..acquired).for_each(|_| acquire.observe(0.004));
        fixture.judge(&ConnectionChurn::default())
    }

    #[test]
    fn a_connection_for_each_checkout_is_churn() {
        let advice = pool_after(400, 400);
        assert!(advice[0].message.contains("400 for 400 that were taken"), "{advice:?}");
        assert_eq!(pool_after(400, 4000), [], "most were kept");
        assert_eq!(pool_after(20, 20), [], "a few scripts");
    }

    #[test]
    fn the_server_gives_a_hint_where_no_client_counts() {
        let counters = |sessions, transactions| {
            let name = "shop".into();
            let sessions = Some(sessions);
            let counters =
                DatabaseCounters { name, sessions, transactions, ..DatabaseCounters::default() };
            Some(Conditions { databases: vec![counters], ..Conditions::default() }.into())
        };
        let after = |sessions: u64, transactions: u64| {
            let mut fixture = Fixture::with_sessions(Sessions::default());
            fixture.databases[0].conditions = counters(100, 100);
            fixture.advance(30);
            fixture.databases[0].conditions = counters(100 + sessions, 100 + transactions);
            fixture.judge(&ConnectionChurn::default())
        };
        let advice = after(300, 900);
        assert_eq!((advice.len(), advice[0].severity), (1, Severity::Info), "{advice:?}");
        assert_eq!(after(300, 90_000), [], "they work");
        assert_eq!(after(10, 30), [], "few");
    }
}
