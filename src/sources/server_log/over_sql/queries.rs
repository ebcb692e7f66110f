//! The statements by which a server is asked for the files of its log.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Executor as _, Row as _};
use tokio::time::timeout;

use super::super::error::Error;
use crate::postgres::text;
use poolwatch_client::Checkout;

/// The time that one answer may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// The bytes that are asked for at once: the server holds them in memory, twice.
pub(super) const STEP: i64 = 1024 * 1024;

/// The newest files of the folder, which holds nothing else but folders.
const LIST: &str = "
SELECT name, size, extract(epoch FROM modification)::float8
  FROM pg_ls_logdir() ORDER BY modification DESC, name DESC LIMIT $1";

/// A file that is gone meanwhile gives NULL.
const READ: &str = "
SELECT pg_read_binary_file(current_setting('log_directory') || '/' || $1, $2, $3, true)";

const MAY_READ: &str = "
SELECT has_function_privilege('pg_read_binary_file(text, bigint, bigint, boolean)', 'EXECUTE')";

/// A file as the server lists it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) size: i64,
    /// When it was last written, in Unix seconds.
    pub(super) modified: f64,
}

/// The files that there are, the newest last.
pub(super) async fn list(connection: &mut Checkout, most: i64) -> Result<Vec<Listed>, Error> {
    let query = sqlx::query(LIST).bind(most);
    let rows = timeout(QUERY_TIMEOUT, (&mut *connection).fetch_all(query)).await;
    let rows = rows.map_err(|_| Error::Slow)?.map_err(Error::refused)?;
    let file = |row: &PgRow| {
        Ok(Listed {
            name: text(row, 0)?.unwrap_or_default(),
            size: row.try_get(1)?,
            modified: row.try_get(2)?,
        })
    };
    let files: Result<Vec<_>, sqlx::Error> = rows.iter().rev().map(file).collect();
    files.map_err(Error::refused)
}

/// So many bytes of a file from a place on, or fewer at its end; `None` where it is gone, or where
/// the server itself may not read it.
pub(super) async fn read(
    connection: &mut Checkout,
    name: &str,
    from: i64,
    length: i64,
) -> Result<Option<Vec<u8>>, Error> {
    let query = sqlx::query(READ).bind(name).bind(from).bind(length);
    let row = timeout(QUERY_TIMEOUT, (&mut *connection).fetch_one(query)).await;
    match row.map_err(|_| Error::Slow)?.map_err(Error::refused) {
        Ok(row) => row.try_get(0).map_err(Error::refused),
        // One SQLSTATE is for both: the role may not call the function, or the server not open it.
        Err(Error::NotGranted) if may_read(connection).await? => Ok(None),
        Err(error) => Err(error),
    }
}

async fn may_read(connection: &mut Checkout) -> Result<bool, Error> {
    let row = timeout(QUERY_TIMEOUT, (&mut *connection).fetch_one(sqlx::query(MAY_READ))).await;
    let row = row.map_err(|_| Error::Slow)?.map_err(Error::refused)?;
    row.try_get(0).map_err(Error::refused)
}
