//! Reads one collector of a server: its tables, and their rows as metric families.

mod bounded;
mod families;
mod ranked;
mod state;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout};

pub(super) use self::families::{Rows, joined};
pub(super) use self::state::{CollectorState, TableReading};
pub use self::texts::statement_texts;
use super::{Failure, explain};
use crate::collectors::Collector;
use crate::metric::Family;
use crate::postgres::{Database, ExtensionError};
use crate::reading::Reading;

/// The settings of one collector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// True when it is read.
    pub enabled: Option<bool>,
    /// The time between two readings.
    #[serde(with = "humantime_serde")]
    pub interval: Option<Duration>,
    /// The number of tables, indexes or statements that have series of their own.
    pub limit: Option<u32>,
    /// True when the texts of statements are shown; only for `stat_statements`, like all below.
    pub include_query: Option<bool>,
    /// The number of characters of a text that are shown.
    pub query_length: Option<u32>,
    /// Databases whose statements are left out.
    pub exclude_databases: Vec<String>,
    /// Roles whose statements are left out.
    pub exclude_users: Vec<String>,
}

impl Settings {
    /// True when a setting is given that only statements have.
    pub fn is_of_statements(&self) -> bool {
        self.include_query.is_some()
            || self.query_length.is_some()
            || !self.exclude_databases.is_empty()
            || !self.exclude_users.is_empty()
    }
}

/// Reads one collector from one database.
#[derive(Debug)]
pub struct CollectorReader {
    database: Arc<Database>,
    state: CollectorState,
    /// The reasons why figures cannot be seen, and when they were asked for.
    unseen: Option<(Instant, Vec<String>)>,
}

/// The time between two checks for hidden figures: privileges and settings rarely change.
const UNSEEN_EVERY: Duration = Duration::from_hours(1);

/// The reason why a table was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("no answer within {0} s")]
    Slow(u64),
    /// The table's extension cannot be called.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// The server gave more rows than were asked for, or than any server has.
    #[error("the server's answer has more than {0} rows")]
    TooManyRows(usize),
    /// The statement failed.
    #[error("{}", explain(.0).unwrap_or("the statement failed"))]
    Failed(#[from] sqlx::Error),
}

impl CollectorReader {
    /// A reader of one collector.
    pub fn open(
        database: Arc<Database>,
        collector: &'static Collector,
        settings: Settings,
    ) -> Self {
        let state = CollectorState::new(collector, settings);
        Self { database, state, unseen: None }
    }

    /// Reads every table of the collector. A table that fails hides no other: what could be read
    /// is given, with what could not.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let database = Arc::clone(&self.database);
        let _turn = database.slow_lane().await;
        let began = Instant::now();
        let mut gathered = Gathered::default();
        for at in 0..self.state.collector.tables.len() {
            gathered.take(self.read_table(at).await);
        }
        if gathered.failure.is_none() {
            gathered.hints.extend(self.unseen().await);
        }
        let absent = gathered.absent();
        let Gathered { families, mut hints, failure, .. } = gathered;
        hints.extend(self.state.reductions.tell(database.name(), self.state.collector.name));
        match failure {
            Some(failure) if families.is_empty() => Err(failure),
            trouble => Ok(Reading {
                families,
                hints,
                absent,
                trouble,
                elapsed: Some(began.elapsed()),
                aggregated: self.state.aggregated,
                ..Reading::default()
            }),
        }
    }

    async fn read_table(&mut self, at: usize) -> Result<TableReading, Failure> {
        let read_timeout = self.database.read_timeout();
        timeout(read_timeout, async {
            let mut connection = self.database.acquire().await?;
            Ok(self.state.read_table(at, &mut connection).await?)
        })
        .await
        .map_err(|_| Error::Slow(read_timeout.as_secs()))?
    }
}

impl CollectorReader {
    /// The reasons why figures cannot be seen, from the last time they were asked for. A failure to
    /// ask for them is ignored: the figures came.
    async fn unseen(&mut self) -> Vec<String> {
        let is_current = |at: &Instant| at.elapsed() < UNSEEN_EVERY;
        if self.unseen.as_ref().is_none_or(|(at, _)| !is_current(at)) {
            let asked = timeout(self.database.read_timeout(), self.ask_unseen()).await;
            self.unseen = asked.ok().and_then(Result::ok).map(|reasons| (Instant::now(), reasons));
        }
        self.unseen.as_ref().map(|(_, reasons)| reasons.clone()).unwrap_or_default()
    }

    async fn ask_unseen(&self) -> Result<Vec<String>, Failure> {
        let mut connection = self.database.acquire().await?;
        Ok(self.state.unseen(&mut connection).await?)
    }
}

/// The results of a collector's tables so far.
#[derive(Debug, Default)]
struct Gathered {
    families: Vec<Family>,
    hints: Vec<String>,
    failure: Option<Failure>,
    /// True when at least one table was there.
    is_there: bool,
    /// The server's version, and the first that has a table which this has not.
    lacks: Option<(u32, u32)>,
}

impl Gathered {
    fn take(&mut self, outcome: Result<TableReading, Failure>) {
        match outcome {
            Ok(TableReading::Rows(rows)) => {
                self.is_there = true;
                self.families.extend(rows.families());
            }
            Ok(TableReading::NotYet { version, since }) => self.lacks = Some((version, since)),
            Ok(TableReading::NoExtension(name)) if self.hints.is_empty() => {
                self.hints.push(format!(
                    "the database has no extension {name}: as a superuser, CREATE EXTENSION {name}"
                ));
            }
            Ok(TableReading::NoExtension(_)) => {}
            Err(error) => self.failure = self.failure.take().or(Some(error)),
        }
    }

    /// Says that the server's version has none of these figures, if that is so.
    fn absent(&self) -> Option<String> {
        let (version, since) = self.lacks.filter(|_| !self.is_there)?;
        Some(format!("PostgreSQL {version} has no such figures; {since} and later have"))
    }
}
