//! Who is the leader of a server for which one is elected.

use sqlx::Row;
use tokio::time::timeout;

use super::Line;
use crate::commands::rating::Rating;
use crate::postgres::{Database, LEADER_KEY};
use crate::sampler::chain;
use crate::sources::Failure;

/// The line about the leader; none where the server gives no session, which the probe tells.
pub(super) async fn inspect(database: &Database) -> Option<Line> {
    let found = timeout(database.read_timeout(), query(database)).await.ok()?;
    let (rating, message) = match found {
        Ok(Some(leader)) => (Rating::Good, format!("the leader is {leader}")),
        Ok(None) => {
            let message = "nobody leads now: the first daemon that is started will";
            (Rating::Good, message.to_owned())
        }
        Err(error) => (Rating::Bad, chain(&*error)),
    };
    Some(Line::new(format!("{}/leader", database.name()), rating, message))
}

/// The session that holds the lock.
async fn query(database: &Database) -> Result<Option<String>, Failure> {
    let mut connection = database.acquire().await?;
    let row = sqlx::query(SQL).bind(LEADER_KEY).fetch_optional(&mut connection).await?;
    let Some(row) = row else { return Ok(None) };
    let (pid, host): (i32, Option<String>) = (row.try_get("pid")?, row.try_get("host")?);
    let place = host.map(|host| format!(" from {host}")).unwrap_or_default();
    Ok(Some(format!("the poolwatch of session {pid}{place}")))
}

const SQL: &str = "
SELECT locks.pid, host(sessions.client_addr) AS host
  FROM pg_locks AS locks
  LEFT JOIN pg_stat_get_activity(locks.pid) AS sessions ON true
 WHERE locks.locktype = 'advisory' AND locks.granted AND locks.objsubid = 1
   AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND locks.classid::bigint = $1 >> 32 AND locks.objid::bigint = $1 & 4294967295";
