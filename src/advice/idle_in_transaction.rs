//! Sessions that rest inside a transaction.

use std::cmp::Ordering::Equal;
use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::Blocker;
use crate::state::DatabaseState;

/// The number of sessions that are named, those that have been idle for longest.
const NAMED: usize = 3;

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
        let count = sessions.idle_in_transaction;
        let rest = if count == 1 { "session rests" } else { "sessions rest" };
        let idle = database.conditions.iter().flat_map(|one| &one.idle_in_transaction);
        let mut idle: Vec<_> = idle.collect();
        idle.sort_by(|a, b| b.state_seconds.partial_cmp(&a.state_seconds).unwrap_or(Equal));
        let named = idle.into_iter().filter_map(|session| self.describe(session));
        let named: Vec<_> = named.take(NAMED).collect();
        let named: String = named.iter().flat_map(|session| ["; ", session]).collect();
        let message = format!(
            "{count} {rest} inside a transaction, one for {oldest:.0} s: each holds a connection \
             and its locks, and keeps vacuum from cleaning up{named}"
        );
        let remedy = "commit or roll back before calling other services; as a safety net: \
                      ALTER ROLE … SET idle_in_transaction_session_timeout = '60s'";
        Some(Advice::new(Severity::Warning, &database.name, message, remedy))
    }

    /// A session that has been idle for long. They are read more rarely than the oldest's age, and on
    /// a busy server later than that.
    fn describe(&self, session: &Blocker) -> Option<String> {
        let long = self.longer_than.as_secs_f64() / 3.0;
        let idle = session.state_seconds.filter(|idle| *idle >= long)?;
        let open = session.transaction_seconds.unwrap_or(idle);
        let (who, statement) = (session.described(), &session.statement);
        Some(format!(
            "{who}, idle for {idle:.0} s of the {open:.0} s of its transaction, after `{statement}`"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Conditions, Sessions};

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
    fn the_sessions_are_named_with_what_they_did_last() {
        let mut fixture = Fixture::with_sessions(sessions(45.0));
        let session = |pid, state_seconds| Blocker {
            pid,
            application: "web".into(),
            state_seconds: Some(state_seconds),
            transaction_seconds: Some(50.0),
            statement: "SELECT ?".into(),
            ..Blocker::default()
        };
        let idle_in_transaction = vec![session(7, 45.0), session(8, 2.0)];
        let conditions = Conditions { idle_in_transaction, ..Conditions::default() };
        fixture.databases[0].conditions = Some(conditions.into());
        let message = fixture.message(&IdleInTransaction::default());
        let named = "; the session 7 (application web), idle for 45 s of the 50 s of its \
                     transaction, after `SELECT ?`";
        assert!(message.ends_with(named), "{message}");
    }

    #[test]
    fn a_long_transaction_that_works_is_not_idle() {
        assert_eq!(Fixture::with_sessions(sessions(0.2)).judge(&IdleInTransaction::default()), []);
    }
}
