//! What keeps vacuum from removing rows that nobody needs.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::{Blocker, HolderKind, VacuumHolder};
use crate::state::DatabaseState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct VacuumHeldBack {
    enabled: bool,
    /// The age in transactions from which a session that is idle, or a slot that nobody reads,
    /// holds vacuum back.
    transactions: u64,
    /// The same for a replica.
    replica_transactions: u64,
    /// The same for a statement that runs, or a slot that somebody reads.
    running_transactions: u64,
    /// The age from which a prepared transaction has been forgotten.
    #[serde(with = "humantime_serde")]
    prepared: Duration,
}

impl Default for VacuumHeldBack {
    fn default() -> Self {
        Self {
            enabled: true,
            transactions: 10_000,
            replica_transactions: 100_000,
            running_transactions: 1_000_000,
            prepared: Duration::from_secs(30),
        }
    }
}

impl Rule for VacuumHeldBack {
    fn name(&self) -> &'static str {
        "vacuum_held_back"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    /// Long enough for a reader of a slot to come back.
    fn after(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.databases.iter().filter_map(|server| self.judge_server(server)).collect()
    }
}

impl VacuumHeldBack {
    fn judge_server(&self, server: &DatabaseState) -> Option<Advice> {
        let holders = server.conditions.as_ref()?.vacuum_holders.iter();
        let mut holders: Vec<_> = holders.filter(|holder| self.is_too_old(holder)).collect();
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.transactions));
        let oldest = holders.first()?;
        let described: Vec<_> = holders.iter().take(3).map(|holder| describe(holder)).collect();
        let message = format!(
            "vacuum cannot remove what the last {} transactions deleted or replaced: it is held \
             back by {}",
            oldest.transactions,
            described.join("; and by ")
        );
        Some(Advice::new(Severity::Warning, &server.name, message, remedy(oldest)))
    }

    fn is_too_old(&self, holder: &VacuumHolder) -> bool {
        let threshold = match holder.kind {
            HolderKind::Prepared => {
                return holder.seconds.is_some_and(|age| age >= self.prepared.as_secs_f64());
            }
            HolderKind::Idle | HolderKind::InactiveSlot => self.transactions,
            HolderKind::Replica => self.replica_transactions,
            HolderKind::Running | HolderKind::ActiveSlot => self.running_transactions,
        };
        holder.transactions >= threshold
    }
}

fn describe(holder: &VacuumHolder) -> String {
    let (name, age) = (&holder.name, holder.transactions);
    let session = || holder.session.as_ref();
    match holder.kind {
        HolderKind::Replica => {
            format!("the replica {name} with hot_standby_feedback ({age} transactions)")
        }
        HolderKind::InactiveSlot => {
            format!("the replication slot {name}, which nobody reads ({age} transactions)")
        }
        HolderKind::ActiveSlot => {
            format!("the replication slot {name}, whose reader is behind ({age} transactions)")
        }
        HolderKind::Prepared => format!(
            "the prepared transaction '{name}', {:.0} s old ({age} transactions)",
            holder.seconds.unwrap_or_default()
        ),
        HolderKind::Running | HolderKind::Idle => {
            let described = session().map_or_else(|| "a session".to_owned(), Blocker::described);
            let state = session().map_or("", |one| one.state.as_str());
            let open = session().and_then(|one| one.transaction_seconds).unwrap_or_default();
            let statement = session().map_or("", |one| one.statement.as_str());
            format!(
                "{described}, {state}, in a transaction open for {open:.0} s ({age} transactions), \
                 `{statement}`"
            )
        }
    }
}

fn remedy(holder: &VacuumHolder) -> String {
    let name = &holder.name;
    let pid = holder.session.as_ref().map_or(0, |session| session.pid);
    match holder.kind {
        HolderKind::Replica => {
            "end the long query on the replica (max_standby_streaming_delay and \
                                statement_timeout bound it), or set hot_standby_feedback = off \
                                there: its queries are then cancelled instead"
                .to_owned()
        }
        HolderKind::InactiveSlot => format!(
            "start the reader of the slot again, or, if it will not come back, SELECT \
             pg_drop_replication_slot('{name}')"
        ),
        HolderKind::ActiveSlot => {
            "see why the reader of the slot does not confirm what it has read: \
                                   its own log, and a transaction that it has been sent for long"
                .to_owned()
        }
        HolderKind::Prepared => format!(
            "end it, in its database: COMMIT PREPARED '{name}' or ROLLBACK PREPARED '{name}'; set \
             max_prepared_transactions = 0 where no transaction manager uses them"
        ),
        HolderKind::Running => format!(
            "let it end, or SELECT pg_cancel_backend({pid}); run long reports on a replica, or in \
             smaller parts"
        ),
        HolderKind::Idle => format!(
            "SELECT pg_terminate_backend({pid}), and commit or roll back in the application; as a \
             safety net: ALTER ROLE … SET idle_in_transaction_session_timeout = '60s'"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::{Conditions, Sessions};

    fn holder(kind: HolderKind, transactions: u64) -> VacuumHolder {
        let session = Blocker { pid: 42, state: "active".into(), ..Blocker::default() };
        let session = matches!(kind, HolderKind::Running | HolderKind::Idle).then_some(session);
        let seconds = (kind == HolderKind::Prepared).then_some(90.0);
        VacuumHolder { kind, name: "it".into(), transactions, seconds, session }
    }

    fn judge(holders: Vec<VacuumHolder>) -> Vec<Advice> {
        let mut fixture = Fixture::with_sessions(Sessions::default());
        let conditions = Conditions { vacuum_holders: holders, ..Conditions::default() };
        fixture.databases[0].conditions = Some(conditions.into());
        fixture.judge(&VacuumHeldBack::default())
    }

    #[test]
    fn each_kind_has_its_name_its_age_and_a_remedy_of_its_own() {
        for (kind, named, remedy) in [
            (HolderKind::Replica, "the replica it with", "hot_standby_feedback = off"),
            (HolderKind::InactiveSlot, "slot it, which nobody", "pg_drop_replication_slot('it')"),
            (HolderKind::ActiveSlot, "slot it, whose reader", "confirm"),
            (HolderKind::Prepared, "transaction 'it', 90 s", "ROLLBACK PREPARED 'it'"),
            (HolderKind::Running, "the session 42, active", "pg_cancel_backend(42)"),
            (HolderKind::Idle, "the session 42", "pg_terminate_backend(42)"),
        ] {
            let advice = &judge(vec![holder(kind, 2_000_000)])[0];
            assert!(advice.message.contains("2000000 transactions"), "{}", advice.message);
            assert!(advice.message.contains(named), "{}", advice.message);
            assert!(advice.remedy.contains(remedy), "{}", advice.remedy);
        }
    }

    #[test]
    fn what_works_may_be_older_than_what_is_idle() {
        for (kind, silent) in [
            (HolderKind::Idle, 9_000),
            (HolderKind::InactiveSlot, 9_000),
            (HolderKind::Replica, 90_000),
            (HolderKind::Running, 900_000),
            (HolderKind::ActiveSlot, 900_000),
        ] {
            assert_eq!(judge(vec![holder(kind, silent)]), [], "{kind:?}");
        }
        let young = VacuumHolder { seconds: Some(2.0), ..holder(HolderKind::Prepared, 9_000) };
        assert_eq!(judge(vec![young]), []);
    }
}
