//! Sessions that a worker held, and that no worker holds any more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::ClientSession;
use crate::state::{CountedSessions, DatabaseState};

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
    let owners = server.session_owners.as_ref()?;
    let (orphans, counted) = (&owners.orphans, &owners.counted);
    let count = orphans.len() + counted.iter().map(|one| one.orphans).sum::<usize>();
    if count == 0 {
        return None;
    }
    let have = if count == 1 { "session has" } else { "sessions have" };
    let named: Vec<_> = described(orphans).into_iter().chain(counted.iter().map(among)).collect();
    let message = format!("{count} {have} no worker any more: {}", named.join(", "));
    let end = (!orphans.is_empty()).then(|| end(orphans));
    let list = (!counted.is_empty()).then(|| list(counted));
    let ways = [
        end.as_ref().map(|query| format!("end them with {query}")),
        list.as_ref().map(|query| {
            format!(
                "of those that were found by count nobody knows which they are: {query} lists those \
                 among which they are, and what remains when their workers have been restarted has no \
                 worker"
            )
        }),
    ];
    let ways: Vec<_> = ways.into_iter().flatten().collect();
    let remedy = format!(
        "{}; so that the server notices by itself when a client is gone, set tcp_keepalives_idle = 60 \
         and, from version 14 on, client_connection_check_interval = '10s', and look for a proxy that \
         keeps connections open whose client has gone",
        ways.join("; ")
    );
    let advice = Advice::new(Severity::Warning, &server.name, message, remedy);
    Some(advice.with_sql(end.into_iter().chain(list).collect()))
}

/// How many of which sessions have no worker.
fn among(counted: &CountedSessions) -> String {
    let first = counted.sessions.first().map(group).unwrap_or_default();
    format!("{} of the {} {first}, by count", counted.orphans, counted.sessions.len())
}

/// Sessions alike in words.
fn group(session: &ClientSession) -> String {
    let ClientSession { application, user, address, .. } = session;
    let from = if address == "local" { "a local socket" } else { address };
    format!("of application {application} (role {user}) from {from}")
}

/// Their applications and addresses, those with most first.
fn described(orphans: &[ClientSession]) -> Vec<String> {
    let mut sums: BTreeMap<String, usize> = BTreeMap::new();
    for one in orphans {
        *sums.entry(group(one)).or_default() += 1;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sums.into_iter().take(NAMED).map(|(group, count)| format!("{count} {group}")).collect()
}

/// Ends these and no session that has the process of one of them since.
fn end(orphans: &[ClientSession]) -> String {
    format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}", are(orphans.iter()))
}

/// Shows these, those first that have been idle for longest.
fn list(counted: &[CountedSessions]) -> String {
    let sessions = are(counted.iter().flat_map(|one| &one.sessions));
    format!(
        "SELECT pid, backend_start, state, state_change, query FROM pg_stat_activity WHERE {sessions} \
         ORDER BY state_change"
    )
}

fn are<'a>(sessions: impl Iterator<Item = &'a ClientSession>) -> String {
    let sessions = sessions.take(ENDED);
    let sessions = sessions.map(|one| format!("({}, '{}')", one.pid, one.started));
    format!("(pid, backend_start) IN ({})", sessions.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::Sessions;
    use crate::state::SessionOwners;

    fn sessions(number: usize) -> Vec<ClientSession> {
        let session = |pid| ClientSession {
            pid,
            started: format!("2026-11-28 00:00:0{pid}+00"),
            application: "shop".into(),
            user: "web".into(),
            address: "10.0.0.7".into(),
            ..ClientSession::default()
        };
        (1..).take(number).map(session).collect()
    }

    fn judge(orphans: usize) -> Vec<Advice> {
        judge_owners(SessionOwners { orphans: sessions(orphans), ..SessionOwners::default() })
    }

    fn judge_owners(owners: SessionOwners) -> Vec<Advice> {
        let mut fixture = Fixture::with_sessions(Sessions::default());
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
    fn those_that_were_counted_are_listed_and_not_ended() {
        let counted = vec![CountedSessions { sessions: sessions(3), orphans: 2 }];
        let advice = &judge_owners(SessionOwners { counted, ..SessionOwners::default() })[0];
        let named = "2 sessions have no worker any more: 2 of the 3 of application shop (role web) \
                     from 10.0.0.7, by count";
        assert_eq!(advice.message, named);
        assert_eq!(advice.sql.len(), 1);
        assert!(!advice.remedy.contains("terminate"), "{}", advice.remedy);
        assert!(advice.sql[0].contains("(3, '2026-11-28 00:00:03+00')"), "{}", advice.sql[0]);
    }

    #[test]
    fn without_orphans_there_is_nothing_to_say() {
        assert_eq!(judge(0), []);
    }
}
