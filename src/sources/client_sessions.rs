//! The sessions of a server's clients one by one, to be compared with the connections that workers
//! say they hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::timeout;

use super::Failure;
use super::collector::Error;
use crate::postgres::{
    APPLICATION_NAME, Database, Optional, ReducibleStatement, Reductions, age, text,
};
use crate::reading::{ClientSession, ClientSessions, Reading};

/// The timeout of one reading.
const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// The most sessions that are compared.
const MOST: usize = 5_000;
/// One more, by which too many are noticed.
const MOST_ROWS: i64 = 5_001;

/// Reads the sessions of one server.
#[derive(Debug)]
pub struct ClientSessionReader {
    database: Arc<Database>,
    reductions: Reductions,
}

impl ClientSessionReader {
    /// Reads the sessions of this database's server.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, reductions: Reductions::default() }
    }

    /// Reads once; nothing where not all sessions can be seen, or there are too many.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let taken_at = Instant::now();
        let rows = timeout(READ_TIMEOUT, self.rows()).await;
        let rows = rows.map_err(|_| Error::Slow(READ_TIMEOUT.as_secs()))??;
        let hints = self.reductions.tell(self.database.name(), "client sessions");
        let sessions = rows.map(|rows| rows.iter().map(session).collect::<Result<Option<_>, _>>());
        let sessions: Option<Vec<_>> = sessions.transpose().map_err(Error::from)?.flatten();
        let sessions = sessions.filter(|sessions| sessions.len() <= MOST);
        let note = match &sessions {
            Some(sessions) => format!("{} sessions", sessions.len()),
            None => "not all sessions can be compared with those that workers hold".to_owned(),
        };
        let client_sessions = sessions.map(|sessions| ClientSessions { taken_at, sessions });
        Ok(Reading {
            client_sessions: client_sessions.map(Arc::new),
            hints,
            note: Some(note),
            ..Reading::default()
        })
    }

    async fn rows(&mut self) -> Result<Option<Vec<PgRow>>, Failure> {
        let mut connection = self.database.acquire().await?;
        let bound =
            |query: sqlx::query::Query<'static, _, _>| query.bind(APPLICATION_NAME).bind(MOST_ROWS);
        let rows = self.reductions.rows(&mut connection, STATEMENT, bound).await;
        Ok(rows.map_err(Error::from)?)
    }
}

/// A session; `None` where the role may not see what it is.
fn session(row: &PgRow) -> Result<Option<ClientSession>, sqlx::Error> {
    let words = |column| Ok::<_, sqlx::Error>(text(row, column)?.unwrap_or_default());
    // It comes into a statement that somebody runs.
    let Some(started) = text(row, "started")?.filter(|started| is_time(started)) else {
        return Ok(None);
    };
    Ok(Some(ClientSession {
        pid: row.try_get("pid")?,
        started,
        age_seconds: age(row, "age")?.unwrap_or_default(),
        database: words("datname")?,
        user: words("usename")?,
        application: words("application_name")?,
        address: words("address")?,
    }))
}

/// True of what the server writes for a time.
fn is_time(text: &str) -> bool {
    text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" :.+-".contains(&byte))
}

/// Without when they began nobody knows which session a process is.
const STATEMENT: ReducibleStatement<'static> = ReducibleStatement {
    sql: SQL,
    optional: Optional::These(&["application_name", "client_addr", "datname", "usename"]),
    gives: "which sessions belong to no worker",
};

/// A role without `pg_monitor` sees neither the kind nor the beginning of others' sessions.
const SQL: &str = "
SELECT pid, datname::text AS datname, usename::text AS usename, application_name,
       coalesce(host(client_addr), 'local') AS address,
       CASE WHEN backend_type IS NOT NULL THEN backend_start::text END AS started,
       extract(epoch FROM clock_timestamp() - backend_start)::float8 AS age
  FROM pg_stat_activity
 WHERE (backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL))
   AND application_name <> $1
 ORDER BY pid LIMIT $2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ends_no_literal_of_a_statement() {
        for time in ["2026-11-28 00:00:01.123456+00", "4714-11-24 00:00:00+00 BC", "infinity"] {
            assert!(is_time(time), "{time}");
        }
        assert!(!is_time("2026'), (1, '2026"));
    }
}
