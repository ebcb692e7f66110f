//! Sessions that a worker held, and that no worker holds any more.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::reading::ClientSession;
use crate::state::{CountedSessions, DatabaseState, SessionOwners};

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

/// A query, and what it is good for.
struct Remedy {
    words: String,
    query: String,
}

fn judge_server(server: &DatabaseState) -> Option<Advice> {
    let owners = server.session_owners.as_ref()?;
    let found = [certain(owners), uncertain(owners)];
    let found: Vec<_> = found.into_iter().flatten().collect();
    if found.is_empty() {
        return None;
    }
    let ways = [
        (!owners.orphans.is_empty()).then(|| end(&owners.orphans)),
        (!owners.silent.is_empty()).then(|| list_silent(&owners.silent)),
        (!owners.counted.is_empty()).then(|| list_counted(&owners.counted)),
    ];
    let ways: Vec<Remedy> = ways.into_iter().flatten().collect();
    let words: Vec<_> = ways.iter().map(|way| way.words.as_str()).collect();
    let remedy = format!(
        "{}; so that the server notices by itself when a client is gone, set tcp_keepalives_idle = 60 \
         and, from version 14 on, client_connection_check_interval = '10s', and look for a proxy that \
         keeps connections open whose client has gone",
        words.join("; ")
    );
    let advice = Advice::new(Severity::Warning, &server.name, found.join("; "), remedy);
    Some(advice.with_sql(ways.into_iter().map(|way| way.query).collect()))
}

fn certain(owners: &SessionOwners) -> Option<String> {
    let have = match owners.orphans.len() {
        0 => return None,
        1 => "1 session has".to_owned(),
        count => format!("{count} sessions have"),
    };
    Some(format!("{have} no worker any more: {}", described(&owners.orphans).join(", ")))
}

fn uncertain(owners: &SessionOwners) -> Option<String> {
    let counted: usize = owners.counted.iter().map(|one| one.orphans).sum();
    let seem = match owners.silent.len() + counted {
        0 => return None,
        1 => "1 session seems".to_owned(),
        count => format!("{count} sessions seem"),
    };
    let silent = described(&owners.silent).into_iter();
    let silent = silent.map(|group| format!("{group}, whose worker is silent"));
    let named: Vec<_> = silent.chain(owners.counted.iter().map(among)).collect();
    Some(format!("{seem} to have no worker any more: {}", named.join(", ")))
}

/// How many of which sessions seem to have no worker.
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
fn end(orphans: &[ClientSession]) -> Remedy {
    let sessions = are(orphans.iter());
    let query = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {sessions}");
    Remedy { words: format!("end them with {query}"), query }
}

/// Ends none: a worker that is stopped, throttled or blocked is silent too, and goes on to use them.
fn list_silent(silent: &[ClientSession]) -> Remedy {
    let query = list(silent.iter());
    let words = format!(
        "that a silent worker has ended is inferred from its silence alone, for its process cannot be \
         looked for: {query} lists its sessions; make sure that it has ended before you end one"
    );
    Remedy { words, query }
}

/// Ends none: nobody knows which they are, and numbers may agree by coincidence.
fn list_counted(counted: &[CountedSessions]) -> Remedy {
    let query = list(counted.iter().flat_map(|one| &one.sessions));
    let words = format!(
        "of those that were found by count it is not certain whether and which they are: {query} lists \
         those among which they are, and what remains when their workers have been restarted has no \
         worker"
    );
    Remedy { words, query }
}

/// Shows these, those first that have been idle for longest.
fn list<'a>(sessions: impl Iterator<Item = &'a ClientSession>) -> String {
    let sessions = are(sessions);
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
        let named = "2 sessions seem to have no worker any more: 2 of the 3 of application shop (role web) \
                     from 10.0.0.7, by count";
        assert_eq!(advice.message, named);
        assert_eq!(advice.sql.len(), 1);
        assert!(!advice.remedy.contains("terminate"), "{}", advice.remedy);
        assert!(advice.sql[0].contains("(3, '2026-11-28 00:00:03+00')"), "{}", advice.sql[0]);
    }

    #[test]
    fn all_of_those_that_were_counted_are_listed_too() {
        let counted = vec![CountedSessions { sessions: sessions(3), orphans: 3 }];
        let advice = &judge_owners(SessionOwners { counted, ..SessionOwners::default() })[0];
        assert!(!advice.sql.concat().contains("terminate"), "{:?}", advice.sql);
    }

    #[test]
    fn those_whose_worker_is_silent_are_listed_and_the_query_ends_the_others_alone() {
        let silent = sessions(3).split_off(1);
        let only = SessionOwners { silent: silent.clone(), ..SessionOwners::default() };
        let advice = &judge_owners(only)[0];
        let named = "2 sessions seem to have no worker any more: 2 of application shop (role web) \
                     from 10.0.0.7, whose worker is silent";
        assert_eq!(advice.message, named);
        assert!(!advice.remedy.contains("terminate"), "{}", advice.remedy);
        assert!(advice.remedy.contains("inferred from its silence"), "{}", advice.remedy);
        let owners = SessionOwners { silent, orphans: sessions(1), ..SessionOwners::default() };
        let advice = &judge_owners(owners)[0];
        assert!(advice.message.starts_with("1 session has no worker"), "{}", advice.message);
        assert!(advice.message.contains("; 2 sessions seem to have"), "{}", advice.message);
        assert!(advice.sql[0].ends_with("((1, '2026-11-28 00:00:01+00'))"), "{}", advice.sql[0]);
        assert!(advice.sql[1].contains("(2, '2026-11-28 00:00:02+00')"), "{}", advice.sql[1]);
        assert_eq!(advice.sql.concat().matches("terminate").count(), 1);
    }

    #[test]
    fn without_orphans_there_is_nothing_to_say() {
        assert_eq!(judge(0), []);
    }
}
