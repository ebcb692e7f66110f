//! Sessions that wait for a lock, and the one that holds all of them up.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::{Blocker, LockQueue};
use crate::state::DatabaseState;

/// The number of further root blockers that are named.
const OTHERS: usize = 2;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LockQueueRule {
    enabled: bool,
    /// A queue in which somebody has waited for longer.
    #[serde(with = "humantime_serde")]
    longer_than: Duration,
    /// The same where only one session waits: it may be a migration that waits for its turn.
    #[serde(with = "humantime_serde")]
    single_longer_than: Duration,
}

impl Default for LockQueueRule {
    fn default() -> Self {
        let (longer_than, single) = (Duration::from_secs(5), Duration::from_secs(30));
        Self { enabled: true, longer_than, single_longer_than: single }
    }
}

impl Rule for LockQueueRule {
    fn name(&self) -> &'static str {
        "lock_queue"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.databases.iter().filter_map(|database| self.judge_server(database)).collect()
    }
}

impl LockQueueRule {
    fn judge_server(&self, server: &DatabaseState) -> Option<Advice> {
        let queues: Vec<_> = server.lock_queues.iter().filter(|one| self.is_long(one)).collect();
        let (worst, others) = queues.split_first()?;
        let described = [*worst].into_iter().chain(others.iter().copied().take(OTHERS));
        let more = others.len().checked_sub(OTHERS).filter(|more| *more > 0);
        let more = more.map(|more| format!("and {more} more such sessions"));
        let message = described.map(describe).chain(more).collect::<Vec<_>>().join("; ");
        Some(Advice::new(Severity::Warning, &server.name, message, remedy(worst)))
    }

    fn is_long(&self, queue: &LockQueue) -> bool {
        let threshold = if queue.waiting > 1 { self.longer_than } else { self.single_longer_than };
        queue.longest_wait_seconds >= threshold.as_secs_f64()
    }
}

fn describe(queue: &LockQueue) -> String {
    let waiting = match queue.waiting {
        1 => "1 session waits".to_owned(),
        many => format!("{many} sessions wait"),
    };
    let longest = queue.longest_wait_seconds;
    let behind = queue.first.as_ref().filter(|first| !first.is_empty());
    let behind = behind.map(|first| format!(", most of them behind `{first}`"));
    format!(
        "{waiting} for a lock, one for {longest:.0} s{}, all held up by {}",
        behind.unwrap_or_default(),
        blocker(&queue.blocker)
    )
}

fn blocker(session: &Blocker) -> String {
    if session.pid == 0 {
        return "a prepared transaction, which no session has".to_owned();
    }
    let state = match (session.state.as_str(), session.kind.as_str()) {
        (_, "autovacuum worker") => "which vacuums",
        ("active", _) => "which has been running",
        ("idle", _) => "which is idle with a lock, its last statement",
        _ => "which is idle in a transaction, its last statement",
    };
    let statement = Some(&session.statement).filter(|statement| !statement.is_empty());
    let statement = statement.map(|statement| format!(" `{statement}`")).unwrap_or_default();
    let since = if session.state == "active" {
        session.state_seconds.map(|seconds| format!(" for {seconds:.0} s"))
    } else {
        let ages = session.state_seconds.zip(session.transaction_seconds);
        ages.map(|(idle, open)| format!(" {idle:.0} s ago, in a transaction open for {open:.0} s"))
    };
    format!("{}, {state}{statement}{}", session.described(), since.unwrap_or_default())
}

fn remedy(queue: &LockQueue) -> String {
    let Blocker { pid, state, kind, .. } = &queue.blocker;
    let end = match (*pid, kind.as_str(), state.as_str()) {
        (0, ..) => "find it with SELECT gid, prepared, owner FROM pg_prepared_xacts ORDER BY \
                    prepared, and end it with COMMIT PREPARED or ROLLBACK PREPARED"
            .to_owned(),
        (_, "autovacuum worker", _) => "let the vacuum end, and cancel what waits first in the \
                                        queue, so that the others pass: a vacuum to prevent \
                                        wraparound begins again when it is cancelled"
            .to_owned(),
        (pid, _, "active") => format!("end it with SELECT pg_cancel_backend({pid})"),
        (pid, ..) => format!("end it with SELECT pg_terminate_backend({pid})"),
    };
    format!("{end}; let ALTER TABLE and the like run with SET lock_timeout = '2s', and try again")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::Sessions;

    fn queue(waiting: u64, seconds: f64, state: &str) -> LockQueue {
        let blocker = Blocker {
            pid: 4711,
            user: "shop".into(),
            application: "worker".into(),
            address: "10.0.0.7".into(),
            database: "orders".into(),
            state: state.into(),
            kind: "client backend".into(),
            transaction_seconds: Some(95.0),
            state_seconds: Some(80.0),
            statement: "SELECT * FROM t WHERE id = ?".into(),
        };
        let first = Some("ALTER TABLE t ADD c int".into());
        LockQueue { blocker, waiting, longest_wait_seconds: seconds, first }
    }

    fn judge(queues: Vec<LockQueue>) -> Vec<Advice> {
        let mut fixture = Fixture::with_sessions(Sessions::default());
        fixture.databases[0].lock_queues = queues;
        fixture.judge(&LockQueueRule::default())
    }

    #[test]
    fn the_root_is_named_with_all_that_is_needed_to_find_and_end_it() {
        let advice = &judge(vec![queue(7, 6.0, "idle in transaction")])[0];
        assert_eq!(
            advice.message,
            "7 sessions wait for a lock, one for 6 s, most of them behind `ALTER TABLE t ADD c int`, \
             all held up by the session 4711 (role shop, application worker, from 10.0.0.7, database \
             orders), which is idle in a transaction, its last statement `SELECT * FROM t WHERE \
             id = ?` 80 s ago, in a transaction open for 95 s"
        );
        assert!(advice.remedy.starts_with("end it with SELECT pg_terminate_backend(4711)"));
        let advice = &judge(vec![queue(2, 6.0, "active")])[0];
        assert!(advice.message.ends_with("WHERE id = ?` for 80 s"), "{}", advice.message);
        assert!(advice.remedy.contains("SELECT pg_cancel_backend(4711)"), "{}", advice.remedy);
    }

    #[test]
    fn a_short_queue_and_one_that_waits_for_its_turn_are_not_spoken_of() {
        assert_eq!(judge(vec![queue(9, 3.0, "active")]), []);
        assert_eq!(judge(vec![queue(1, 20.0, "active")]), []);
        assert_eq!(judge(vec![queue(1, 31.0, "active")]).len(), 1);
    }

    #[test]
    fn neither_a_prepared_transaction_nor_a_vacuum_is_cancelled() {
        let prepared = LockQueue { blocker: Blocker::default(), ..queue(3, 9.0, "") };
        assert!(judge(vec![prepared])[0].remedy.contains("ROLLBACK PREPARED"));
        let mut vacuum = queue(3, 9.0, "active");
        vacuum.blocker.kind = "autovacuum worker".into();
        assert!(judge(vec![vacuum])[0].remedy.starts_with("let the vacuum end"));
    }
}
