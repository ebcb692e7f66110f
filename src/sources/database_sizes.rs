//! The size of each database of a server on disk.
//!
//! To measure one walks its files: that is done where something was written since, and now and
//! then for the rest. One is measured at a time, so that a slow disk costs one waiting query. Small
//! ones are measured in one turn of slow readings: with a turn for each, all of them would wait for
//! as many rounds of every other collector.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};

use super::collector::Error;
use super::{Failure, text};
use crate::collectors::DATABASE_SIZE;
use crate::metric::Family;
use crate::postgres::{Database, Optional, ReducibleStatement, Reductions};
use crate::reading::{Reading, ServerResources};

/// No size is believed for longer, whatever the counters say.
const MAX_AGE: Duration = Duration::from_hours(1);
/// For so many readings after the last write a database is measured still: vacuum gives back later
/// what was deleted, and that counts as no write.
const READINGS_AFTER_WRITE: u32 = 2;
/// A database that is not measured within this time is measured first in the next reading.
const TOTAL_TIMEOUT: Duration = Duration::from_mins(1);

/// After so long in a turn of slow readings others have theirs.
const TURN: Duration = Duration::from_secs(1);

/// The turn of slow readings, held for at most [`TURN`] and a statement.
struct Turn<'d> {
    database: &'d Database,
    permit: Option<(SemaphorePermit<'d>, Instant)>,
}

impl<'d> Turn<'d> {
    fn new(database: &'d Database) -> Self {
        Self { database, permit: None }
    }

    async fn take(&mut self) {
        self.permit.take_if(|(_, since)| since.elapsed() >= TURN);
        if self.permit.is_none() {
            self.permit = Some((self.database.slow_lane().await, Instant::now()));
        }
    }
}

/// Measures the databases of one server.
#[derive(Debug)]
pub struct DatabaseSizes {
    database: Arc<Database>,
    databases: BTreeMap<i64, MeasuredDatabase>,
    reductions: Reductions,
}

/// One database and its last measurement.
#[derive(Debug, Default, PartialEq)]
struct MeasuredDatabase {
    name: String,
    /// Rows written in it, as the server counts, if it does.
    written: Option<i64>,
    /// Readings in which nothing had been written.
    unchanged: u32,
    /// The time of its last measurement, whether that failed or not.
    tried: Option<Instant>,
    bytes: Option<i64>,
}

/// A database as it is listed: its oid, its name, and the rows written in it.
type ListedDatabase = (i64, String, Option<i64>);

impl DatabaseSizes {
    /// Measures the databases of this one's server.
    pub fn open(database: Arc<Database>) -> Self {
        Self { database, databases: BTreeMap::new(), reductions: Reductions::default() }
    }

    /// Measures those that need it. One that cannot be measured hides no other.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let database = Arc::clone(&self.database);
        let mut turn = Turn::new(&database);
        let (rows, time) = self.ask(&mut turn, LIST, None).await;
        let listed = rows?.iter().map(listed).collect::<Result<_, sqlx::Error>>();
        self.update(listed.map_err(Error::from)?);
        let mut elapsed = time;
        let trouble = self.measure(&mut turn, &mut elapsed).await.err();
        let families = vec![self.family()];
        let hints = self.reductions.tell(self.database.name(), DATABASE_SIZE.name);
        let resources = ServerResources { bytes: self.bytes(), ..ServerResources::default() };
        Ok(Reading {
            families,
            resources,
            hints,
            trouble,
            elapsed: Some(elapsed),
            ..Reading::default()
        })
    }

    /// Measures what is due, and fails with the first that failed, having tried the others: unless
    /// the server is too slow for them.
    async fn measure(
        &mut self,
        turn: &mut Turn<'_>,
        elapsed: &mut Duration,
    ) -> Result<(), Failure> {
        let due = self.due();
        for oid in &due {
            // What was measured before something was written is not shown as if it were now.
            self.databases.entry(*oid).and_modify(|measured| measured.bytes = None);
        }
        let mut result = Ok(());
        for oid in due {
            if *elapsed > TOTAL_TIMEOUT {
                return result.and(Err(Error::Slow(TOTAL_TIMEOUT.as_secs()).into()));
            }
            let (rows, time) = self.ask(turn, MEASURE, Some(oid)).await;
            *elapsed += time;
            let Some(measured) = self.databases.get_mut(&oid) else { continue };
            measured.tried = Some(Instant::now());
            match rows.and_then(|rows| Ok(size(&rows).map_err(Error::from)?)) {
                Ok(bytes) => measured.bytes = bytes,
                Err(error) if has_answered(&error) => result = result.and(Err(error)),
                Err(error) => return result.and(Err(error)),
            }
        }
        result
    }

    /// Asks in the turn of slow readings, and returns the elapsed time without the wait.
    async fn ask(
        &mut self,
        turn: &mut Turn<'_>,
        statement: ReducibleStatement<'static>,
        oid: Option<i64>,
    ) -> (Result<Vec<PgRow>, Failure>, Duration) {
        turn.take().await;
        let database = turn.database;
        let (began, read_timeout) = (Instant::now(), database.read_timeout());
        let asked = timeout(read_timeout, async {
            let mut connection = database.acquire().await?;
            let bind = |query| oid.into_iter().fold(query, sqlx::query::Query::bind);
            let rows = self.reductions.rows(&mut connection, statement, bind).await;
            Ok::<_, Failure>(rows.map_err(Error::from)?.unwrap_or_default())
        });
        let rows = asked.await.unwrap_or_else(|_| Err(Error::Slow(read_timeout.as_secs()).into()));
        (rows, began.elapsed())
    }

    /// Forgets databases that are no more, and takes in what was written.
    fn update(&mut self, listed: Vec<ListedDatabase>) {
        let mut before = std::mem::take(&mut self.databases);
        for (oid, name, written) in listed {
            let measured = match before.remove(&oid) {
                // Nobody knows when it was written to before the first reading.
                None => MeasuredDatabase {
                    unchanged: READINGS_AFTER_WRITE + 1,
                    ..MeasuredDatabase::default()
                },
                // Without a count, it may have been written to.
                Some(measured) if written.is_some() && measured.written == written => {
                    MeasuredDatabase { unchanged: measured.unchanged + 1, ..measured }
                }
                Some(measured) => MeasuredDatabase { unchanged: 0, ..measured },
            };
            self.databases.insert(oid, MeasuredDatabase { name, written, ..measured });
        }
    }

    /// Those to be measured, whose last time is longest ago first.
    fn due(&self) -> Vec<i64> {
        let due = self.databases.iter().filter(|(_, measured)| measured.is_due());
        let mut due: Vec<_> = due.map(|(oid, measured)| (measured.tried, *oid)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, oid)| oid).collect()
    }

    /// Of all databases that were measured.
    fn bytes(&self) -> Option<f64> {
        let measured = self.databases.values().filter_map(|measured| measured.bytes);
        measured.map(|bytes| bytes as f64).reduce(|sum, bytes| sum + bytes)
    }

    fn family(&self) -> Family {
        let table = &DATABASE_SIZE.tables[0];
        let column = &table.columns[0];
        let mut family = Family::gauge(table.family(column), column.help);
        for measured in self.databases.values() {
            family.sample(&[("datname", &measured.name)], measured.bytes.map(|bytes| bytes as f64));
        }
        family
    }
}

