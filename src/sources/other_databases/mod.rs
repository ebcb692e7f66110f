//! The databases of a server beside the one that is connected to: found, and visited in turn over
//! one connection that is closed again.
//!
//! A visit reads all collectors of a database at once; what it saw is shown until the next. There are
//! at most two each time, so that a hundred databases cost no more a minute than two, and one of
//! them at most to a database in which nothing moves: that is visited once an hour.

mod visited;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use tokio::time::{Instant, timeout};
use tracing::info;

use self::visited::{DatabaseActivity, VisitedDatabase};
use super::Failure;
use super::collector::{Error, Settings, joined};
use super::text;
use crate::collectors::{Collector, OTHER_DATABASES, Query};
use crate::metric::Family;
use crate::postgres::{
    Database, Optional, ReducibleStatement, Reductions, Texts, database_refusal,
    has_undecodable_text, in_words, major_version,
};
use crate::reading::Reading;

/// The number of databases that are visited each time: one costs the server 15 ms or so, for a new session
/// knows no catalogue yet.
const VISITS: usize = 2;
/// The timeout of the list of databases.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// The SQLSTATE of a session that the server's rules forbid.
const FORBIDDEN: &str = "28000";
/// Reads what was done in each database; without it all are visited in turn.
const COUNTS: Optional<'static> = Optional::These(&[
    "pg_stat_get_db_tuples_inserted",
    "pg_stat_get_db_tuples_updated",
    "pg_stat_get_db_tuples_deleted",
    "pg_stat_get_db_sessions",
    "pg_stat_get_db_active_time",
]);

/// Sessions begun in a database and how long they were active; before 14 what stands for the former.
const SESSIONS: &[Query] = &[
    Query {
        since: 14,
        sql: "pg_stat_get_db_sessions(pg_database.oid), \
              pg_stat_get_db_active_time(pg_database.oid)",
    },
    Query { since: 0, sql: "pg_stat_get_db_xact_commit(pg_database.oid), 0::float8" },
];

/// Each database with what was done in it, and why it is not visited. What was done: rows changed
/// and sessions begun, and how long they were active. What vacuum does alone in a database that
/// nobody uses is in neither.
fn list_sql(version: u32) -> String {
    let sessions = Query::newest(SESSIONS, version).unwrap_or_default();
    format!(
        "SELECT datname::text,
                pg_stat_get_db_tuples_inserted(pg_database.oid)
                    + pg_stat_get_db_tuples_updated(pg_database.oid)
                    + pg_stat_get_db_tuples_deleted(pg_database.oid) + {sessions},
                CASE WHEN datconnlimit = -2
                     THEN 'its DROP DATABASE was interrupted; drop it again'
                     WHEN NOT datallowconn THEN 'it allows no connections'
                     WHEN datconnlimit = 0 AND NOT rolsuper THEN 'its CONNECTION LIMIT is 0'
                     WHEN NOT has_database_privilege(pg_database.oid, 'CONNECT')
                     THEN format('GRANT CONNECT ON DATABASE %I TO %I is missing', datname, rolname)
                 END
           FROM pg_database JOIN pg_roles ON rolname = current_user
          WHERE NOT datistemplate AND datname <> current_database()"
    )
}

/// The databases to visit with what was done in them, and the others with why they are not visited.
type ListedDatabases = (Vec<(String, DatabaseActivity)>, BTreeMap<String, String>);

/// One collector that is read in every database.
#[derive(Clone, Debug)]
pub struct VisitedCollector {
    /// The collector.
    pub collector: &'static Collector,
    /// Its settings.
    pub settings: Settings,
    /// The shortest time between two readings in one database.
    pub interval: Duration,
}

/// Visits the other databases of one server.
#[derive(Debug)]
pub struct OtherDatabases {
    database: Arc<Database>,
    wanted: Vec<VisitedCollector>,
    databases: BTreeMap<String, VisitedDatabase>,
    /// Those that are not visited, with the reason.
    skipped: BTreeMap<String, String>,
    reductions: Reductions,
}

impl OtherDatabases {
    /// Visits the other databases of this one's server.
    pub fn open(database: Arc<Database>, wanted: Vec<VisitedCollector>) -> Self {
        let (databases, skipped) = (BTreeMap::new(), BTreeMap::new());
        Self { database, wanted, databases, skipped, reductions: Reductions::default() }
    }

