//! The answers of a server: texts of any encoding, and errors in words that say what to do.

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgRow};
use sqlx::{ColumnIndex, Row as _};

use poolwatch_client::AcquireError;

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

/// Explains a failed statement in words that say what to do.
pub(crate) fn explain(error: &sqlx::Error) -> Option<&'static str> {
    let code = error.as_database_error()?.code()?;
    Some(match &*code {
        "42501" => remedy(error.as_database_error()?.message()),
        "53300" => "the server has no connection left",
        "55P03" => "a lock was not had in time; something holds it",
        "57014" => "the statement ran for too long and was cancelled",
        "57P01" => "the server ended the session",
        "28P01" | "28000" => "the server refuses the role or its password",
        "0A000" => "the server refuses a function or a view of PostgreSQL",
        "22021" | "22P05" => "a text is not in the encoding that the database claims",
        "3D000" => "the database does not exist",
        "42P01" | "42703" | "42883" => "the server lacks a view, column or function",
        _ => return None,
    })
}

/// The remedy for a missing privilege, by what the server says is denied.
fn remedy(message: &str) -> &'static str {
    if message.starts_with("permission denied for schema ") {
        "the role may not use a schema; GRANT USAGE ON SCHEMA … TO it"
    } else {
        "the role may not read this; GRANT pg_monitor TO it"
    }
}

/// One error of a chain in words. The driver adds to what a server says a line of the server's own
/// source, and leaves out its detail and its hint.
pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Database(error)) => {
            format!("the server says: {}", server_message(&**error))
        }
        _ => error.to_string(),
    }
}

fn server_message(error: &dyn DatabaseError) -> String {
    let server = error.try_downcast_ref::<PgDatabaseError>();
    let detail = server.and_then(PgDatabaseError::detail).map(|text| format!("; detail: {text}"));
    let hint = server.and_then(PgDatabaseError::hint).map(|text| format!("; hint: {text}"));
    format!("{}{}{}", error.message(), detail.unwrap_or_default(), hint.unwrap_or_default())
}

/// The causes of an error, each in words; what a server says has no further cause.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut found = Vec::new();
    let mut error = error;
    while let Some(cause) = error.source().filter(|_| !is_servers(error)) {
        found.push(in_words(cause));
        error = cause;
    }
    found
}

fn is_servers(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(sqlx::Error::Database(_)))
}

/// True when a text cannot be had in the encoding of the database that was asked. A statement of a
/// database without an encoding may hold any bytes, and the view of all statements then fails as a
/// whole where another database reads it.
pub(crate) fn is_undecodable(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match error.code().as_deref() {
        Some("22021" | "22P05") => true,
        // Between some encodings there is no conversion at all, which counts as a missing function.
        Some("42883") => {
            let server = error.try_downcast_ref::<PgDatabaseError>();
            server.and_then(PgDatabaseError::routine) == Some("pg_do_encoding_conversion")
        }
        _ => false,
    }
}

/// The SQLSTATE by which the server refuses sessions in a database: `pg_hba.conf` forbids it (28000),
/// there is none of the name, or it takes no connections.
pub(crate) fn database_refusal(error: &AcquireError) -> Option<String> {
    let AcquireError::Connect(sqlx::Error::Database(error)) = error else { return None };
    let code = error.code()?;
    matches!(&*code, "28000" | "3D000" | "55000").then(|| code.into_owned())
}

/// As [`is_undecodable`], of an error or any of its causes.
pub(crate) fn has_undecodable_text(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(is_undecodable)
        || error.source().is_some_and(has_undecodable_text)
}
