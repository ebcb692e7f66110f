//! Reads one collector: its tables' statements, and their rows as metric families.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::timeout;

use super::{Failure, explain};
use crate::collectors::{Collector, Column, Table};
use crate::metric::Family;
use crate::pool::Checkout;
use crate::postgres::Database;
use crate::reading::Reading;

/// Reads one collector from one database.
#[derive(Debug)]
pub struct Reader {
    database: Arc<Database>,
    collector: &'static Collector,
}

/// Why a table was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer in time.
    #[error("no answer within {0} s")]
    Slow(u64),
    /// The statement failed.
    #[error("{}", explain(.0).unwrap_or("the statement failed"))]
    Failed(#[from] sqlx::Error),
}

impl Reader {
    /// A reader of one collector.
    pub fn open(database: Arc<Database>, collector: &'static Collector) -> Self {
        Self { database, collector }
    }

    /// Reads every table of the collector. A table that fails hides no other: what could be read
    /// is given, with what could not.
    pub async fn read(&mut self) -> Result<Reading, Failure> {
        let _turn = self.database.slow_lane().await;
        let began = tokio::time::Instant::now();
        let mut reading = Reading::default();
        let mut failure = None;
        for table in self.collector.tables {
            match self.read_table(table).await {
                Ok(families) => reading.families.extend(families),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(failure) if reading.families.is_empty() => Err(failure),
            partly => Ok(Reading { trouble: partly, took: Some(began.elapsed()), ..reading }),
        }
    }

    async fn read_table(&self, table: &'static Table) -> Result<Vec<Family>, Failure> {
        let patience = self.database.patience();
        timeout(patience, async {
            let mut connection = self.database.acquire().await?;
            let major = connection.server_version_num().unwrap_or(0) / 10_000;
            let rows = rows(&mut connection, table, major).await?;
            Ok(parse(table, major, &rows)?)
        })
        .await
        .map_err(|_| Error::Slow(patience.as_secs()))?
    }
}

async fn rows(connection: &mut Checkout, table: &Table, major: u32) -> Result<Vec<PgRow>, Error> {
    match table.statement(major) {
        Some(sql) => Ok(connection.fetch_all(sqlx::query(AssertSqlSafe(sql))).await?),
        None => Ok(Vec::new()),
    }
}

fn parse(table: &Table, major: u32, rows: &[PgRow]) -> Result<Vec<Family>, Error> {
    let columns: Vec<&Column> = table.columns(major).collect();
    let mut families: Vec<Family> = columns
        .iter()
        .map(|column| Family::new(column.kind, table.family(column), column.help))
        .collect();
    for row in rows {
        let values =
            (0..table.labels.len()).map(|at| text(row, at)).collect::<Result<Vec<_>, _>>()?;
        let labels: Vec<(&str, &str)> =
            table.labels.iter().zip(&values).map(|(name, value)| (*name, value.as_str())).collect();
        for (at, family) in families.iter_mut().enumerate() {
            family.sample(&labels, row.try_get::<Option<f64>, _>(table.labels.len() + at)?);
        }
    }
    Ok(families)
}

/// A label's text, whatever encoding the database claims; NULL is an empty label, which Prometheus
/// treats as none.
fn text(row: &PgRow, at: usize) -> Result<String, Error> {
    let raw = row.try_get_raw(at)?;
    Ok(match raw.as_bytes() {
        Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Err(_) => String::new(),
    })
}
