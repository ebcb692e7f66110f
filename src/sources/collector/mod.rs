//! Reads one collector: its tables' statements, and their rows as metric families.

mod bounded;
mod families;
mod ranked;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{Instant, timeout};

use self::bounded::Shown;
use self::families::Row;
pub(super) use self::families::{Rows, joined};
use self::ranked::ranked;
use self::texts::StatementTexts;
use super::{Failure, explain, text};
use crate::collectors::{Bound, Collector, Column, Rank, Table, Unseen};
use crate::metric::Family;
use crate::postgres::{
    Database, Extension, ExtensionError, Optional, ReducibleStatement, Reductions, major_version,
};
use crate::reading::Reading;
use poolwatch_client::Checkout;

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

/// The number of rows of a bounded table that each database has, however many share the limit.
const FEW: u32 = 5;
/// The most rows of a view that has one for each session, database or setting.
const MAX_ROWS: usize = 20_000;
/// The most rows of a view of which poolwatch itself chooses those with the highest figures:
/// `pg_stat_statements.max` is 5,000 unless somebody raised it.
const MAX_RANKED_ROWS: usize = 200_000;

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

/// One reading of one table.
#[derive(Debug)]
pub(super) enum TableReading {
    /// Its rows.
    Rows(Rows),
    /// The server's version lacks the view, which came with a later one.
    NotYet {
        /// The server's major version.
        version: u32,
        /// The first that has it.
        since: u32,
    },
    /// The database lacks the extension that has the view.
    NoExtension(&'static str),
}

/// One collector in one database, with what is remembered between readings.
#[derive(Debug)]
pub(super) struct CollectorState {
    pub(super) collector: &'static Collector,
    settings: Settings,
    /// Among how many databases the limit is shared.
    share: u32,
    shown: Vec<Shown>,
    reductions: Reductions,
    texts: StatementTexts,
    /// Samples aggregated under `other` since the start.
    pub(super) aggregated: u64,
}

/// The version that decides which statement is asked.
struct Version {
    /// Of the server, or of the extension: 1.8 is 108.
    number: u32,
    /// The extension's schema, quoted.
    schema: String,
}

impl CollectorState {
    pub(super) fn new(collector: &'static Collector, settings: Settings) -> Self {
        Self::sharing(collector, settings, 1)
    }

    /// One of so many databases among which the limit is shared; a few rows are left to each.
    pub(super) fn sharing(collector: &'static Collector, settings: Settings, share: u32) -> Self {
        let shown = collector.tables.iter().map(|_| Shown::default()).collect();
        let (reductions, texts) = (Reductions::default(), StatementTexts::default());
        Self { collector, settings, share, shown, reductions, texts, aggregated: 0 }
    }

    /// The reasons why something cannot be seen over this connection, each with the remedy.
    pub(super) async fn unseen(&self, connection: &mut Checkout) -> Result<Vec<String>, Error> {
        let version = major_version(connection);
        let Some(sql) = Unseen::statement(self.collector.name, version) else {
            return Ok(Vec::new());
        };
        let rows = connection.fetch_all(sqlx::query(sql)).await?;
        Ok(rows.iter().filter_map(|row| text(row, 0).ok().flatten()).collect())
    }

    /// Reads one table over this connection.
    pub(super) async fn read_table(
        &mut self,
        at: usize,
        connection: &mut Checkout,
    ) -> Result<TableReading, Error> {
        let table = &self.collector.tables[at];
        let Some(version) = version(connection, table, &mut self.reductions).await? else {
            return Ok(TableReading::NoExtension(table.extension.unwrap_or_default()));
        };
        let Some(sql) = table.statement(version.number) else {
            return Ok(match table.since() {
                Some(since) => TableReading::NotYet { version: version.number, since },
                None => TableReading::Rows(Rows::none(table)),
            });
        };
        let sql = sql.replace("@extension", &version.schema);
        let columns: Vec<&Column> = table.columns(version.number).collect();
        let rows = self.fetch_reduced(at, connection, sql, columns.len()).await?;
        let rows = self.choose(at, rows, &columns);
        let texts = if self.settings.include_query == Some(true) && table.bound.is_some() {
            let length = self.settings.query_length.unwrap_or(120);
            let (texts, reductions) = (&mut self.texts, &mut self.reductions);
            Some(texts.family(connection, &version.schema, &rows, length, reductions).await?)
        } else {
            None
        };
        Ok(TableReading::Rows(Rows { table, version: version.number, all: rows, texts }))
    }

