//! The leader among several poolwatches of one server: the one whose session holds an advisory lock.
//!
//! The session is used for nothing else but the probe. A leader that cannot tell the server that it is
//! there stops reading ([`LEASE`]) before the server gives up its session ([`ABANDONED`]), so that
//! there are never two.

use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Access;
use poolwatch_client::AcquireError;

/// The key of the lock, poolwatch's own: "poolwatc" as ASCII.
pub const LEADER_KEY: i64 = i64::from_be_bytes(*b"poolwatc");

/// The time for which a leader may read after it asked for the last answer that came.
const LEASE: Duration = Duration::from_secs(6);
/// The time after which the server ends the session of a leader that is silent.
const ABANDONED: Duration = Duration::from_secs(10);
/// The same of its other connections, each of which is used every few seconds, at the least.
const RESTING: Duration = Duration::from_secs(30);
/// The number of intervals between two readings of sessions that they may rest where that is longer:
/// two connections are used by turns.
const RESTING_INTERVALS: u32 = 3;
/// A setting of the server holds milliseconds in 32 bits.
const LONGEST_RESTING: Duration = Duration::from_hours(20 * 24);
/// The time between two attempts to become the leader while there is another.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(5);
/// The time that the session of a vain attempt may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The part that this poolwatch has in the election.
#[derive(Debug, Default)]
pub(super) struct Leadership {
    state: Mutex<State>,
    /// The end of the lease; `None` without a session that holds the lock.
    lease: StdMutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct State {
    /// The session that holds the lock.
    session: Option<PgConnection>,
    /// The last time at which another held it.
    refused: Option<Instant>,
}

impl Leadership {
    /// Gives the leadership up, so that another may have it at once.
    pub(super) async fn release(&self) {
        *self.lease() = None;
        let session = self.state.lock().await.session.take();
        *self.lease() = None;
        if let Some(session) = session {
            let _ = timeout(CLOSE_TIMEOUT, session.close()).await;
        }
    }

    fn lease(&self) -> MutexGuard<'_, Option<Instant>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true while this poolwatch is the leader.
    pub(super) fn is_held(&self) -> bool {
        self.lease().is_some_and(|end| Instant::now() < end)
    }

    /// Renews the lease, or tries to become the leader where there is none. Returns the latency of the
    /// server's answer; `None` while another is the leader.
    pub(super) async fn renew(&self, access: &Access) -> Result<Option<Duration>, AcquireError> {
        let mut state = self.state.lock().await;
        if let Some(latency) = self.confirm(&mut state).await {
            return Ok(Some(latency));
        }
        if state.refused.is_some_and(|at| at.elapsed() < ATTEMPT_INTERVAL) {
            return Ok(None);
        }
        let mut session = access.session().await?;
        let asked = Instant::now();
        let is_leader = lock(&mut session).await.map_err(AcquireError::Connect)?;
        if is_leader {
            *self.lease() = Some(asked + LEASE);
            *state = State { session: Some(session), refused: None };
            Ok(Some(asked.elapsed()))
        } else {
            state.refused = Some(asked);
            let _ = timeout(CLOSE_TIMEOUT, session.close()).await;
            Ok(None)
        }
    }

    /// Asks over the session that holds the lock. One that is broken, or whose lease has ended, is
    /// closed.
    async fn confirm(&self, state: &mut State) -> Option<Duration> {
        if self.is_held()
            && let Some(session) = &mut state.session
        {
            let asked = Instant::now();
            if session.execute(sqlx::raw_sql("SELECT 1")).await.is_ok() {
                *self.lease() = Some(asked + LEASE);
                return Some(asked.elapsed());
            }
        }
        *self.lease() = None;
        state.session = None;
        None
    }
}

/// Returns true if the session holds the lock from now on.
async fn lock(session: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let statement = format!("SELECT pg_try_advisory_lock({LEADER_KEY})");
    let is_leader = session.fetch_one(sqlx::raw_sql(AssertSqlSafe(statement))).await?.try_get(0)?;
    if is_leader {
        session.execute(sqlx::raw_sql(AssertSqlSafe(ending(ABANDONED)))).await?;
    }
    Ok(is_leader)
}

/// Has the server end a session of which it hears nothing for so long. From 14 it does so whatever is
/// between the two; before, where the host at the other end is not to be reached.
fn ending(silent: Duration) -> String {
    format!(
        "SELECT set_config('idle_session_timeout', '{}', false) \
          WHERE current_setting('server_version_num')::int >= 140000; \
         SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; \
         SET tcp_keepalives_count = 3; SET tcp_user_timeout = {}",
        silent.as_millis(),
        ABANDONED.as_millis()
    )
}

/// The time that a connection of a leader may rest where sessions are read so often.
pub(crate) fn resting(interval: Duration) -> Duration {
    RESTING.max(interval.saturating_mul(RESTING_INTERVALS)).min(LONGEST_RESTING)
}

/// The statements that are run on each of the other connections of a leader, which may rest for so
/// long: they are not to outlive it either.
pub(super) fn on_connect(resting: Duration) -> Vec<String> {
    vec![ending(resting)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_stops_before_the_server_gives_its_session_up() {
        assert!(LEASE + Duration::from_secs(2) < ABANDONED);
        assert_eq!(LEADER_KEY, 8_101_816_766_312_838_243);
        assert!(ending(ABANDONED).contains("('idle_session_timeout', '10000', false)"));
    }

    #[test]
    fn a_connection_rests_between_two_readings_however_rare_they_are() {
        assert_eq!(resting(Duration::from_secs(1)), RESTING);
        let interval = Duration::from_mins(1);
        assert!(resting(interval) > 2 * interval);
        assert!(i32::try_from(resting(Duration::MAX).as_millis()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_leadership_that_was_released_is_held_no_more() {
        let leadership = Leadership::default();
        *leadership.lease() = Some(Instant::now() + LEASE);
        assert!(leadership.is_held());
        leadership.release().await;
        assert!(!leadership.is_held());
        *leadership.lease() = Some(Instant::now() + LEASE);
        tokio::time::advance(LEASE).await;
        assert!(!leadership.is_held());
    }
}
