//! A server newer than any that was tested may lack a column that a statement names. The server says
//! where in the statement it stands; NULL is put in its place, and what is made from it is left out.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr as _};

use super::families::Row;
use super::{Error, Look};
use crate::collectors::Table;
use crate::pool::Checkout;
use crate::postgres::NEWEST;

/// What may stand for a column of any type: the first that the rest of the statement takes.
const NULLS: [&str; 8] = [
    "NULL",
    "NULL::float8",
    "NULL::timestamptz",
    "NULL::interval",
    "NULL::pg_lsn",
    "NULL::bool",
    "NULL::oid",
    "NULL::text",
];

/// How often a statement may be mended: what is missing may stand in it several times.
const MOST: usize = 64;

/// A statement without what a server lacks.
#[derive(Debug)]
pub(super) struct Reduced {
    /// The server's version, as 200001.
    version: u32,
    /// The statement as it was meant.
    meant: String,
    /// As the server takes it; `None` when it lacks a view, or what nothing can stand for.
    sql: Option<String>,
    /// What is missing, in the server's words.
    missing: Vec<String>,
}

impl Look {
    /// The rows of a statement. Of a server newer than any that was tested, what it lacks costs no
    /// more than itself.
    pub(super) async fn ask_what_is_there(
        &mut self,
        at: usize,
        connection: &mut Checkout,
        sql: String,
        columns: usize,
    ) -> Result<Vec<Row>, Error> {
        let version = connection.server_version_num().unwrap_or(0);
        let known = self.reduced[at].take().filter(|known| known.is_of(version, &sql));
        let reduced = match known {
            Some(known) => known,
            None => match self.ask(at, connection, sql.clone(), columns).await {
                Err(Error::Failed(error)) if version / 10_000 > NEWEST => {
                    Reduced::from_failure(connection, version, sql, error).await?
                }
                outcome => return outcome,
            },
        };
        let sql = reduced.sql.clone();
        self.reduced[at] = Some(reduced);
        match sql {
            Some(sql) => self.ask(at, connection, sql, columns).await,
            None => Ok(Vec::new()),
        }
    }

    /// What the server lacks, and what is not shown for it.
    pub(super) fn missing(&self) -> Vec<String> {
        let tables = self.collector.tables.iter().zip(&self.reduced);
        tables.filter_map(|(table, reduced)| Some(reduced.as_ref()?.hint(table))).collect()
    }
}

impl Reduced {
    /// The statement that the server takes instead of one that failed so; the error itself when it
    /// is about something else.
    async fn from_failure(
        connection: &mut Checkout,
        version: u32,
        meant: String,
        error: sqlx::Error,
    ) -> Result<Self, sqlx::Error> {
        let (mut sql, mut error) = (meant.clone(), error);
        let mut missing = Vec::new();
        for _ in 0..MOST {
            let Some(gap) = Gap::from_error(&error) else { return Err(error) };
            if !missing.contains(&gap.message) {
                missing.push(gap.message.clone());
            }
            match gap.fill(connection, &sql).await? {
                Filled::Whole(filled) => {
                    return Ok(Self { version, meant, sql: Some(filled), missing });
                }
                Filled::NextGap(filled, next) => (sql, error) = (filled, next),
                Filled::Never => break,
            }
        }
        Ok(Self { version, meant, sql: None, missing })
    }

    fn is_of(&self, version: u32, meant: &str) -> bool {
        self.version == version && self.meant == meant
    }

    fn hint(&self, table: &Table) -> String {
        let (major, missing) = (self.version / 10_000, self.missing.join(", "));
        let lost = if self.sql.is_some() {
            "what is made from it is left out".to_owned()
        } else {
            let names: Vec<_> = table.columns.iter().map(|column| table.family(column)).collect();
            format!("left out are {}", names.join(", "))
        };
        format!("PostgreSQL {major} is newer than any this was tested with: {missing}; {lost}")
    }
}

/// What became of a statement with a gap.
enum Filled {
    /// The server takes it.
    Whole(String),
    /// The server misses something else.
    NextGap(String, sqlx::Error),
    /// Nothing can stand there.
    Never,
}

