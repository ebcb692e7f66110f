//! Callers that wait for a connection for longer than those who wait for them.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::{ConnectionTarget, Origin};
use crate::state::PoolState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PoolTimeout {
    enabled: bool,
}

impl Default for PoolTimeout {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Rule for PoolTimeout {
    fn name(&self) -> &'static str {
        "pool_timeout"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let pools = context.pools.iter().filter(|pool| pool.pool.origin == Origin::Workers);
        pools.filter_map(|pool| judge_pool(pool, context)).collect()
    }
}

/// The limit of the proxy before the application comes first, for its client has gone by then.
fn judge_pool(state: &PoolState, context: &RuleContext<'_>) -> Option<Advice> {
    let name = &state.pool.name;
    let timeout = state.sum.timeout?;
    let proxy = context.thresholds.of_pool(name).proxy_timeout.map(|limit| limit.as_secs_f64());
    let (limit, why) = if let Some(limit) = proxy.filter(|limit| timeout >= *limit) {
        let why = format!(
            "and the proxy before the application gives up after {} (thresholds.proxy_timeout): the \
             worker goes on waiting for nobody, and its place is lost to the next",
            shown(limit)
        );
        (limit, why)
    } else {
        let (pgbouncer, limit) = pgbouncer_limit(state, context)?;
        let limit = Some(limit).filter(|limit| timeout > *limit)?;
        let why = format!(
            "and the PgBouncer {pgbouncer} that it connects to disconnects who waits for longer than {} \
             (query_wait_timeout): those before it in line have failed by then",
            shown(limit)
        );
        (limit, why)
    };
    let message = format!("a caller waits up to {} for a connection, {why}", shown(timeout));
    let remedy = format!(
        "set the pool's timeout below that, so that the caller still gets its error: pool_timeout={} \
         (SQLAlchemy), timeout in psycopg_pool",
        below(limit)
    );
    Some(Advice::new(Severity::Info, name, message, remedy))
}

/// The only `PgBouncer` that a pool can be connected to, and the time for which its clients wait.
fn pgbouncer_limit<'a>(state: &PoolState, context: &RuleContext<'a>) -> Option<(&'a str, f64)> {
    let poolers = context.pools.iter().filter(|other| other.pool.origin == Origin::Pgbouncer);
    let mut poolers = poolers.filter(|pooler| leads_to(&state.pool.targets, pooler, context));
    let pooler = poolers.next().filter(|_| poolers.next().is_none())?;
    Some((&pooler.pool.name, pooler.sum.timeout?))
}

/// Returns true if a pool's targets can be a `PgBouncer`: it has a pair for the database and the role of
/// each, they are at another port than its own servers, and none is the place of a server.
fn leads_to(targets: &[ConnectionTarget], pooler: &PoolState, context: &RuleContext<'_>) -> bool {
    let is_of = |target: &ConnectionTarget| {
        let pair = target.database.as_deref().zip(target.role.as_deref());
        let pair = pair.map(|(database, role)| format!("{database}/{role}"));
        let mut places = context.databases.iter().flat_map(|database| &database.places);
        let is_server = pooler.pool.targets.iter().any(|server| server.port == target.port)
            || places.any(|place| place.server() == target.server());
        !is_server && pair.is_some() && pooler.pool.workers.iter().any(|worker| worker.app == pair)
    };
    !targets.is_empty() && targets.iter().all(is_of)
}

/// A timeout well below a limit, in whole seconds.
fn below(limit: f64) -> String {
    match Duration::try_from_secs_f64(limit / 2.0).map_or(0, |half| half.as_secs()) {
        0 => format!("{:.1}", limit / 2.0),
        seconds => seconds.to_string(),
    }
}

