//! Sessions that hold something back, as statements about `pg_stat_activity` give them.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::text;
use crate::reading::Blocker;
use crate::statement::Text;

/// Characters of a statement that are shown.
const SHOWN: usize = 200;

/// The columns that may be absent on a server newer than any that was tested.
pub const OPTIONAL_OF_BLOCKERS: &[&str] = &[
    "application_name",
    "backend_type",
    "client_addr",
    "client_hostname",
    "datname",
    "query",
    "state_change",
    "usename",
    "xact_start",
];

/// The columns of `blocker`, of `pg_stat_activity AS session`. Those that may be absent keep their
/// names when NULL stands in their place.
macro_rules! blocker_columns {
    () => {
        "pid, session.usename::text AS usename, session.application_name AS application_name,
       session.datname::text AS datname, session.state, session.backend_type AS backend_type,
       session.query AS query,
       coalesce(session.client_hostname, host(session.client_addr)) AS address,
       extract(epoch FROM clock_timestamp() - session.xact_start)::float8 AS transaction_age,
       extract(epoch FROM clock_timestamp() - session.state_change)::float8 AS state_age"
    };
}
pub(crate) use blocker_columns;

/// A session from a row with its columns, and the ages `transaction_age` and `state_age`.
pub fn blocker(row: &PgRow) -> Result<Blocker, sqlx::Error> {
    let words = |column| Ok::<_, sqlx::Error>(text(row, column)?.unwrap_or_default());
    Ok(Blocker {
        pid: row.try_get("pid")?,
        user: words("usename")?,
        application: words("application_name")?,
        address: words("address")?,
        database: words("datname")?,
        state: words("state")?,
        kind: words("backend_type")?,
        transaction_seconds: age(row, "transaction_age")?,
        state_seconds: age(row, "state_age")?,
        statement: Text::read(&words("query")?, SHOWN).shown,
    })
}

/// An age in seconds; a clock that was set back leaves times in the future.
pub fn age(row: &PgRow, column: &str) -> Result<Option<f64>, sqlx::Error> {
    Ok(row.try_get::<Option<f64>, _>(column)?.map(|age| age.max(0.0)))
}
