//! Whose sessions a server has: those that a living worker holds, those that one held and none holds
//! any more, and those that no worker ever reported.
//!
//! A worker reports processes alone, which come again and which another server has too. So a
//! process is taken for a session of the server only where most that the worker reports are
//! there, with its database and role where it names them; and it stays that session, known by when
//! it began. Where the worker does not say that it connects to this server alone, as through a proxy,
//! all that it reports must be there, several of them, and at two readings.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::counted_sessions::{CountedSessions, SessionCounts};
use crate::reading::{ClientSession, ClientSessions, ConnectionOwner, ConnectionTarget, OTHER};

/// The time that a session without a worker has to end: what a worker closed is gone sooner.
const GRACE: Duration = Duration::from_secs(3);
/// A session of an unknown owner that is younger may be reported yet.
const YOUNG_SECONDS: f64 = 10.0;
/// The fewest connections by which a pool of an uncertain server is recognised.
const FEWEST: usize = 2;
/// The most groups of sessions with a series of their own.
const GROUPS: usize = 50;

/// The owner of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum SessionOwner {
    /// A worker that lives.
    Worker,
    /// A worker held it, and none does now.
    Orphan,
    /// No worker reported it.
    Stranger,
}

impl SessionOwner {
    /// The value of the label `owner`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Sessions of one kind of owner, application and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedSessions {
    /// Their owner.
    pub owner: SessionOwner,
    /// Their `application_name`.
    pub application: String,
    /// The address of their client; `local` over a Unix socket.
    pub address: String,
    /// Their number.
    pub sessions: u64,
}

/// The sessions of a server by their owners.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionOwners {
    /// The sessions, counted; the smallest groups together as `other`.
    pub groups: Vec<OwnedSessions>,
    /// Those that certainly no worker holds any more.
    pub orphans: Vec<ClientSession>,
    /// Those whose worker is taken for ended because it is silent.
    pub silent: Vec<ClientSession>,
    /// Those among which there are some by count: numbers may also agree by coincidence.
    pub counted: Vec<CountedSessions>,
}

/// The sessions of one server that workers reported as theirs.
#[derive(Debug, Default)]
pub struct SessionClaims {
    claims: HashMap<(i32, String), Claim>,
    /// Processes that a worker goes on to report although their session has ended.
    spent: BTreeSet<(String, i32)>,
    judged: Option<(Instant, Option<SessionOwners>)>,
    has_claims: bool,
    counts: SessionCounts,
}

/// A session that a worker reported as its own.
#[derive(Debug)]
struct Claim {
    /// The last owner.
    owner: String,
    /// Since when no worker has reported it.
    unclaimed_since: Option<Instant>,
    /// True when that is inferred from the silence of its owner.
    is_inferred: bool,
    /// False until an owner of whom it is not certain reports it once more.
    confirmed: bool,
}

impl Claim {
    fn new(owner: String, confirmed: bool) -> Self {
        Self { owner, unclaimed_since: None, is_inferred: false, confirmed }
    }
}

