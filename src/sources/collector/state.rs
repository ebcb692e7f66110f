//! One collector in one database: its tables' statements, and which of their rows are shown.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Executor};

use super::bounded::Shown;
use super::families::{Row, Rows, completed};
use super::ranked::ranked;
use super::texts::StatementTexts;
use super::{Error, Settings};
use crate::collectors::{Bound, Collector, Column, Rank, Table, Unseen};
use crate::postgres::{Extension, Optional, ReducibleStatement, Reductions, major_version, text};
use poolwatch_client::Checkout;

/// The number of rows of a bounded table that each database has, however many share the limit.
const FEW: u32 = 5;
/// The most rows of a view that has one for each session, database or setting.
const MAX_ROWS: usize = 20_000;
/// The most rows of a view of which poolwatch itself chooses those with the highest figures:
/// `pg_stat_statements.max` is 5,000 unless somebody raised it.
const MAX_RANKED_ROWS: usize = 200_000;

/// One reading of one table.
#[derive(Debug)]
pub(in crate::sources) enum TableReading {
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
pub(in crate::sources) struct CollectorState {
    pub(in crate::sources) collector: &'static Collector,
    settings: Settings,
    /// Among how many databases the limit is shared.
    share: u32,
    shown: Vec<Shown>,
    pub(super) reductions: Reductions,
    texts: StatementTexts,
    /// Samples aggregated under `other` since the start.
    pub(in crate::sources) aggregated: u64,
}

/// The version that decides which statement is asked.
struct Version {
    /// Of the server, or of the extension: 1.8 is 108.
    number: u32,
    /// The extension's schema, quoted.
    schema: String,
}

impl CollectorState {
    pub(in crate::sources) fn new(collector: &'static Collector, settings: Settings) -> Self {
        Self::sharing(collector, settings, 1)
    }

    /// One of so many databases among which the limit is shared; a few rows are left to each.
    pub(in crate::sources) fn sharing(
        collector: &'static Collector,
        settings: Settings,
        share: u32,
    ) -> Self {
        let shown = collector.tables.iter().map(|_| Shown::default()).collect();
        let (reductions, texts) = (Reductions::default(), StatementTexts::default());
        Self { collector, settings, share, shown, reductions, texts, aggregated: 0 }
    }

    /// The reasons why something cannot be seen over this connection, each with the remedy.
    pub(in crate::sources) async fn unseen(
        &self,
        connection: &mut Checkout,
    ) -> Result<Vec<String>, Error> {
        let version = major_version(connection);
        let Some(sql) = Unseen::statement(self.collector.name, version) else {
            return Ok(Vec::new());
        };
        let rows = connection.fetch_all(sqlx::query(sql)).await?;
        Ok(rows.iter().filter_map(|row| text(row, 0).ok().flatten()).collect())
    }

    /// Reads one table over this connection.
    pub(in crate::sources) async fn read_table(
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
            Some(every) => completed(rows, table, every),
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
