//! The databases of a server beside the one that is connected to: found, and visited in turn over
//! one connection that is closed again.
//!
//! A visit reads all collectors of a database at once. A round takes as many visits as there are
//! databases, two each time, so that a hundred databases cost no more a minute than two; what a visit
//! saw is shown until the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Executor, Row};
use tokio::time::{Instant, timeout};

use super::Failure;
use super::collector::{Error, Look, Seen, Settings};
use crate::collectors::Collector;
use crate::metric::Family;
use crate::pool::SharedPool;
use crate::postgres::Database;
use crate::reading::Reading;

/// How many databases are visited each time: one costs the server 15 ms or so, for a new session
/// knows no catalogue yet.
const VISITS: usize = 2;
/// How long the list of databases may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one visit may take, however little of it was read.
const VISIT: Duration = Duration::from_secs(20);

const SQL: &str = "
SELECT datname::text FROM pg_database
 WHERE datallowconn AND NOT datistemplate AND datname <> current_database()
   AND has_database_privilege(oid, 'CONNECT')
 ORDER BY 1";

/// One collector that is read in every database.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The collector.
    pub collector: &'static Collector,
    /// What the operator changed of it.
    pub settings: Settings,
    /// How often it is read in one database, at most.
    pub interval: Duration,
}

/// Visits the other databases of one server.
#[derive(Debug)]
pub struct Elsewhere {
    database: Arc<Database>,
    wanted: Vec<Wanted>,
    known: BTreeMap<String, Visited>,
}

/// What is known of one database.
#[derive(Debug, Default)]
struct Visited {
    at: Option<Instant>,
    kept: Vec<Kept>,
}

/// What one collector last said there.
#[derive(Debug)]
struct Kept {
    look: Look,
    due: Instant,
    interval: Duration,
    families: Vec<Family>,
}

impl Elsewhere {
    /// Visits the other databases of this one's server.
    pub fn open(database: Arc<Database>, wanted: Vec<Wanted>) -> Self {
        Self { database, wanted, known: BTreeMap::new() }
    }

    /// Visits those whose last visit is longest ago, and says what is known of all.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let listed = timeout(PATIENCE, self.list()).await;
        self.know(listed.map_err(|_| Error::Slow(PATIENCE.as_secs()))??);
        let mut trouble: Option<Failure> = None;
        for name in self.next() {
            let Some(visited) = self.known.get_mut(&name) else { continue };
            visited.at = Some(Instant::now());
            let pool = self.database.elsewhere(&name);
            let outcome = timeout(VISIT, visited.visit(&pool)).await;
            pool.close().await;
            let outcome = outcome.unwrap_or_else(|_| Err(Error::Slow(VISIT.as_secs()).into()));
            if let Err(error) = outcome {
                trouble = trouble.or(Some(format!("database {name}: {}", said(&*error)).into()));
            }
        }
        let kept = || self.known.values().flat_map(|visited| &visited.kept);
        Ok(Reading {
            families: kept().flat_map(|kept| kept.families.iter().cloned()).collect(),
            summed: kept().map(|kept| kept.look.summed).sum(),
            trouble,
            ..Reading::default()
        })
    }

    async fn list(&self) -> Result<Vec<String>, Failure> {
        let mut connection = self.database.acquire().await?;
        let rows = connection.fetch_all(SQL).await.map_err(Error::from)?;
        let names = rows.iter().map(|row| row.try_get(0));
        Ok(names.collect::<Result<_, sqlx::Error>>().map_err(Error::from)?)
    }

    /// Forgets databases that are no more, and expects new ones.
    fn know(&mut self, names: Vec<String>) {
        self.known.retain(|name, _| names.contains(name));
        let share = u32::try_from(names.len()).unwrap_or(u32::MAX).max(1);
        for name in names {
            let wanted = &self.wanted;
            self.known.entry(name).or_insert_with(|| Visited::expected(wanted, share));
        }
    }

    /// The databases whose last visit is longest ago.
    fn next(&self) -> Vec<String> {
        let mut order: Vec<_> = self.known.iter().map(|(name, seen)| (seen.at, name)).collect();
        order.sort_unstable();
        order.into_iter().take(VISITS).map(|(_, name)| name.clone()).collect()
    }
}

impl Visited {
    fn expected(wanted: &[Wanted], share: u32) -> Self {
        let kept = wanted.iter().map(|wanted| Kept {
            look: Look::sharing(wanted.collector, wanted.settings.clone(), share),
            due: Instant::now(),
            interval: wanted.interval,
            families: Vec::new(),
        });
        Self { at: None, kept: kept.collect() }
    }

    /// Reads what is due. A table that fails hides no other.
    async fn visit(&mut self, pool: &SharedPool) -> Result<(), Failure> {
        let mut failure = None;
        for kept in self.kept.iter_mut().filter(|kept| kept.due <= Instant::now()) {
            // What does not come now is not shown as if it had.
            kept.families.clear();
            kept.due = Instant::now() + kept.interval.mul_f64(0.9);
            failure = failure.or(kept.read(pool).await.err());
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Kept {
    async fn read(&mut self, pool: &SharedPool) -> Result<(), Failure> {
        let mut failure: Option<Failure> = None;
        for at in 0..self.look.collector.tables.len() {
            let mut connection = pool.acquire().await?;
            match self.look.read_table(at, &mut connection).await {
                Ok(Seen::Families(families)) => self.families.extend(families),
                Ok(Seen::NoExtension(_)) => {}
                Err(error) => failure = failure.or(Some(error.into())),
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

fn said(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
