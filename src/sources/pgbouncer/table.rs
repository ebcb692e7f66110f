//! One view's rows as text, read by the names of their columns.

use sqlx::postgres::PgRow;
use sqlx::{Column, Row as _, ValueRef};

/// The most rows of a view that are shown, and the most groups of clients.
pub(super) const MOST_ROWS: usize = 500;

/// The reason why a view gives no figures.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewProblem {
    /// A column is not there.
    #[error("SHOW {view} of this version has no column {column}")]
    Column {
        /// The view.
        view: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A number is something else.
    #[error("SHOW {view}: {column} is not a number of connections")]
    Number {
        /// The view.
        view: &'static str,
        /// The column.
        column: &'static str,
    },
}

/// A view: its columns' names, and the cells of its rows as text, whatever their type.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ConsoleTable {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

/// One row of a view.
#[derive(Clone, Copy)]
pub(super) struct ConsoleRow<'a> {
    columns: &'a [String],
    cells: &'a [Option<String>],
}

impl ConsoleTable {
    /// Rows that came by the simple protocol, in which every value is text.
    pub(super) fn from_rows<'a>(rows: impl IntoIterator<Item = &'a PgRow>) -> Self {
        let mut table = Self::default();
        for row in rows {
            if table.columns.is_empty() {
                table.columns =
                    row.columns().iter().map(|column| column.name().to_owned()).collect();
            }
            table.rows.push((0..row.len()).map(|index| cell(row, index)).collect());
        }
        table
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = ConsoleRow<'_>> {
        self.rows.iter().map(|cells| ConsoleRow { columns: &self.columns, cells })
    }

    /// The value beside a name, in a view of names and values.
    pub(super) fn value(&self, names: &str, name: &str, values: &str) -> Option<f64> {
        self.row(names, name)?.number(values)
    }

    /// The row of a name.
    pub(super) fn row(&self, names: &str, name: &str) -> Option<ConsoleRow<'_>> {
        self.rows().find(|row| row.text(names) == Some(name))
    }

    /// Returns whether `yes` stands beside a key, in a view of keys and values.
    pub(super) fn is_yes(&self, key: &str) -> Option<bool> {
        Some(self.row("key", key)?.text("value")? == "yes")
    }

    #[cfg(test)]
    pub(super) fn new(columns: &str, rows: &[&str]) -> Self {
        let split = |line: &str| line.split(',').map(|cell| cell.trim().to_owned()).collect();
        let cells = |row: &&str| {
            let cells: Vec<String> = split(row);
            cells.into_iter().map(|cell| (cell != "NULL").then_some(cell)).collect()
        };
        Self { columns: split(columns), rows: rows.iter().map(cells).collect() }
    }
}

/// One cell of a row that came by the simple protocol.
pub(super) fn named(row: &PgRow, column: &str) -> Option<String> {
    let index = row.columns().iter().position(|one| one.name() == column)?;
    cell(row, index)
}

fn cell(row: &PgRow, index: usize) -> Option<String> {
    let value = row.try_get_raw(index).ok()?;
    // A name need not be UTF-8: what is not is replaced.
    (!value.is_null()).then(|| String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into())
}

impl<'a> ConsoleRow<'a> {
    /// A cell; absent when NULL or when this version has no such column.
    pub(super) fn text(&self, column: &str) -> Option<&'a str> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.cells.get(index)?.as_deref()
    }

    pub(super) fn number(&self, column: &str) -> Option<f64> {
        self.text(column)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    pub(super) fn count(&self, column: &str) -> Option<u64> {
        self.text(column)?
            .trim()
            .parse()
            .ok()
            .filter(|count| *count <= u64::from(i32::MAX.unsigned_abs()))
    }

    /// A count that the view must have.
    pub(super) fn needed(
        &self,
        view: &'static str,
        column: &'static str,
    ) -> Result<u64, ViewProblem> {
        match self.text(column) {
            None => Err(ViewProblem::Column { view, column }),
            Some(_) => self.count(column).ok_or(ViewProblem::Number { view, column }),
        }
    }
}