    /// Visits those whose last visit is longest ago, and returns the figures of all.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let listed = timeout(LIST_TIMEOUT, self.list()).await;
        let (listed, skipped) = listed.map_err(|_| Error::Slow(LIST_TIMEOUT.as_secs()))??;
        self.update(listed);
        let mut trouble: Option<Failure> = None;
        for name in self.next() {
            let Some(visited) = self.databases.get_mut(&name) else { continue };
            visited.arrive();
            let mut outcome = visited.visit(&self.database, &name).await;
            if outcome.as_ref().is_err_and(|error| has_undecodable_text(&**error))
                && visited.texts == Texts::Converted
            {
                visited.texts = Texts::AsStored;
                visited.kept.iter_mut().for_each(|kept| kept.due = Instant::now());
                outcome = visited.visit(&self.database, &name).await;
            }
            let refusal = outcome.as_ref().err().and_then(refusal);
            match (outcome, refusal) {
                (Ok(()), _) => {}
                (Err(error), Some(code)) => visited.refuse(describe(&*error), code == FORBIDDEN),
                (Err(error), None) => {
                    visited.fail();
                    let words = format!("database {name}: {}", describe(&*error));
                    trouble = trouble.or(Some(words.into()));
                }
            }
        }
        self.skip(skipped);
        let mut hints = self.hints();
        hints.extend(self.reductions.tell(self.database.name(), OTHER_DATABASES.name));
        let kept = self.databases.values().flat_map(|visited| &visited.kept);
        Ok(Reading {
            families: self.families(),
            aggregated: kept.map(|kept| kept.state.aggregated).sum(),
            note: self.note(),
            hints,
            trouble,
            ..Reading::default()
        })
    }

    /// The families of all databases, table by table.
    fn families(&self) -> Vec<Family> {
        let tables = self.wanted.iter().enumerate().flat_map(|(collector, wanted)| {
            (0..wanted.collector.tables.len()).map(move |table| (collector, table))
        });
        let families = tables.flat_map(|(collector, table)| {
            let kept = self.databases.values().filter_map(|visited| visited.kept.get(collector));
            joined(&kept.filter_map(|kept| kept.rows[table].as_ref()).collect::<Vec<_>>())
        });
        families.collect()
    }

    /// Tells of each once, in the log; of those that the server refused, too.
    fn skip(&mut self, mut skipped: BTreeMap<String, String>) {
        let refused = self.databases.iter();
        let refused = refused.filter_map(|(name, visited)| Some((name, visited.refused.as_ref()?)));
        skipped.extend(refused.map(|(name, reason)| (name.clone(), reason.clone())));
        let server = self.database.name();
        for (database, reason) in &skipped {
            if self.skipped.get(database) != Some(reason) {
                info!(server, database, reason, "the database is not visited");
            }
        }
        self.skipped = skipped;
    }

    fn hints(&self) -> Vec<String> {
        let of_each = self.databases.iter().flat_map(|(name, visited)| {
            let unseen = visited.kept.iter().flat_map(|kept| &kept.unseen);
            unseen.map(move |reason| format!("database {name}: {reason}"))
        });
        of_each.collect()
    }

    fn note(&self) -> Option<String> {
        let each = self.skipped.iter().map(|(name, reason)| format!("{name}: {reason}"));
        let all: Vec<_> = each.collect();
        (!all.is_empty()).then(|| format!("not visited: {}", all.join("; ")))
    }

    async fn list(&mut self) -> Result<ListedDatabases, Failure> {
        let mut connection = self.database.acquire().await?;
        let sql = list_sql(major_version(&connection));
        let statement = ReducibleStatement {
            sql: &sql,
            optional: COUNTS,
            gives: "what is in the other databases",
        };
        let rows = self.reductions.rows(&mut connection, statement, |query| query).await;
        let rows = rows.map_err(Error::from)?.unwrap_or_default();
        // A name that is no text cannot be asked for.
        let named = rows.iter().filter(|row| row.try_get::<&str, _>(0).is_ok());
        let (mut listed, mut skipped) = ListedDatabases::default();
        for row in named {
            let name: String = row.try_get(0).map_err(Error::from)?;
            if let Some(reason) = text(row, 3).map_err(Error::from)? {
                skipped.insert(name, reason);
                continue;
            }
            let counted = row.try_get(1).map_err(Error::from)?;
            let active = row.try_get(2).map_err(Error::from)?;
            listed.push((name, DatabaseActivity { counted, active }));
        }
        Ok((listed, skipped))
    }

    /// Forgets databases that are no more, expects new ones, and sees which moved.
    fn update(&mut self, listed: Vec<(String, DatabaseActivity)>) {
        let share = u32::try_from(listed.len()).unwrap_or(u32::MAX).max(1);
        let mut before = std::mem::take(&mut self.databases);
        for (name, done) in listed {
            let visited = before.remove(&name);
            let mut visited =
                visited.unwrap_or_else(|| VisitedDatabase::expected(&self.wanted, share));
            visited.observe(done);
            self.databases.insert(name, visited);
        }
    }

    /// The databases whose last visit is longest ago, of the quiet ones one.
    fn next(&self) -> Vec<String> {
        let due = self.databases.iter().filter(|(_, visited)| visited.is_due());
        let mut order: Vec<_> =
            due.map(|(name, visited)| (visited.at, name, visited.moved)).collect();
        order.sort_unstable();
        let mut quiet = 0;
        order.retain(|(_, _, moved)| {
            quiet += u32::from(!moved);
            *moved || quiet <= 1
        });
        order.into_iter().take(VISITS).map(|(_, name, _)| name.clone()).collect()
    }
}

