//! Sessions that no worker holds any more, found by counting, where drivers do not tell the processes
//! of their connections.
//!
//! Workers that connect to one server alone, as one role, hold as many sessions as they report
//! connections, and while no other client has this role the numbers agree. Then each of these
//! sessions is taken for a worker's. Should there later be more of *these* than all workers have
//! connections, then so many seem to have no worker. Sessions that came since may be anybody's and
//! are never counted. Numbers may agree by coincidence, as when connections that broke are as many
//! as the sessions of a worker that does not report: so nothing that is found here is certain.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::reading::{
    ClientSession, ClientSessions, ConnectionCounts, ConnectionOwner, ConnectionTarget,
};

/// The time that a session without a worker has to end.
const GRACE: Duration = Duration::from_secs(3);
/// The number of readings without any change after which numbers are compared.
const STEADY: u32 = 3;
/// The fewest sessions that are compared.
const FEWEST: usize = 2;

/// The sessions of one server that are counted, by database and role.
#[derive(Debug, Default)]
pub(super) struct SessionCounts {
    roles: HashMap<(String, String), CountedRole>,
}

/// Sessions of workers that do not tell their processes, all of one application and address.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedSessions {
    /// The sessions.
    pub sessions: Vec<ClientSession>,
    /// The number of those among them that seem to have no worker any more.
    pub orphans: usize,
}

/// A session, known by when it began.
type SessionKey = (i32, String);

/// The connections of each worker's pool.
type Connections = BTreeMap<String, ConnectionCounts>;

/// The sessions and the connections at one reading.
type Numbers = (BTreeSet<SessionKey>, Connections);

/// The sessions of one role in one database.
#[derive(Debug, Default)]
struct CountedRole {
    /// Those that were a worker's or an orphan when the numbers last agreed, and have not ended.
    owned: BTreeSet<SessionKey>,
    /// Those of them that have no worker.
    orphans: usize,
    /// The connections at the time of the readings since the last one that is older than [`GRACE`].
    recent: VecDeque<(Instant, Range)>,
    /// The last reading, and how many there were like it.
    last: Numbers,
    alike: u32,
    /// The last reading at which the numbers agreed.
    agreed: Option<Numbers>,
    /// True once they agreed at two readings between which workers opened connections.
    is_proven: bool,
}

/// The fewest and the most connections that workers may have.
#[derive(Clone, Copy, Debug)]
struct Range {
    fewest: u64,
    most: u64,
}

impl SessionCounts {
    /// The sessions that are a worker's or an orphan, by count.
    pub(super) fn judge(
        &mut self,
        owners: &[&ConnectionOwner],
        sessions: &ClientSessions,
        places: &[ConnectionTarget],
    ) -> Vec<CountedSessions> {
        let mut workers: HashMap<(String, String), Vec<&ConnectionOwner>> = HashMap::new();
        for owner in owners {
            if let Some(role) = counted_role(owner, places) {
                workers.entry(role).or_default().push(owner);
            }
        }
        // Whoever may have sessions of a role that are not counted.
        let others: Vec<_> = owners
            .iter()
            .filter(|owner| !owner.ended && counted_role(owner, places).is_none())
            .collect();
        let may_count = |(database, role): &(String, String)| {
            let one = ClientSession {
                database: database.clone(),
                user: role.clone(),
                ..ClientSession::default()
            };
            !others.iter().any(|other| other.may_hold(&one))
        };
        workers.retain(|role, _| may_count(role));
        self.roles.retain(|role, counted| {
            workers.get(role).is_some_and(|workers| counted.knows_all(workers))
        });
        let mut all = Vec::new();
        for (role, workers) in workers {
            let of_role = |one: &&ClientSession| one.database == role.0 && one.user == role.1;
            let present: Vec<_> = sessions.sessions.iter().filter(of_role).collect();
            let counted = self.roles.entry(role.clone()).or_default();
            all.extend(counted.judge(&workers, &present, sessions.taken_at));
        }
        all
    }
}

impl CountedRole {
    /// True unless a worker that had connections is neither there nor known to have ended.
    fn knows_all(&self, workers: &[&ConnectionOwner]) -> bool {
        self.last.1.keys().all(|id| workers.iter().any(|worker| worker.id == *id))
    }

