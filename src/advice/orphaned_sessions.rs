//! Sessions that a worker held, and that no worker holds any more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::ClientSession;
use crate::state::DatabaseState;

/// The number of sessions that the query ends; it may be asked for again.
const ENDED: usize = 50;
/// The number of applications that are named.
const NAMED: usize = 3;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OrphanedSessions {
    enabled: bool,
    /// The time for which there must be one: a statement of a worker that was killed in a rollout may
    /// need a moment to end.
    #[serde(with = "humantime_serde")]
    longer_than: Duration,
}

impl Default for OrphanedSessions {
    fn default() -> Self {
        Self { enabled: true, longer_than: Duration::from_secs(15) }
    }
}

impl Rule for OrphanedSessions {
    fn name(&self) -> &'static str {
        "orphaned_sessions"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        self.longer_than
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.databases.iter().filter_map(judge_server).collect()
    }
}

fn judge_server(server: &DatabaseState) -> Option<Advice> {
    let orphans = &server.session_owners.as_ref()?.orphans;
    if orphans.is_empty() {
        return None;
    }
    let count = orphans.len();
    let have = if count == 1 { "session has" } else { "sessions have" };
    let message = format!("{count} {have} no worker any more: {}", described(orphans));
    let query = query(orphans);
    let remedy = format!(
        "end them with {query}; so that the server notices by itself when a client is gone, set \
             tcp_keepalives_idle = 60 and, from version 14 on, client_connection_check_interval = \
             '10s', and look for a proxy that keeps connections open whose client has gone"
    );
    let advice = Advice::new(Severity::Warning, &server.name, message, remedy);
    Some(advice.with_sql(vec![query]))
}

/// Their applications and addresses, those with most first.
fn described(orphans: &[ClientSession]) -> String {
    let mut sums: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for one in orphans {
        *sums.entry((&one.application, &one.user, &one.address)).or_default() += 1;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named = sums.iter().take(NAMED).map(|((application, user, address), count)| {
        let from = if *address == "local" { "a local socket" } else { address };
        format!("{count} of application {application} (role {user}) from {from}")
    });
    let named: Vec<_> = named.collect();
    named.join(", ")
}

/// Ends these and no session that has the process of one of them since.
fn query(orphans: &[ClientSession]) -> String {
    let sessions = orphans.iter().take(ENDED);
    let sessions = sessions.map(|one| format!("({}, '{}')", one.pid, one.started));
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE (pid, backend_start) IN ({})",
        sessions.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::Sessions;
    use crate::state::SessionOwners;

    fn judge(orphans: usize) -> Vec<Advice> {
        let session = |pid| ClientSession {
            pid,
            started: format!("2026-11-28 00:00:0{pid}+00"),
            application: "shop".into(),
            user: "web".into(),
            address: "10.0.0.7".into(),
            ..ClientSession::default()
        };
        let orphans = (1..).take(orphans).map(session).collect();
        let mut fixture = Fixture::with_sessions(Sessions::default());
        let owners = SessionOwners { groups: Vec::new(), orphans };
        fixture.databases[0].session_owners = Some(owners);
        fixture.judge(&OrphanedSessions::default())
    }

    #[test]
    fn orphans_are_counted_by_application_and_the_query_ends_these_alone() {
        let advice = &judge(2)[0];
        assert!(advice.message.starts_with("2 sessions have no worker"), "{}", advice.message);
        let named = "2 of application shop (role web) from 10.0.0.7";
        assert!(advice.message.ends_with(named), "{}", advice.message);
        assert_eq!(
            advice.sql,
            [
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE (pid, backend_start) IN \
              ((1, '2026-11-28 00:00:01+00'), (2, '2026-11-28 00:00:02+00'))"
            ]
        );
        assert!(advice.remedy.contains(&advice.sql[0]), "{}", advice.remedy);
    }

    #[test]
    fn without_orphans_there_is_nothing_to_say() {
        assert_eq!(judge(0), []);
    }
}