impl MeasuredDatabase {
    fn is_due(&self) -> bool {
        let old = self.tried.is_none_or(|at| at.elapsed() >= MAX_AGE);
        old || self.bytes.is_none() || self.unchanged <= READINGS_AFTER_WRITE
    }
}

fn listed(row: &PgRow) -> Result<ListedDatabase, sqlx::Error> {
    Ok((row.try_get(0)?, text(row, 1)?.unwrap_or_default(), row.try_get(2)?))
}

fn size(rows: &[PgRow]) -> Result<Option<i64>, sqlx::Error> {
    rows.first().map_or(Ok(None), |row| row.try_get(0))
}

/// True when the server refused at once, rather than not answering in time.
fn has_answered(error: &Failure) -> bool {
    match error.downcast_ref() {
        Some(Error::Failed(sqlx::Error::Database(error))) => {
            error.code().as_deref() != Some("57014")
        }
        _ => false,
    }
}

const LIST: ReducibleStatement<'static> = ReducibleStatement {
    sql: LIST_SQL,
    optional: Optional::These(&[
        "pg_stat_get_db_tuples_inserted",
        "pg_stat_get_db_tuples_updated",
        "pg_stat_get_db_tuples_deleted",
    ]),
    gives: "pg_database_size_bytes",
};

const LIST_SQL: &str = "
SELECT oid::int8, datname::text,
       pg_stat_get_db_tuples_inserted(oid) + pg_stat_get_db_tuples_updated(oid)
           + pg_stat_get_db_tuples_deleted(oid)
  FROM pg_database
 WHERE has_database_privilege(oid, 'CONNECT')
    OR pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER')";

/// Of a database that is no more NULL.
const MEASURE: ReducibleStatement<'static> = ReducibleStatement {
    sql: "SELECT pg_database_size($1::int8::oid)",
    optional: Optional::These(&[]),
    gives: "pg_database_size_bytes",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Settings;

    fn sizes() -> DatabaseSizes {
        let url = "postgresql://nobody@localhost/nothing".to_owned().into();
        DatabaseSizes::open(Settings { url, ..Settings::default() }.open("primary").unwrap())
    }

    fn measured(sizes: &mut DatabaseSizes) -> Vec<i64> {
        let due = sizes.due();
        for oid in &due {
            let measured = sizes.databases.get_mut(oid).unwrap();
            (measured.tried, measured.bytes) = (Some(Instant::now()), Some(7));
        }
        due
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_written_to_is_measured_again() {
        let mut sizes = sizes();
        let list =
            |written| vec![(1, "busy".to_owned(), Some(written)), (2, "quiet".to_owned(), Some(0))];
        sizes.update(list(10));
        assert_eq!(measured(&mut sizes), [1, 2]);
        for written in 11..20 {
            sizes.update(list(written));
            measured(&mut sizes);
        }
        sizes.update(list(20));
        assert_eq!(measured(&mut sizes), [1]);
        tokio::time::advance(MAX_AGE).await;
        sizes.update(list(21));
        assert_eq!(measured(&mut sizes), [1, 2]);
    }

    #[tokio::test]
    async fn what_was_not_measured_comes_first() {
        let mut sizes = sizes();
        sizes.update(vec![(1, "a".to_owned(), Some(0)), (2, "b".to_owned(), Some(0))]);
        sizes.databases.get_mut(&1).unwrap().tried = Some(Instant::now());
        assert_eq!(sizes.due(), [2, 1]);
    }

    #[tokio::test]
    async fn a_database_that_is_gone_is_forgotten() {
        let mut sizes = sizes();
        sizes.update(vec![(1, "a".to_owned(), Some(0))]);
        sizes.update(vec![(2, "a".to_owned(), Some(0))]);
        assert_eq!(sizes.databases.keys().collect::<Vec<_>>(), [&2]);
    }
}
