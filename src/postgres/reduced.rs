//! Statements on a server newer than any that was tested, which may lack a column, a function or a
//! view that one names. The server says where in the statement it stands; NULL is put in its place,
//! and what is made from it is absent.

use std::collections::{BTreeSet, HashMap};

use sqlx::postgres::{PgArguments, PgDatabaseError, PgErrorPosition, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor as _, Postgres, SqlSafeStr as _};
use tracing::warn;

use super::NEWEST;
use poolwatch_client::Checkout;

/// The replacements for a column of any type: the first that the rest of the statement takes.
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

/// The number of times that a statement may be reduced: what is missing may stand in it several
/// times.
const MAX_REDUCTIONS: usize = 64;

/// A statement with what is lost where it cannot be asked.
#[derive(Clone, Copy, Debug)]
pub struct ReducibleStatement<'s> {
    /// The statement itself.
    pub sql: &'s str,
    /// The names without which its rows are still true.
    pub optional: Optional<'s>,
    /// The figures that are read from it, for the hint that they are left out.
    pub gives: &'s str,
}

/// The columns and functions that may be absent of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Optional<'s> {
    /// Whatever it names.
    All,
    /// These alone.
    These(&'s [&'s str]),
}

/// The statements of one source that a server does not take as they are.
#[derive(Debug, Default)]
pub struct Reductions {
    /// The server's version, as 200001.
    version: u32,
    by_statement: HashMap<String, Reduced>,
    /// The hints that were logged.
    logged: BTreeSet<String>,
}

/// A statement without what the server lacks.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// As the server takes it; `None` when it lacks a view, what is not optional, or what
    /// nothing can stand for.
    pub sql: Option<String>,
    hint: String,
    names: Vec<String>,
}

impl Reductions {
    /// The rows of a statement; `None` where the server, newer than any that was tested, lacks what
    /// it cannot be asked without.
    pub async fn rows<'q>(
        &mut self,
        connection: &mut Checkout,
        statement: ReducibleStatement<'_>,
        bind: impl Fn(Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Option<Vec<PgRow>>, sqlx::Error> {
        let reduced = match self.find(connection, statement.sql) {
            Some(reduced) => reduced,
            None => match fetch(connection, statement.sql, &bind).await {
                Err(error) => self.reduce(connection, statement, error).await?,
                rows => return rows.map(Some),
            },
        };
        match reduced.sql {
            Some(sql) => fetch(connection, &sql, &bind).await.map(Some),
            None => Ok(None),
        }
    }

    /// The statement as it was reduced for the server of this connection, if it was.
    pub fn find(&mut self, connection: &Checkout, sql: &str) -> Option<Reduced> {
        let version = connection.server_version_num().unwrap_or(0);
        if self.version != version {
            self.version = version;
            self.by_statement.clear();
        }
        self.by_statement.get(sql).cloned()
    }

    /// Reduces a statement that failed so. The error itself, when it is about something else or the
    /// server is one of those that were tested.
    pub async fn reduce(
        &mut self,
        connection: &mut Checkout,
        statement: ReducibleStatement<'_>,
        error: sqlx::Error,
    ) -> Result<Reduced, sqlx::Error> {
        let version = connection.server_version_num().unwrap_or(0);
        if version / 10_000 <= NEWEST {
            return Err(error);
        }
        let (sql, gaps) = reduce(connection, statement, error).await?;
        let lost = match sql {
            Some(_) => "what is made from it is left out".to_owned(),
            None => format!("left out: {}", statement.gives),
        };
        let missing: BTreeSet<_> = gaps.iter().map(|gap| gap.message.as_str()).collect();
        let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
        let major = version / 10_000;
        let hint =
            format!("PostgreSQL {major} is newer than any this was tested with: {missing}; {lost}");
        let names = gaps.into_iter().filter_map(|gap| gap.name).collect();
        let reduced = Reduced { sql, hint, names };
        self.by_statement.insert(statement.sql.to_owned(), reduced.clone());
        Ok(reduced)
    }

    /// True when a statement was reduced by this column or function.
    pub fn lacks(&self, sql: &str, name: &str) -> bool {
        let reduced = self.by_statement.get(sql);
        reduced.is_some_and(|reduced| reduced.names.iter().any(|one| one == name))
    }

    /// The hints about what the server lacks and what is not shown for it.
    pub fn hints(&self) -> Vec<String> {
        let hints: BTreeSet<_> = self.by_statement.values().map(|reduced| &reduced.hint).collect();
        hints.into_iter().cloned().collect()
    }

    /// The same; each is logged once.
    pub fn tell(&mut self, database: &str, source: &str) -> Vec<String> {
        let hints = self.hints();
        for hint in &hints {
            if self.logged.insert(hint.clone()) {
                warn!(database, source, "{hint}");
            }
        }
        hints
    }
}

async fn fetch<'q>(
    connection: &mut Checkout,
    sql: &str,
    bind: impl Fn(Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    connection.fetch_all(bind(sqlx::query(AssertSqlSafe(sql.to_owned())))).await
}

/// The statement that the server takes instead of one that failed so, and what it lacks.
async fn reduce(
    connection: &mut Checkout,
    statement: ReducibleStatement<'_>,
    mut error: sqlx::Error,
) -> Result<(Option<String>, Vec<Gap>), sqlx::Error> {
    let (mut sql, mut gaps) = (statement.sql.to_owned(), Vec::new());
    for _ in 0..MAX_REDUCTIONS {
        let Some(gap) = Gap::from_error(&error, &sql) else { return Err(error) };
        let filled = if statement.optional.has(gap.name.as_deref()) {
            gap.fill(connection, &sql).await?
        } else {
            Filled::Never
        };
        gaps.push(gap);
        match filled {
            Filled::Whole(filled) => return Ok((Some(filled), gaps)),
            Filled::NextGap(filled, next) => (sql, error) = (filled, next),
            Filled::Never => break,
        }
    }
    Ok((None, gaps))
}

impl Optional<'_> {
    fn has(self, name: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => name.is_some_and(|name| names.contains(&name)),
        }
    }
}

