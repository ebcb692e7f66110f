//! A table of a collector: its statements by version, its labels, and its columns.

use super::{Bound, Column};

/// One statement's worth of families that share labels.
#[derive(Debug)]
pub struct Table {
    /// The beginning of each family's name.
    pub prefix: &'static str,
    /// The extension that has the view. Its version then stands in for the server's, 1.8 as 108,
    /// and `@extension.` in the SQL for its schema.
    pub extension: Option<&'static str>,
    /// The statement by version, newest first.
    pub queries: &'static [Query],
    /// Columns that are labels.
    pub labels: &'static [&'static str],
    /// Columns that are figures.
    pub columns: &'static [Column],
    /// The limit of rows that are shown, where there may be any number.
    pub bound: Option<Bound>,
    /// Rows that are there even when there is nothing to count, so that a sum over them does not
    /// vanish.
    pub every: Option<Every>,
    /// True when the rows name the families: `name` and `help` are then columns of the statement.
    pub named_by_row: bool,
}

/// Each of these values of a label is there for each value of the first label: the statement has
/// at least one row of that, and gives what there is.
#[derive(Debug)]
pub struct Every {
    /// The label. Rows with another value of it, or none, only name the first.
    pub label: &'static str,
    /// Its values.
    pub values: &'static [&'static str],
}

/// A statement and the major version from which it works.
#[derive(Debug)]
pub struct Query {
    /// The first major version that has all it names.
    pub since: u32,
    /// The statement. Each label and column is an alias in it.
    pub sql: &'static str,
}

impl Query {
    /// The newest of these statements that a version takes.
    pub fn newest(queries: &'static [Self], version: u32) -> Option<&'static str> {
        queries.iter().find(|query| query.since <= version).map(|query| query.sql)
    }
}

impl Table {
    /// A table without anything, to be filled.
    pub const EMPTY: Self = Self {
        prefix: "",
        extension: None,
        queries: &[],
        labels: &[],
        columns: &[],
        bound: None,
        every: None,
        named_by_row: false,
    };

    /// The functions of its extension that its statements call.
    pub fn called(&self) -> Vec<&'static str> {
        let calls = self.queries.iter().flat_map(|query| query.sql.split("@extension.").skip(1));
        let name = |rest: &'static str| {
            let other = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            rest.split(other).next().unwrap_or(rest)
        };
        calls.map(name).collect()
    }

    /// The family's whole name.
    pub fn family(&self, column: &Column) -> String {
        format!("{}_{}", self.prefix, column.name)
    }

    /// The columns that a version has.
    pub fn columns(&self, version: u32) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().filter(move |column| column.since <= version)
    }

    /// The first version of the server that has something to ask, where there is one that has not.
    pub fn since(&self) -> Option<u32> {
        self.queries.last().map(|query| query.since).filter(|_| self.extension.is_none())
    }

    /// The statement for a version, its labels as text and its figures as floats; `None` when the
    /// version has no such view. One that the server ranks takes the limit and the keys that are
    /// always shown.
    pub fn statement(&self, version: u32) -> Option<String> {
        let sql = Query::newest(self.queries, version)?;
        let labels = self.labels.iter().map(|label| format!("\"{label}\"::text"));
        let figures = self.columns(version).map(|column| format!("\"{}\"::float8", column.name));
        let selected = labels.chain(figures).collect::<Vec<_>>().join(", ");
        let ranked = self
            .bound
            .as_ref()
            .and_then(|bound| bound.statement(self.labels, self.columns(version), sql, &selected));
        Some(ranked.unwrap_or_else(|| format!("SELECT {selected} FROM ({sql}) AS reading")))
    }
}
