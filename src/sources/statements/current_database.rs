//! The statements of one database that took most time, with their whole texts, to be planned.

use sqlx::{AssertSqlSafe, Executor, Row as _};

use super::Failure;
use super::sample::StatementsExtension;
use crate::postgres::Reductions;
use crate::sources::text;
use poolwatch_client::Checkout;

/// The most statements that are returned.
const LIMIT: i64 = 200;

/// A statement as the server keeps it, with `$1` and so on for its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WholeStatement {
    /// The whole text.
    pub sql: String,
    /// The number of calls since the server began to count.
    pub calls: u64,
    /// The duration of all calls together, in seconds.
    pub seconds: f64,
}

/// Those of the database that the connection is to, the most time first; `None` without the
/// extension.
pub async fn whole_statements(
    connection: &mut Checkout,
) -> Result<Option<Vec<WholeStatement>>, Failure> {
    let mut reductions = Reductions::default();
    let Some(extension) = StatementsExtension::find(connection, &mut reductions).await? else {
        return Ok(None);
    };
    let query = sqlx::query(AssertSqlSafe(extension.current_database())).bind(LIMIT);
    let rows = connection.fetch_all(query).await?;
    let statements = rows.iter().map(|row| {
        Ok::<_, sqlx::Error>(WholeStatement {
            sql: text(row, 0)?.unwrap_or_default(),
            calls: u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0),
            seconds: row.try_get(2)?,
        })
    });
    Ok(Some(statements.collect::<Result<_, _>>()?))
}