impl SessionClaims {
    /// The owners of these sessions; `None` while no worker has reported any of them. Sessions that
    /// were judged are not judged again.
    pub fn judge<'a>(
        &mut self,
        owners: impl IntoIterator<Item = &'a ConnectionOwner>,
        sessions: &ClientSessions,
        places: &[ConnectionTarget],
    ) -> Option<SessionOwners> {
        if let Some((at, judged)) = &self.judged
            && *at == sessions.taken_at
        {
            return judged.clone();
        }
        let by_pid: HashMap<i32, &ClientSession> =
            sessions.sessions.iter().map(|session| (session.pid, session)).collect();
        let owners: Vec<&ConnectionOwner> = owners.into_iter().collect();
        let counted = self.counts.judge(&owners, sessions, places);
        let tell = owners.into_iter().filter(|owner| owner.pids.is_some());
        let owners = tell.map(|owner| (owner.id.as_str(), owner)).collect();
        self.forget_ended(&owners, &by_pid);
        self.claim(&owners, &by_pid, places);
        self.release(&owners, sessions.taken_at);
        self.has_claims |= !counted.is_empty() || self.claims.values().any(|claim| claim.confirmed);
        let judged = self.has_claims.then(|| self.owners(sessions, counted));
        self.judged = Some((sessions.taken_at, judged.clone()));
        judged
    }

    /// Forgets sessions that have ended; whoever still reports one has not noticed.
    fn forget_ended(
        &mut self,
        owners: &HashMap<&str, &ConnectionOwner>,
        by_pid: &HashMap<i32, &ClientSession>,
    ) {
        let is_there =
            |(pid, started): &(i32, String)| by_pid.get(pid).is_some_and(|s| s.started == *started);
        let reports = |id: &str, pid: i32| owners.get(id).is_some_and(|owner| owner.reports(pid));
        let ended = self.claims.extract_if(|key, _| !is_there(key));
        let spent = ended.map(|((pid, _), claim)| (claim.owner, pid));
        self.spent.extend(spent);
        self.spent.retain(|(id, pid)| reports(id, *pid));
    }

    fn claim(
        &mut self,
        owners: &HashMap<&str, &ConnectionOwner>,
        by_pid: &HashMap<i32, &ClientSession>,
        places: &[ConnectionTarget],
    ) {
        for owner in owners.values().filter(|owner| !owner.ended) {
            let pids = owner.pids.as_deref().unwrap_or_default();
            let found = pids.iter().filter_map(|pid| by_pid.get(pid));
            let found: Vec<_> = found.filter(|session| owner.may_hold(session)).collect();
            let is_certain = owner.connects_only_to(places);
            let is_of_server = if is_certain {
                2 * found.len() >= pids.len()
            } else {
                found.len() == pids.len() && found.len() >= FEWEST
            };
            for session in found {
                let key = (session.pid, session.started.clone());
                let is_spent = || self.spent.contains(&(owner.id.clone(), session.pid));
                let before = self.claims.get(&key);
                if before.is_some_and(|claim| claim.confirmed) || (is_of_server && !is_spent()) {
                    let again =
                        before.is_some_and(|claim| claim.confirmed || claim.owner == owner.id);
                    let (owner, confirmed) = (owner.id.clone(), is_certain || again);
                    self.claims.insert(key, Claim::new(owner, confirmed));
                }
            }
        }
    }

    /// Notes which sessions are not held any more, and forgets those of which that is not certain.
    fn release(&mut self, owners: &HashMap<&str, &ConnectionOwner>, now: Instant) {
        self.claims.retain(|(pid, _), claim| match owners.get(claim.owner.as_str()) {
            Some(owner) if !claim.confirmed => !owner.ended && owner.reports(*pid),
            Some(owner) if owner.ended || (owner.pids.is_some() && !owner.reports(*pid)) => {
                claim.unclaimed_since.get_or_insert(now);
                claim.is_inferred =
                    owner.is_silent && (owner.pids.is_none() || owner.reports(*pid));
                true
            }
            Some(owner) => owner.pids.is_some(),
            None => claim.confirmed && claim.unclaimed_since.is_some(),
        });
    }

    fn owners(
        &self,
        sessions: &ClientSessions,
        mut counted: Vec<CountedSessions>,
    ) -> SessionOwners {
        let (mut orphans, mut silent) = (Vec::new(), Vec::new());
        let mut sums: BTreeMap<(SessionOwner, &str, &str), u64> = BTreeMap::new();
        for one in &counted {
            let Some(first) = one.sessions.first() else { continue };
            let held = one.sessions.len() - one.orphans;
            for (owner, number) in
                [(SessionOwner::Orphan, one.orphans), (SessionOwner::Worker, held)]
            {
                if number > 0 {
                    let sum = sums.entry((owner, &first.application, &first.address));
                    *sum.or_default() += number as u64;
                }
            }
        }
        let pids = counted.iter().flat_map(|one| &one.sessions).map(|session| session.pid);
        let pids: HashSet<i32> = pids.collect();
        for session in sessions.sessions.iter().filter(|session| !pids.contains(&session.pid)) {
            let Some(owner) = self.owner(session, sessions.taken_at) else { continue };
            *sums.entry((owner, &session.application, &session.address)).or_default() += 1;
            if owner == SessionOwner::Orphan {
                let found = if self.is_inferred(session) { &mut silent } else { &mut orphans };
                found.push(session.clone());
            }
        }
        let groups = bounded(sums);
        counted.retain(|one| one.orphans > 0);
        SessionOwners { groups, orphans, silent, counted }
    }

    /// True if nothing but the silence of its worker tells that it has none.
    fn is_inferred(&self, session: &ClientSession) -> bool {
        let claim = self.claims.get(&(session.pid, session.started.clone()));
        claim.is_some_and(|claim| claim.is_inferred)
    }

    fn owner(&self, session: &ClientSession, now: Instant) -> Option<SessionOwner> {
        let claim = self.claims.get(&(session.pid, session.started.clone()));
        let claim = claim.filter(|claim| claim.confirmed);
        match claim.map(|claim| claim.unclaimed_since) {
            Some(Some(since)) if now.saturating_duration_since(since) >= GRACE => {
                Some(SessionOwner::Orphan)
            }
            Some(_) => Some(SessionOwner::Worker),
            None => (session.age_seconds >= YOUNG_SECONDS).then_some(SessionOwner::Stranger),
        }
    }
}

impl ConnectionOwner {
    fn reports(&self, pid: i32) -> bool {
        self.pids.as_ref().is_some_and(|pids| pids.contains(&pid))
    }

    /// True unless it connects to other databases or as another role.
    pub(super) fn may_hold(&self, session: &ClientSession) -> bool {
        let fits = |named: &Option<String>, is: &str| named.as_deref().is_none_or(|one| one == is);
        self.targets.is_empty()
            || self.targets.iter().any(|target| {
                fits(&target.database, &session.database) && fits(&target.role, &session.user)
            })
    }
}

/// The largest groups of each kind of owner, and one for the rest.
fn bounded(sums: BTreeMap<(SessionOwner, &str, &str), u64>) -> Vec<OwnedSessions> {
    let mut groups: Vec<_> = sums
        .into_iter()
        .map(|((owner, application, address), sessions)| OwnedSessions {
            owner,
            application: application.to_owned(),
            address: address.to_owned(),
            sessions,
        })
        .collect();
    // Orphans before others, for they are few and matter.
    groups.sort_by_key(|group| {
        (group.owner != SessionOwner::Orphan, std::cmp::Reverse(group.sessions))
    });
    let rest = groups.split_off(groups.len().min(GROUPS));
    for group in rest {
        let is_rest = |one: &OwnedSessions| {
            one.owner == group.owner && one.application == OTHER && one.address == OTHER
        };
        match groups.iter_mut().find(|one| is_rest(one)) {
            Some(sum) => sum.sessions += group.sessions,
            None => groups.push(OwnedSessions {
                application: OTHER.to_owned(),
                address: OTHER.to_owned(),
                ..group
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