/// What a server lacks.
#[derive(Debug)]
struct Gap {
    /// In the server's words.
    message: String,
    kind: Kind,
    /// Where it is named in the statement, as a count of characters.
    position: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Column,
    View,
    Function,
}

impl Gap {
    fn from_error(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        let kind = match error.code() {
            "42703" => Kind::Column,
            "42P01" => Kind::View,
            "42883" => Kind::Function,
            _ => return None,
        };
        let position = match error.position() {
            Some(PgErrorPosition::Original(position)) => position.checked_sub(1),
            _ => None,
        };
        Some(Self { message: error.message().to_owned(), kind, position })
    }

    /// Puts the first NULL there that the server takes.
    async fn fill(&self, connection: &mut Checkout, sql: &str) -> Result<Filled, sqlx::Error> {
        let Some((before, after)) = self.around(sql) else { return Ok(Filled::Never) };
        for null in NULLS {
            let filled = format!("{before}{null}{after}");
            let prepared = connection.prepare(AssertSqlSafe(filled.clone()).into_sql_str()).await;
            let Err(error) = prepared else { return Ok(Filled::Whole(filled)) };
            if error.as_database_error().is_none() {
                return Err(error);
            }
            // A function that is missing now may be missing for this type alone.
            if Self::from_error(&error).is_some_and(|gap| gap.kind == Kind::Column) {
                return Ok(Filled::NextGap(filled, error));
            }
        }
        Ok(Filled::Never)
    }

    /// The statement before and after what is missing; `None` where that is a whole view.
    fn around<'sql>(&self, sql: &'sql str) -> Option<(&'sql str, &'sql str)> {
        let (start, _) = sql.char_indices().nth(self.position?)?;
        let (before, rest) = sql.split_at(start);
        let name = name_length(rest);
        let length = match self.kind {
            Kind::View => None,
            Kind::Column => Some(name),
            Kind::Function => Some(name + call_length(&rest[name..])?),
        };
        length.filter(|length| *length > 0).map(|length| (before, &rest[length..]))
    }
}

/// Of a name at the beginning of a text, with what it is qualified by.
fn name_length(text: &str) -> usize {
    let mut is_quoted = false;
    let is_end = |one: char| {
        is_quoted ^= one == '"';
        !(is_quoted || matches!(one, '"' | '.' | '_') || one.is_alphanumeric())
    };
    text.find(is_end).unwrap_or(text.len())
}

/// Of the arguments of a function at the beginning of a text, their brackets included.
fn call_length(text: &str) -> Option<usize> {
    let (mut depth, mut is_text) = (0_usize, false);
    for (at, one) in text.char_indices() {
        match one {
            '\'' => is_text = !is_text,
            '(' if !is_text => depth += 1,
            ')' if !is_text => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            one if depth == 0 && !one.is_whitespace() => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_where_the_server_says() {
        let around = |kind, sql, missing: &str| {
            let position = str::find(sql, missing);
            let gap = Gap { message: String::new(), kind, position };
            gap.around(sql).map(|(before, after)| format!("{before}…{after}"))
        };
        let cases = [
            (Kind::Column, "SELECT sum(fsyncs) AS x", "fsyncs", Some("SELECT sum(…) AS x")),
            (Kind::Column, "SELECT a.b::int", "a.b", Some("SELECT …::int")),
            (Kind::Column, "SELECT \"a b\".\"c\", d", "\"a b", Some("SELECT …, d")),
            (Kind::Function, "SELECT f(g(1), ')') - 1", "f(", Some("SELECT … - 1")),
            (Kind::Function, "SELECT s.f ()", "s.f", Some("SELECT …")),
            (Kind::Function, "SELECT 1 <-> 2", "<->", None),
            (Kind::View, "SELECT FROM v", "v", None),
        ];
        for (kind, sql, missing, expected) in cases {
            assert_eq!(around(kind, sql, missing).as_deref(), expected, "{sql}");
        }
    }
}
