//! Connections of a parent that its forked children found in their pool.

use serde::Deserialize;

use super::recent::{REACH, Recent};
use super::{Advice, Rule, RuleContext, Severity};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InheritedConnections {
    enabled: bool,
}

impl Default for InheritedConnections {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Rule for InheritedConnections {
    fn name(&self) -> &'static str {
        "inherited_connections"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        let inherited = context
            .pools
            .iter()
            .map(|pool| (&pool.pool.name, recent.grown(pool, REACH, |totals| totals.inherited)));
        let remedy = "call engine.dispose(close=False) in the child after the fork (gunicorn's \
                      post_fork, celery's worker_process_init), or open no connection before it";
        let found = inherited.filter(|(_, count)| *count > 0).map(|(pool, count)| {
            let message = format!(
                "{count} connections of a parent process were found in forked workers: two \
                 processes on one connection read each other's answers"
            );
            Advice::new(Severity::Critical, pool, message, remedy)
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn inherited_connections_are_told_as_long_as_they_are_recent() {
        let mut fixture = Fixture::with_workers(&[1]);
        fixture.totals().inherited = Some(3);
        assert_eq!(fixture.judge(&InheritedConnections::default()), [], "before poolwatch looked");
        fixture.totals().inherited = Some(5);
        assert!(fixture.message(&InheritedConnections::default()).starts_with("2 connections"));
        fixture.advance(620);
        assert_eq!(fixture.judge(&InheritedConnections::default()), []);
    }
}
