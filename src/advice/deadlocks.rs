//! Deadlocks that come again and again.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::DatabaseState;

const WITHIN: Duration = Duration::from_mins(5);

const REMEDY: &str = "lock rows in the same order everywhere (SELECT … ORDER BY id FOR UPDATE before \
                      several are changed), keep transactions short, and retry on sqlstate 40P01; \
                      the server's log has both statements of each deadlock";

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Deadlocks {
    enabled: bool,
    /// Deadlocks within five minutes.
    times: u64,
}

impl Default for Deadlocks {
    fn default() -> Self {
        Self { enabled: true, times: 2 }
    }
}

impl Rule for Deadlocks {
    fn name(&self) -> &'static str {
        "deadlocks"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        context.databases.iter().filter_map(|server| self.judge_server(server, recent)).collect()
    }
}

impl Deadlocks {
    fn judge_server(&self, server: &DatabaseState, recent: &Recent) -> Option<Advice> {
        let (_, before) = recent.conditions(&server.name, WITHIN)?;
        let databases = server.conditions.as_ref()?.databases_since(before);
        let grown = databases.filter_map(|(before, now)| {
            Some((now.deadlocks.checked_sub(before.deadlocks)?, &now.name))
        });
        let (count, database) = grown.max().filter(|(count, _)| *count >= self.times)?;
        let message = format!(
            "{count} deadlocks in the database {database} in the last minutes: sessions lock the \
             same rows in different orders, wait for each other for deadlock_timeout, and one of \
             them is cancelled"
        );
        Some(Advice::new(Severity::Warning, &server.name, message, REMEDY))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Conditions, DatabaseCounters, Sessions};

    fn after(counts: &[u64]) -> Vec<Advice> {
        let mut fixture = Fixture::with_sessions(Sessions::default());
        for deadlocks in counts {
            let counters = DatabaseCounters {
                name: "shop".into(),
                deadlocks: *deadlocks,
                ..Default::default()
            };
            let conditions = Conditions { databases: vec![counters], ..Conditions::default() };
            fixture.databases[0].conditions = Some(conditions.into());
            fixture.advance(10);
        }
        fixture.judge(&Deadlocks::default())
    }

    #[test]
    fn several_within_minutes_are_told_with_their_database() {
        let advice = after(&[7, 8, 10]);
        assert!(advice[0].message.starts_with("3 deadlocks in the database shop"), "{advice:?}");
    }

    #[test]
    fn neither_a_single_one_nor_those_before_nor_a_reset_are() {
        for counts in [&[7][..], &[7, 8, 8], &[7, 7], &[7, 3]] {
            assert_eq!(after(counts), [], "{counts:?}");
        }
    }
}
