//! What a server answers: texts of whatever encoding, and errors in words that say what to do.

use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Row as _};

/// A text, whatever encoding the database claims; `None` is NULL.
pub(crate) fn text<I>(row: &PgRow, column: I) -> Result<Option<String>, sqlx::Error>
where
    I: ColumnIndex<PgRow>,
{
    let raw = row.try_get_raw(column)?;
    Ok(raw.as_bytes().ok().map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// Texts as [`text`], where none is NULL.
pub(crate) fn texts<I>(row: &PgRow, column: I) -> Result<Vec<String>, sqlx::Error>
where
    I: ColumnIndex<PgRow>,
{
    let raw: Vec<Vec<u8>> = row.try_get_unchecked(column)?;
    Ok(raw.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect())
}

/// What a failed statement means, in words that say what to do.
pub(crate) fn explain(error: &sqlx::Error) -> Option<&'static str> {
    let code = error.as_database_error()?.code()?;
    Some(match &*code {
        "42501" => "the role may not read this; GRANT pg_monitor TO it",
        "53300" => "the server has no connection left",
        "55P03" => "a lock was not had in time; something holds it",
        "57014" => "the statement took too long and was cancelled",
        "57P01" => "the server ended the session",
        "28P01" | "28000" => "the server refuses the role or its password",
        "0A000" => "the server refuses a function or a view of PostgreSQL",
        "22021" | "22P05" => "a text is not in the encoding that the database claims",
        "3D000" => "the database does not exist",
        "42P01" | "42703" | "42883" => "the server lacks a view, column or function",
        _ => return None,
    })
}

/// Whether a text cannot be had in the encoding of the database that was asked. A statement of a
/// database without an encoding may hold any bytes, and the view of all statements then fails as a
/// whole where another database reads it.
pub(crate) fn is_undecodable(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("22021" | "22P05"))
}
