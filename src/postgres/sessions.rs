//! The sessions on a server. Several sources sample them, once a second each: a sample that was
//! just taken is shared.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::{APPLICATION_NAME, Database, Optional, ReducibleStatement, Reductions};
use poolwatch_client::AcquireError;

/// The greatest age of a sample that is shared: less than any source waits between two.
const SAMPLE_MAX_AGE: Duration = Duration::from_millis(200);

/// Sessions alike, counted.
#[derive(Clone, Debug, Default)]
pub struct SessionGroup {
    /// True when they are in the database that was asked.
    pub in_current_database: bool,
    /// Their role.
    pub user: String,
    /// Their `application_name`.
    pub application_name: String,
    /// Their state, such as `active`.
    pub state: Option<String>,
    /// `client backend` or `parallel worker`; `None` when the role may not see what they do.
    pub kind: Option<String>,
    /// The wait event while they are active: its type and its name.
    pub wait: Option<(String, String)>,
    /// Their number.
    pub sessions: i64,
    /// Age in seconds of the oldest statement that runs.
    pub oldest_statement: Option<f64>,
    /// Age in seconds of the oldest transaction.
    pub oldest_transaction: Option<f64>,
    /// For how many seconds the longest has been idle in its transaction.
    pub oldest_idle_in_transaction: Option<f64>,
    /// The role that sampled.
    pub role: String,
    /// Connections that an ordinary role can have on the server.
    pub max_connections: Option<i64>,
}

/// The reason why the sessions could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// No connection.
    #[error("no connection")]
    Acquire(#[from] AcquireError),
    /// The statement failed.
    #[error("{}", super::explain(.0).unwrap_or("cannot read pg_stat_activity"))]
    Failed(#[from] sqlx::Error),
}

/// All sessions at one moment.
#[derive(Clone, Debug, Default)]
pub struct SessionsSample {
    /// The sessions by groups; `None` where the server lacks the columns about them.
    pub groups: Option<Arc<[SessionGroup]>>,
    /// True when it reports what they wait for.
    pub has_waits: bool,
    /// The columns and functions that the server lacks.
    pub hints: Vec<String>,
}

/// The last sample, when it was had, and as what it is asked for.
#[derive(Debug, Default)]
pub(super) struct SampleCache {
    last: Option<(Instant, SessionsSample)>,
    reductions: Reductions,
}

impl Database {
    /// The sessions of clients and their parallel workers on the server, poolwatch's included.
    /// A caller that asks while another reads them waits for that sample.
    pub async fn sessions(&self) -> Result<SessionsSample, SessionsError> {
        let mut cache = self.sessions.lock().await;
        let SampleCache { last, reductions } = &mut *cache;
        if let Some((_, sample)) = last.as_ref().filter(|(at, _)| at.elapsed() < SAMPLE_MAX_AGE) {
            return Ok(sample.clone());
        }
        *last = None;
        let mut connection = self.acquire().await?;
        let rows =
            reductions.rows(&mut connection, STATEMENT, |query| query.bind(APPLICATION_NAME));
        let groups = match rows.await? {
            Some(rows) => Some(rows.iter().map(SessionGroup::from_row).collect::<Result<_, _>>()?),
            None => None,
        };
        let lacks = |column| reductions.lacks(SQL, column);
        let has_waits = !lacks("wait_event_type") && !lacks("wait_event");
        let hints = reductions.tell(self.name(), "sessions");
        let sample = SessionsSample { groups, has_waits, hints };
        *last = Some((Instant::now(), sample.clone()));
        Ok(sample)
    }
}

impl SessionGroup {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let text = |column| Ok::<_, sqlx::Error>(super::text(row, column)?.unwrap_or_default());
        let kind = super::text(row, "wait_event_type")?;
        // A clock that was set back leaves times in the future.
        let age = |column| {
            let age: Option<f64> = row.try_get(column)?;
            Ok::<_, sqlx::Error>(age.map(|age| age.max(0.0)))
        };
        Ok(Self {
            in_current_database: row.try_get("in_current_database")?,
            user: text("usename")?,
            application_name: text("application_name")?,
            state: super::text(row, "state")?,
            kind: super::text(row, "backend_type")?,
            wait: kind.zip(super::text(row, "wait_event")?),
            sessions: believed(row.try_get("sessions")?),
            oldest_statement: age("oldest_statement")?,
            oldest_transaction: age("oldest_transaction")?,
            oldest_idle_in_transaction: age("oldest_idle_in_transaction")?,
            role: text("role")?,
            max_connections: row.try_get::<Option<_>, _>("max_connections")?.map(believed),
        })
    }
}

/// A number of sessions. No server has more than `max_connections` may allow, and sums of these
/// cannot overflow.
fn believed(sessions: i64) -> i64 {
    sessions.clamp(0, i64::from(i32::MAX))
}

/// Without a database, a state or a kind nobody knows what a session is.
const STATEMENT: ReducibleStatement<'static> = ReducibleStatement {
    sql: SQL,
    optional: Optional::These(&[
        "wait_event_type",
        "wait_event",
        "query_start",
        "xact_start",
        "state_change",
    ]),
    gives: "sessions, their pools and waits",
};

/// A role without `pg_monitor` sees others' sessions with a NULL `backend_type`; the server's own
/// workers have no database then.
///
/// The view would join two catalogues each second for a few names: they are looked up once they
/// are few. Ages are of the earliest time, rather than one for each session.
const SQL: &str = "
SELECT coalesce(datid = (SELECT oid FROM pg_database WHERE datname = current_database()), false)
           AS in_current_database,
       pg_get_userbyid(usesysid)::text AS usename,
       application_name, state, backend_type, wait_event_type, wait_event, sessions,
       extract(epoch FROM clock_timestamp() - statement_start)::float8 AS oldest_statement,
       extract(epoch FROM clock_timestamp() - transaction_start)::float8 AS oldest_transaction,
       extract(epoch FROM clock_timestamp() - idle_start)::float8 AS oldest_idle_in_transaction,
       current_user::text AS role,
       (current_setting('max_connections', true)::bigint
           - coalesce(current_setting('superuser_reserved_connections', true)::bigint, 0)
           - coalesce(current_setting('reserved_connections', true)::bigint, 0)) AS max_connections
  FROM (SELECT datid, usesysid, application_name, state, backend_type,
               CASE WHEN state = 'active' THEN wait_event_type END AS wait_event_type,
               CASE WHEN state = 'active' THEN wait_event END AS wait_event,
               count(*) AS sessions,
               min(query_start) FILTER (WHERE state = 'active') AS statement_start,
               min(xact_start) AS transaction_start,
               min(state_change) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_start
          FROM pg_stat_get_activity(NULL)
         WHERE backend_type IN ('client backend', 'parallel worker')
            OR (backend_type IS NULL AND datid <> 0 AND application_name <> $1)
         GROUP BY 1, 2, 3, 4, 5, 6, 7) AS alike";