    fn judge(
        &mut self,
        workers: &[&ConnectionOwner],
        sessions: &[&ClientSession],
        now: Instant,
    ) -> Option<CountedSessions> {
        let living = workers.iter().filter(|worker| !worker.ended);
        let living = living.filter_map(|one| Some((one.id.clone(), one.counts?)));
        let mut connections: Connections = living.collect();
        let fewest = connections.values().map(|counts| counts.open).sum();
        // They change from moment to moment, and are not compared.
        let connecting =
            connections.values_mut().map(|counts| std::mem::take(&mut counts.connecting));
        let most = fewest + connecting.sum::<u64>();
        let present: BTreeSet<_> = sessions.iter().map(|session| key(session)).collect();
        self.count(&present, Range { fewest, most }, now);
        self.compare((present, connections), fewest, sessions);
        let owned = sessions.iter().filter(|session| self.owned.contains(&key(session)));
        let sessions: Vec<_> = owned.map(|session| (*session).clone()).collect();
        (!sessions.is_empty()).then_some(CountedSessions { sessions, orphans: self.orphans })
    }

    /// Finds the number of orphans that there are at least.
    fn count(&mut self, present: &BTreeSet<SessionKey>, range: Range, now: Instant) {
        let before = self.owned.len();
        self.owned.retain(|key| present.contains(key));
        // Any of those that ended may have been an orphan.
        let stay = self.orphans.saturating_sub(before - self.owned.len());
        self.recent.push_back((now, range));
        let is_old = |(at, _): &(Instant, Range)| now.saturating_duration_since(*at) >= GRACE;
        while self.recent.get(1).is_some_and(is_old) {
            self.recent.pop_front();
        }
        let most = self.recent.iter().map(|(_, range)| range.most).max().unwrap_or_default();
        let fewest = self.recent.iter().map(|(_, range)| range.fewest).min().unwrap_or_default();
        let has_grace = self.recent.front().is_some_and(is_old);
        let found = if has_grace { self.owned.len().saturating_sub(size(most)) } else { 0 };
        let without_worker = present.len().saturating_sub(size(fewest));
        self.orphans = found.max(stay).min(without_worker);
    }

    /// Learns, where nothing has changed for a while, whether each session has an owner.
    fn compare(&mut self, numbers: Numbers, open: u64, sessions: &[&ClientSession]) {
        if self.last != numbers {
            (self.last, self.alike) = (numbers, 1);
            return;
        }
        self.alike = self.alike.saturating_add(1);
        if self.alike != STEADY {
            return;
        }
        let present = &self.last.0;
        let agrees = present.len() == size(open) + self.orphans
            && present.len() >= FEWEST
            && are_alike(sessions)
            && self.agreed.as_ref().is_none_or(|before| were_opened(before, &self.last));
        if !agrees {
            (self.agreed, self.is_proven) = (None, false);
            return;
        }
        let opened_some =
            self.agreed.as_ref().is_some_and(|(before, _)| !present.is_subset(before));
        self.is_proven |= opened_some;
        if self.is_proven {
            self.owned.clone_from(present);
        }
        self.agreed = Some(self.last.clone());
    }
}

/// True if workers opened at least as many connections as there are new sessions.
fn were_opened(before: &Numbers, now: &Numbers) -> bool {
    let new = now.0.difference(&before.0).count();
    let opened = now.1.iter().map(|(id, counts)| {
        counts.opened.saturating_sub(before.1.get(id).map_or(0, |counts| counts.opened))
    });
    size(opened.sum()) >= new
}

fn key(session: &ClientSession) -> SessionKey {
    (session.pid, session.started.clone())
}

/// True if all have one application and one address.
fn are_alike(sessions: &[&ClientSession]) -> bool {
    sessions
        .windows(2)
        .all(|two| (&two[0].application, &two[0].address) == (&two[1].application, &two[1].address))
}

/// The one database and role that it connects to, if it connects to this server alone, does not tell its
/// processes and reports its connections.
fn counted_role(owner: &ConnectionOwner, places: &[ConnectionTarget]) -> Option<(String, String)> {
    if owner.pids.is_some() || owner.counts.is_none() || !owner.connects_only_to(places) {
        return None;
    }
    let mut roles =
        owner.targets.iter().map(|target| Some((target.database.clone()?, target.role.clone()?)));
    let first = roles.next()??;
    roles.all(|role| role.as_ref() == Some(&first)).then_some(first)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
