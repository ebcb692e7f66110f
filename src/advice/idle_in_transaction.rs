//! Sessions that rest inside a transaction.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::DatabaseState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct IdleInTransaction {
    enabled: bool,
    /// A session that rests for longer has been forgotten.
    #[serde(with = "humantime_serde")]
    longer_than: Duration,
}

impl Default for IdleInTransaction {
    fn default() -> Self {
        Self { enabled: true, longer_than: Duration::from_secs(30) }
    }
}

impl Rule for IdleInTransaction {
    fn name(&self) -> &'static str {
        "idle_in_transaction"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.databases.iter().filter_map(|database| self.judge_database(database)).collect()
    }
}

impl IdleInTransaction {
    fn judge_database(&self, database: &DatabaseState) -> Option<Advice> {
        let sessions = database.sessions.as_ref()?;
        let oldest = sessions.oldest_idle_in_transaction_seconds?;
        if oldest < self.longer_than.as_secs_f64() {
            return None;
        }
        let message = format!(
            "{} sessions rest inside a transaction, one for {oldest:.0} s: each holds a connection \
             and its locks, and keeps vacuum from cleaning up",
            sessions.idle_in_transaction
        );
        let remedy = "commit or roll back before calling other services; as a safety net: \
                      ALTER ROLE … SET idle_in_transaction_session_timeout = '60s'";
        Some(Advice::new(Severity::Warning, &database.name, message, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::Sessions;

    fn sessions(oldest: f64) -> Sessions {
        Sessions {
            idle_in_transaction: 3,
            oldest_idle_in_transaction_seconds: Some(oldest),
            oldest_transaction_seconds: Some(900.0),
            ..Sessions::default()
        }
    }

    #[test]
    fn a_forgotten_transaction_is_named_with_its_age() {
        let message = Fixture::with_sessions(sessions(45.0)).message(&IdleInTransaction::default());
        assert!(message.starts_with("3 sessions rest") && message.contains("45 s"), "{message}");
    }

    #[test]
    fn a_long_transaction_that_works_is_not_idle() {
        assert_eq!(Fixture::with_sessions(sessions(0.2)).judge(&IdleInTransaction::default()), []);
    }
}
