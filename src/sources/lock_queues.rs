//! The queues of sessions that wait for locks, and who holds each of them up.
//!
//! Asked only while the sessions' sample has a wait that lasts: the functions that tell who waits
//! for whom stop the server's lock manager for an instant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::timeout;

use super::Failure;
use super::collector::Error;
use crate::postgres::{
    APPLICATION_NAME, Database, OPTIONAL_OF_BLOCKERS, Optional, ReducibleStatement, Reductions,
    SessionsSample, age, blocker, blocker_columns,
};
use crate::reading::{Blocker, LockQueue, Reading};

/// The timeout of one reading.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// The shortest wait that is looked at, in seconds.
const SHORTEST: f64 = 1.0;

/// Reads one server's lock queues.
#[derive(Debug)]
pub struct LockQueues {
    database: Arc<Database>,
    reductions: Reductions,
}

/// A session that waits or is waited for.
#[derive(Clone, Debug, Default)]
struct LockSession {
    /// The process and what it does; a prepared transaction has process 0.
    blocker: Blocker,
    /// The time in seconds for which it has waited for a lock, if it does.
    waited: Option<f64>,
    /// True when others need not wait for what it waits for: `CREATE INDEX CONCURRENTLY` waits
    /// for transactions to end.
    is_patient: bool,
    /// The processes that it waits for.
    blockers: Vec<i32>,
}

impl LockQueues {
    /// Reads the lock queues of this database's server.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, reductions: Reductions::default() }
    }

    /// Reads once; nothing is asked where no session waits.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let sample = timeout(READ_TIMEOUT, self.database.sessions()).await;
        let sample = sample.map_err(|_| Error::Slow(READ_TIMEOUT.as_secs()))??;
        if !has_long_wait(&sample) {
            let note = Some("no session waits for long".to_owned());
            return Ok(Reading { lock_queues: Some(Vec::new()), note, ..Reading::default() });
        }
        let sessions = timeout(READ_TIMEOUT, self.sessions()).await;
        let sessions = sessions.map_err(|_| Error::Slow(READ_TIMEOUT.as_secs()))??;
        let hints = self.reductions.tell(self.database.name(), "lock queues");
        Ok(Reading { lock_queues: sessions.map(|all| queues(&all)), hints, ..Reading::default() })
    }

    async fn sessions(&mut self) -> Result<Option<Vec<LockSession>>, Failure> {
        let mut connection = self.database.acquire().await?;
        let bound = |query: sqlx::query::Query<'static, _, _>| query.bind(APPLICATION_NAME);
        let rows = self.reductions.rows(&mut connection, STATEMENT, bound).await;
        let rows = rows.map_err(Error::from)?;
        let sessions =
            rows.map(|rows| rows.iter().map(LockSession::from_row).collect::<Result<_, _>>());
        Ok(sessions.transpose().map_err(Error::from)?)
    }
}

fn has_long_wait(sample: &SessionsSample) -> bool {
    let mut groups = sample.groups.iter().flat_map(|groups| groups.iter());
    groups.any(|group| {
        let waits = group.wait.as_ref().is_some_and(|(kind, _)| kind == "Lock");
        waits && group.oldest_statement.is_some_and(|oldest| oldest >= SHORTEST)
    })
}

impl LockSession {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            blocker: blocker(row)?,
            waited: age(row, "waited")?,
            is_patient: row.try_get::<Option<bool>, _>("is_patient")?.unwrap_or(false),
            blockers: row.try_get::<Option<Vec<i32>>, _>("blockers")?.unwrap_or_default(),
        })
    }
}

/// The queues by root blocker, the longest first. One that waits behind several is in each.
fn queues(sessions: &[LockSession]) -> Vec<LockQueue> {
    let by_pid: BTreeMap<i32, &LockSession> =
        sessions.iter().map(|session| (session.blocker.pid, session)).collect();
    let mut waiters: BTreeMap<i32, Vec<&LockSession>> = BTreeMap::new();
    let waiting = sessions.iter().filter(|session| session.waited >= Some(SHORTEST));
    for waiter in waiting.filter(|waiter| !waiter.is_patient) {
        for root in roots(waiter.blocker.pid, &by_pid) {
            waiters.entry(root).or_default().push(waiter);
        }
    }
    let queue = |(root, waiters): (i32, Vec<&LockSession>)| {
        let blocker = by_pid.get(&root).map(|session| session.blocker.clone());
        let longest = waiters.iter().filter_map(|waiter| waiter.waited).reduce(f64::max);
        LockQueue {
            blocker: blocker.unwrap_or(Blocker { pid: root, ..Blocker::default() }),
            waiting: waiters.len() as u64,
            longest_wait_seconds: longest.unwrap_or_default(),
            first: first(root, &waiters),
        }
    };
    let mut queues: Vec<_> = waiters.into_iter().map(queue).collect();
    queues.sort_by(|a, b| b.waiting.cmp(&a.waiting).then(a.blocker.pid.cmp(&b.blocker.pid)));
    queues
}