    /// The rows of a statement. On a server newer than any that was tested, only those figures are
    /// missing that it lacks.
    async fn fetch_reduced(
        &mut self,
        at: usize,
        connection: &mut Checkout,
        sql: String,
        columns: usize,
    ) -> Result<Vec<Row>, Error> {
        let reduced = match self.reductions.find(connection, &sql) {
            Some(reduced) => reduced,
            None => match self.ask(at, connection, sql.clone(), columns).await {
                Err(Error::Failed(error)) => {
                    let gives = format!("{}_*", self.collector.tables[at].prefix);
                    let statement =
                        ReducibleStatement { sql: &sql, optional: Optional::All, gives: &gives };
                    self.reductions.reduce(connection, statement, error).await?
                }
                outcome => return outcome,
            },
        };
        match reduced.sql {
            Some(sql) => self.ask(at, connection, sql, columns).await,
            None => Ok(Vec::new()),
        }
    }

    /// Rows are read one at a time: together they may be many.
    async fn ask(
        &self,
        at: usize,
        connection: &mut Checkout,
        sql: String,
        columns: usize,
    ) -> Result<Vec<Row>, Error> {
        let table = &self.collector.tables[at];
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = match (&table.bound, self.limit(at)) {
            (Some(Bound { rank: Rank::Server { .. }, .. }), Some(limit)) => {
                query.bind(i64::from(limit)).bind(self.shown[at].keys())
            }
            (Some(Bound { rank: Rank::Each(_), .. }), _) => {
                query.bind(&self.settings.exclude_databases).bind(&self.settings.exclude_users)
            }
            _ => query,
        };
        let limit = self.max_rows(at);
        let mut rows = connection.fetch(query);
        let mut read = Vec::new();
        while let Some(row) = rows.try_next().await? {
            if read.len() >= limit {
                return Err(Error::TooManyRows(limit));
            }
            read.push(Row::read(&row, table, columns)?);
        }
        Ok(read)
    }

    fn limit(&self, at: usize) -> Option<u32> {
        let bound = self.collector.tables[at].bound.as_ref()?;
        let limit = self.settings.limit.unwrap_or(bound.limit);
        Some((limit / self.share).max(limit.min(FEW)))
    }

    /// The most rows that are believed: what is kept of each is several times what was sent.
    fn max_rows(&self, at: usize) -> usize {
        match (&self.collector.tables[at].bound, self.limit(at)) {
            // Those of the highest rank, those that are still shown, and those that share a rank.
            (Some(Bound { rank: Rank::Server { .. }, .. }), Some(limit)) => {
                4 * limit as usize + 100
            }
            (Some(Bound { rank: Rank::Each(_), .. }), _) => MAX_RANKED_ROWS,
            _ => MAX_ROWS,
        }
    }

    /// The rows that have series of their own, and one for the others; also those always shown.
    fn choose(&mut self, at: usize, rows: Vec<Row>, columns: &[&Column]) -> Vec<Row> {
        let table = &self.collector.tables[at];
        let rows = match &table.every {
            Some(every) => families::completed(rows, table, every),
            None => rows,
        };
        let (Some(limit), Some(bound)) = (self.limit(at), &table.bound) else { return rows };
        let rows = match bound.rank {
            Rank::Server { .. } => rows,
            // One that is shown may fall half the limit behind.
            Rank::Each(measures) => ranked(rows, columns, measures, 2 * limit as usize),
        };
        let (rows, aggregated) = self.shown[at].choose(rows, limit as usize, columns);
        self.aggregated += aggregated * columns.len() as u64;
        rows
    }
}

/// `None` when the table is an extension's and the database has not got it.
async fn version(
    connection: &mut Checkout,
    table: &Table,
    reductions: &mut Reductions,
) -> Result<Option<Version>, Error> {
    let Some(extension) = table.extension else {
        let number = major_version(connection);
        return Ok(Some(Version { number, schema: String::new() }));
    };
    let found = Extension::find(connection, extension, &table.called(), reductions).await?;
    Ok(found.map(|found| Version { number: found.since(), schema: found.schema }))
}