fn shown(seconds: f64) -> String {
    format!("{} s", (10.0 * seconds).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::state::DatabaseState;

    /// The application's pool with a timeout of 30 s, and a `PgBouncer`, whose clients wait so long.
    fn fixture(port: u16, query_wait_timeout: Option<f64>) -> Fixture {
        let target = |port| ConnectionTarget::new("10.0.0.7", port, Some("shop"), Some("web"));
        let mut fixture = Fixture::with_workers(&[2; 4]);
        fixture.figures(|figures| figures.timeout = Some(30.0));
        fixture.pools[0].pool.targets = target(port).into_iter().collect();
        let pooler = Fixture::with_pgbouncer(|worker| worker.figures.timeout = query_wait_timeout);
        fixture.pools.extend(pooler.pools);
        fixture.pools[1].pool.name = "bouncer".into();
        fixture.pools[1].pool.targets = target(5432).into_iter().collect();
        fixture
    }

    fn judge(mut fixture: Fixture) -> Vec<Advice> {
        fixture.judge(&PoolTimeout::default())
    }

    #[test]
    fn a_caller_that_waits_for_longer_than_the_proxy_waits_for_nobody() {
        let with_proxy = |seconds| {
            let mut fixture = fixture(5432, None);
            fixture.thresholds.proxy_timeout = Some(Duration::from_secs(seconds));
            judge(fixture)
        };
        let advice = with_proxy(30);
        let expected = "a caller waits up to 30 s for a connection, and the proxy before the \
                        application gives up after 30 s (thresholds.proxy_timeout)";
        assert!(advice[0].message.starts_with(expected), "{advice:?}");
        assert!(advice[0].remedy.contains("pool_timeout=15 "), "{advice:?}");
        assert_eq!((advice[0].severity, advice.len()), (Severity::Info, 1));
        assert_eq!(with_proxy(60), []);
        assert_eq!(judge(fixture(5432, None)), [], "no proxy is known");
    }

    #[test]
    fn one_pool_may_have_another_proxy() {
        let mut fixture = fixture(5432, None);
        fixture.thresholds =
            yaml_serde::from_str("{proxy_timeout: 60s, pools: {web: {proxy_timeout: 1s}}}")
                .unwrap();
        let advice = judge(fixture);
        assert!(advice[0].remedy.contains("pool_timeout=0.5 "), "{advice:?}");
    }

    #[test]
    fn a_caller_that_waits_for_longer_than_pgbouncer_lets_it_is_told() {
        let advice = judge(fixture(6432, Some(20.0)));
        let expected = "a caller waits up to 30 s for a connection, and the PgBouncer bouncer that it \
                        connects to disconnects who waits for longer than 20 s (query_wait_timeout)";
        assert!(advice[0].message.starts_with(expected), "{advice:?}");
        assert!(advice[0].remedy.contains("pool_timeout=10 "), "{advice:?}");
        assert_eq!(judge(fixture(6432, Some(120.0))), [], "its usual limit");
        assert_eq!(judge(fixture(6432, None)), [], "it has no limit");
        assert_eq!(judge(fixture(5432, Some(20.0))), [], "it connects to the server");
    }

    #[test]
    fn the_place_of_a_server_is_no_pgbouncer() {
        let mut fixture = fixture(5433, Some(20.0));
        let places = ConnectionTarget::new("10.0.0.7", 5433, None, None);
        let places = places.into_iter().collect();
        let database = DatabaseState { places, ..DatabaseState::default() };
        fixture.databases.push(database);
        assert_eq!(judge(fixture), []);
    }

    #[test]
    fn nothing_is_told_where_it_is_not_certain_which_pgbouncer_that_is() {
        let mut two = fixture(6432, Some(20.0));
        two.pools.push(two.pools[1].clone());
        assert_eq!(judge(two), []);
        let mut other = fixture(6432, Some(20.0));
        other.pools[1].pool.workers[0].app = Some("shop/batch".into());
        assert_eq!(judge(other), [], "it has no pair of that role");
        let mut unreported = fixture(6432, Some(20.0));
        unreported.figures(|figures| figures.timeout = None);
        assert_eq!(judge(unreported), [], "the client does not report its timeout");
    }
}