/// The sessions at the ends of the chains that begin with this one, which wait for none.
fn roots(pid: i32, sessions: &BTreeMap<i32, &LockSession>) -> BTreeSet<i32> {
    let (mut roots, mut seen, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![pid]);
    while let Some(pid) = next.pop() {
        if !seen.insert(pid) {
            continue;
        }
        match sessions.get(&pid).filter(|session| session.waited.is_some()) {
            Some(waiter) => next.extend(&waiter.blockers),
            None => _ = roots.insert(pid),
        }
    }
    roots
}

/// The statement of the waiter right behind the root that most others wait behind, if any do.
fn first(root: i32, waiters: &[&LockSession]) -> Option<String> {
    let behind = |first: &LockSession| {
        waiters.iter().filter(|waiter| waiter.blockers.contains(&first.blocker.pid)).count()
    };
    let direct = waiters.iter().filter(|waiter| waiter.blockers.contains(&root));
    let first = direct.max_by_key(|waiter| behind(waiter)).filter(|waiter| behind(waiter) > 0)?;
    Some(first.blocker.statement.clone())
}

/// Without the processes nobody knows who waits for whom.
const STATEMENT: ReducibleStatement<'static> = ReducibleStatement {
    sql: SQL,
    optional: Optional::These(OPTIONAL_OF_BLOCKERS),
    gives: "who holds up the sessions that wait for locks",
};

/// `waitstart` is of version 14.
const SQL: &str = concat!(
    "
WITH waiter AS MATERIALIZED (
     SELECT pid, pg_blocking_pids(pid) AS blockers, query_start,
            wait_event = 'virtualxid' AS is_patient
       FROM pg_stat_activity
      WHERE wait_event_type = 'Lock' AND backend_type = 'client backend'
        AND application_name <> $1
      ORDER BY query_start LIMIT 100),
     began AS MATERIALIZED (
     SELECT pid, min((to_jsonb(lock) ->> 'waitstart')::timestamptz) AS since
       FROM pg_locks AS lock WHERE NOT granted GROUP BY pid)
SELECT ",
    blocker_columns!(),
    ",
       waiter.blockers, waiter.is_patient,
       CASE WHEN waiter.pid IS NOT NULL THEN
            extract(epoch FROM clock_timestamp() - coalesce(began.since, waiter.query_start))::float8
       END AS waited
  FROM pg_stat_activity AS session LEFT JOIN waiter USING (pid) LEFT JOIN began USING (pid)
 WHERE waiter.pid IS NOT NULL
    OR pid = ANY (SELECT unnest(blockers) FROM waiter)"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn session(pid: i32, waited: Option<f64>, blockers: &[i32]) -> LockSession {
        let blocker = Blocker { pid, statement: format!("statement {pid}"), ..Blocker::default() };
        LockSession { blocker, waited, blockers: blockers.to_vec(), ..LockSession::default() }
    }

    #[test]
    fn a_chain_has_one_root_and_its_first_waiter_is_named() {
        let sessions = [
            session(1, None, &[]),
            session(2, Some(9.0), &[1]),
            session(3, Some(8.0), &[2]),
            session(4, Some(7.0), &[2]),
        ];
        let queues = queues(&sessions);
        assert_eq!(queues.len(), 1, "{queues:?}");
        assert_eq!((queues[0].blocker.pid, queues[0].waiting), (1, 3));
        assert!((queues[0].longest_wait_seconds - 9.0).abs() < 1e-9);
        assert_eq!(queues[0].first.as_deref(), Some("statement 2"));
    }

    #[test]
    fn a_prepared_transaction_is_a_root_without_a_session() {
        let queues = queues(&[session(2, Some(9.0), &[0])]);
        assert_eq!((queues[0].blocker.pid, queues[0].first.as_deref()), (0, None));
    }

    #[test]
    fn a_deadlock_a_short_wait_and_one_for_transactions_to_end_are_no_queue() {
        assert_eq!(queues(&[session(1, Some(3.0), &[2]), session(2, Some(3.0), &[1])]), []);
        assert_eq!(queues(&[session(1, None, &[]), session(2, Some(0.4), &[1])]), []);
        let patient = LockSession { is_patient: true, ..session(2, Some(90.0), &[1]) };
        assert_eq!(queues(&[session(1, None, &[]), patient.clone()]), []);
        let behind_it = [session(1, None, &[]), patient, session(3, Some(5.0), &[2])];
        assert_eq!(queues(&behind_it)[0].waiting, 1);
    }
}
