//! Workers that together may open more connections than the server grants.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::Origin;
use crate::state::{DatabaseState, PoolState};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConnectionBudget {
    enabled: bool,
}

impl Default for ConnectionBudget {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Rule for ConnectionBudget {
    fn name(&self) -> &'static str {
        "connection_budget"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    /// Long enough for a restart's old and new workers not to be taken for one crowd.
    fn after(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// With several servers, or a pooler between, nobody knows whose connections a pool opens.
    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        let Some((database, granted)) = only_server(context) else { return Vec::new() };
        let pools: Vec<_> = applications(&context.pools).collect();
        let wanted: u64 = pools.iter().map(|pool| pool.capacity).sum();
        let own = database.sessions.as_ref().map_or(0, |sessions| sessions.own);
        if pools.is_empty() || wanted + own <= granted {
            return Vec::new();
        }
        let terms: Vec<_> = pools.iter().map(Demand::term).collect();
        let message = format!(
            "the pools may open {} = {wanted} connections, and the server grants {granted} \
             (max_connections less those reserved), of which poolwatch uses {own}",
            terms.join(" + ")
        );
        vec![Advice::new(
            Severity::Warning,
            &database.name,
            message,
            remedy(granted.saturating_sub(own), wanted, &pools),
        )]
    }
}

/// The server that every pool connects to, and the connections that it grants.
fn only_server<'a>(context: &RuleContext<'a>) -> Option<(&'a DatabaseState, u64)> {
    let [database] = context.databases else { return None };
    let pooled = context.pools.iter().any(|pool| pool.pool.origin == Origin::Pgbouncer);
    let granted = database.sessions.as_ref()?.max_connections?;
    (!pooled).then_some((database, granted))
}

/// The connections that the server grants to whoever is not poolwatch, where all pools connect to it.
pub(super) fn granted(context: &RuleContext<'_>) -> Option<u64> {
    let (database, granted) = only_server(context)?;
    let own = database.sessions.as_ref().map_or(0, |sessions| sessions.own);
    Some(granted.saturating_sub(own))
}

/// The connections that one pool may open.
struct Demand {
    name: String,
    workers: u64,
    capacity: u64,
}

impl Demand {
    fn term(&self) -> String {
        let Self { name, workers, capacity } = self;
        format!("{workers} × {} ({name})", capacity / workers)
    }
}

/// The application's pools whose figures are the workers' own; not those seen a second time in the
/// server's sessions, nor poolwatch's.
fn applications(pools: &[&PoolState]) -> impl Iterator<Item = Demand> {
    let told = pools.iter().any(|pool| pool.pool.origin == Origin::Workers);
    let counted = move |pool: &&&PoolState| match pool.pool.origin {
        Origin::Workers => true,
        Origin::Activity | Origin::AppHealth => !told,
        Origin::Pgbouncer => false,
    };
    pools.iter().filter(counted).filter_map(|state| {
        let seen = state.pool.workers.len() as u64;
        let workers = state.pool.worker_count.unwrap_or(seen).max(1);
        // One worker that answers for all tells of itself alone.
        let capacity = state.sum.capacity()?;
        let of_all = state.pool.origin == Origin::AppHealth;
        let capacity = if of_all { capacity * workers / seen.max(1) } else { capacity };
        Some(Demand { name: state.pool.name.clone(), workers, capacity })
    })
}

/// `free` are those that are left to the pools.
fn remedy(free: u64, wanted: u64, pools: &[Demand]) -> String {
    let workers: u64 = pools.iter().map(|pool| pool.workers).sum();
    let each = free / workers.max(1);
    let smaller = if each == 0 {
        format!("have at most {free} workers, each with a size + max_overflow of 1")
    } else {
        format!("let size + max_overflow be at most {each} ({free} / {workers} workers)")
    };
    format!(
        "{smaller}, less what other clients need; or put PgBouncer between; or raise \
         max_connections by {} or more where memory allows",
        wanted.saturating_sub(free)
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::Sessions;

    fn fixture(workers: usize, granted: u64) -> Fixture {
        let sessions = Sessions { max_connections: Some(granted), own: 2, ..Sessions::default() };
        Fixture {
            pools: Fixture::with_workers(&vec![1; workers]).pools,
            ..Fixture::with_sessions(sessions)
        }
    }

    #[test]
    fn the_arithmetic_is_shown() {
        let advice = &fixture(6, 97).judge(&ConnectionBudget::default())[0];
        assert!(advice.message.contains("6 × 20 (web) = 120 connections"), "{}", advice.message);
        assert!(advice.message.contains("grants 97"), "{}", advice.message);
        assert!(advice.remedy.contains("max_connections by 25 or more"), "{}", advice.remedy);
        assert!(advice.remedy.contains("at most 15 (95 / 6 workers)"), "{}", advice.remedy);
    }

    #[test]
    fn poolwatch_needs_connections_too() {
        assert_eq!(fixture(4, 82).judge(&ConnectionBudget::default()), []);
        assert_eq!(fixture(4, 81).judge(&ConnectionBudget::default()).len(), 1);
        let advice = &fixture(9, 7).judge(&ConnectionBudget::default())[0];
        assert!(advice.remedy.starts_with("have at most 5 workers"), "{}", advice.remedy);
    }

    #[test]
    fn what_fits_or_cannot_be_known_is_not_spoken_of() {
        assert_eq!(fixture(4, 97).judge(&ConnectionBudget::default()), []);
        let mut pooled = fixture(6, 97);
        pooled.pools.push(Fixture::with_workers(&[1]).pools.remove(0));
        pooled.pools[1].pool.origin = Origin::Pgbouncer;
        assert_eq!(pooled.judge(&ConnectionBudget::default()), []);
        let mut inferred = fixture(4, 97);
        inferred.pools.push(Fixture::with_workers(&[1; 4]).pools.remove(0));
        inferred.pools[1].pool.origin = Origin::Activity;
        assert_eq!(inferred.judge(&ConnectionBudget::default()), [], "the same seen twice");
    }
}