/// The SQLSTATE by which the server let nobody in.
fn refusal(error: &Failure) -> Option<String> {
    error.downcast_ref().and_then(database_refusal)
}

fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", in_words(cause)),
        None => in_words(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Settings;

    fn source() -> OtherDatabases {
        let url = "postgresql://nobody@localhost/nothing".to_owned().into();
        let database = Settings { url, ..Settings::default() }.open("primary").unwrap();
        OtherDatabases::open(database, Vec::new())
    }

    /// A minute later: what is visited when so many rows were changed by others in each database.
    async fn visited(
        source: &mut OtherDatabases,
        visits: &mut Vec<String>,
        changed: &[(&str, i64)],
    ) -> Vec<String> {
        tokio::time::advance(Duration::from_mins(1)).await;
        let listed = changed.iter().map(|(name, changed)| {
            let visits = visits.iter().filter(|visited| visited == name).map(|_| 1).sum::<i64>();
            let done =
                DatabaseActivity { counted: Some(changed + visits), active: Some(visits as f64) };
            ((*name).to_owned(), done)
        });
        let listed = listed.collect();
        source.update(listed);
        let names = source.next();
        for name in &names {
            source.databases.get_mut(name).unwrap().arrive();
        }
        visits.extend(names.clone());
        names
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_in_which_nothing_moves_is_visited_once_an_hour() {
        let mut source = source();
        let mut visits = Vec::new();
        for minute in 1..=120 {
            visited(&mut source, &mut visits, &[("busy", minute), ("quiet", 0)]).await;
        }
        let count = |wanted: &str| visits.iter().filter(|name| *name == wanted).count();
        assert_eq!((count("busy"), count("quiet")), (120, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_databases_keep_no_busy_one_waiting() {
        let mut source = source();
        let all = [("a", 0), ("b", 0), ("c", 0), ("x", 1), ("y", 1)];
        let mut visits = Vec::new();
        for _ in 0..4 {
            visited(&mut source, &mut visits, &all).await;
        }
        assert_eq!(visits, ["a", "x", "b", "y", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_whose_visit_failed_is_visited_at_the_next_reading() {
        let mut source = source();
        let mut visits = Vec::new();
        let all = [("a", 0), ("b", 0)];
        assert_eq!(visited(&mut source, &mut visits, &all).await, ["a"]);
        source.databases.get_mut("a").unwrap().fail();
        assert_eq!(visited(&mut source, &mut visits, &all).await, ["b", "a"]);
        assert!(visited(&mut source, &mut visits, &all).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_the_server_refuses_is_asked_for_once_an_hour() {
        let mut source = source();
        let mut visits = Vec::new();
        assert_eq!(visited(&mut source, &mut visits, &[("a", 0)]).await, ["a"]);
        source.databases.get_mut("a").unwrap().refuse("no entry".to_owned(), true);
        for minute in 1..50 {
            assert!(visited(&mut source, &mut visits, &[("a", minute)]).await.is_empty());
        }
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(visited(&mut source, &mut visits, &[("a", 60)]).await, ["a"]);
        source.databases.get_mut("a").unwrap().refuse("it is gone".to_owned(), false);
        source.skip(BTreeMap::new());
        assert_eq!(source.note().unwrap(), "not visited: a: it is gone");
        assert_eq!(visited(&mut source, &mut visits, &[("a", 61)]).await, ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_reads_moves_a_database_too() {
        let mut source = source();
        let mut visits = Vec::new();
        assert_eq!(visited(&mut source, &mut visits, &[("read", 0)]).await, ["read"]);
        assert!(visited(&mut source, &mut visits, &[("read", 0)]).await.is_empty());
        let done = DatabaseActivity { counted: Some(1), active: Some(2.0) };
        source.update(vec![("read".to_owned(), done)]);
        assert_eq!(source.next(), ["read"]);
    }
}