/// The outcome of a statement with a gap.
enum Filled {
    /// The server takes it.
    Whole(String),
    /// The server misses something else.
    NextGap(String, sqlx::Error),
    /// Nothing can stand there.
    Never,
}

/// A view, column or function that a server lacks.
#[derive(Debug)]
struct Gap {
    /// In the server's words.
    message: String,
    kind: Kind,
    /// The position of its name in the statement, in characters.
    position: Option<usize>,
    /// The name of the column or function, without what it is qualified by.
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Column,
    View,
    Function,
}

impl Gap {
    fn from_error(error: &sqlx::Error, sql: &str) -> Option<Self> {
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
        let gap = Self { message: error.message().to_owned(), kind, position, name: None };
        let name = gap.around(sql).map(|(before, _)| {
            let rest = &sql[before.len()..];
            let qualified = &rest[..name_length(rest)];
            qualified.rsplit('.').next().unwrap_or(qualified).trim_matches('"').to_owned()
        });
        Some(Self { name, ..gap })
    }

    /// Puts the first NULL there that the server takes.
    async fn fill(&self, connection: &mut Checkout, sql: &str) -> Result<Filled, sqlx::Error> {
        let Some((before, after)) = self.around(sql) else { return Ok(Filled::Never) };
        for null in NULLS {
            let filled = format!("{before}{null}{after}");
            // Under another text than it is asked by, for a type of its parameters is guessed.
            let tried = AssertSqlSafe(format!("{filled}\n")).into_sql_str();
            let prepared = connection.prepare(tried).await;
            let Err(error) = prepared else { return Ok(Filled::Whole(filled)) };
            if error.as_database_error().is_none() {
                return Err(error);
            }
            // A function that is missing now may be missing for this type alone.
            if Self::from_error(&error, &filled).is_some_and(|gap| gap.kind == Kind::Column) {
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
            let gap = Gap { message: String::new(), kind, position, name: None };
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
