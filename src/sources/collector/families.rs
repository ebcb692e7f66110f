//! Rows as metric families.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Error;
use crate::collectors::{Bound, Column, Every, Table};
use crate::latency::Histogram;
use crate::metric::{Family, Kind};
use crate::sources::text;

/// The longest name that a row may give to a family: that of a setting, and its unit.
const LONGEST_NAME: usize = 128;
/// The most rows that a server is believed to have.
const MAX_PLACE: u64 = 1 << 40;

/// One row of a table's statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Of a bounded table by what the row is known again; `None` is the sum of all rows.
    pub(super) key: Option<String>,
    /// Its place among all rows; of the sum how many rows there are.
    pub(super) place: u64,
    /// In the order of the table.
    pub(super) labels: Vec<String>,
    /// In the order of the table.
    pub(super) figures: Vec<Option<f64>>,
}

impl Row {
    pub(super) fn read(row: &PgRow, table: &Table, columns: usize) -> Result<Self, Error> {
        let ranked = table.bound.as_ref().is_some_and(Bound::is_ranked);
        let first = if ranked { 2 } else { 0 };
        let labels = first..first + table.labels.len();
        let figures = labels.end..labels.end + columns;
        let (key, place) =
            if ranked { (text(row, 0)?, row.try_get::<i64, _>(1)?) } else { (None, 0) };
        Ok(Self {
            key,
            place: u64::try_from(place).unwrap_or(0).min(MAX_PLACE),
            labels: labels
                .map(|at| Ok(text(row, at)?.unwrap_or_default()))
                .collect::<Result<_, Error>>()?,
            figures: figures.map(|at| row.try_get(at)).collect::<Result<_, _>>()?,
        })
    }
}

/// The rows of a table: a tenth of what they take as families.
#[derive(Debug)]
pub(in crate::sources) struct Rows {
    pub(super) table: &'static Table,
    /// By which the table has its columns.
    pub(super) version: u32,
    pub(super) all: Vec<Row>,
    /// The texts of the statements that they are of.
    pub(super) texts: Option<Family>,
}

impl Rows {
    pub(super) fn none(table: &'static Table) -> Self {
        Self { table, version: 0, all: Vec::new(), texts: None }
    }

    pub(super) fn families(self) -> impl Iterator<Item = Family> {
        joined(&[&self]).into_iter().chain(self.texts)
    }
}

/// The families of one table in several databases of a server.
pub(in crate::sources) fn joined(all: &[&Rows]) -> Vec<Family> {
    let Some(Rows { table, version, .. }) = all.iter().find(|rows| !rows.all.is_empty()) else {
        return Vec::new();
    };
    let columns: Vec<_> = table.columns(*version).collect();
    let rows: Vec<_> = all.iter().flat_map(|rows| &rows.all).collect();
    build(table, &columns, &rows)
}

/// With a row of zeros and no other labels for each value that is always there and has none.
pub(super) fn completed(mut rows: Vec<Row>, table: &Table, every: &Every) -> Vec<Row> {
    let at = table.labels.iter().position(|label| *label == every.label);
    let Some((at, first_row)) = at.zip(rows.first()) else { return rows };
    let zeros = vec![Some(0.0); first_row.figures.len()];
    let zeros = |first: &str, value: &str| {
        let mut labels = vec![String::new(); table.labels.len()];
        first.clone_into(&mut labels[0]);
        value.clone_into(&mut labels[at]);
        Row { labels, figures: zeros.clone(), ..Row::default() }
    };
    let firsts: BTreeSet<&str> = rows.iter().map(|row| row.labels[0].as_str()).collect();
    let there: HashSet<_> = rows.iter().map(|row| (&*row.labels[0], &*row.labels[at])).collect();
    let missing = firsts.iter().flat_map(|first| {
        let values = every.values.iter().filter(|value| !there.contains(&(*first, **value)));
        values.map(|value| zeros(first, value))
    });
    let missing: Vec<_> = missing.collect();
    rows.retain(|row| every.values.contains(&&*row.labels[at]));
    rows.extend(missing);
    rows
}

/// The families of a table. A NULL label is empty, which Prometheus treats as none.
fn build(table: &Table, columns: &[&Column], rows: &[&Row]) -> Vec<Family> {
    if table.named_by_row {
        return rows.iter().filter_map(|row| named(table, row)).collect();
    }
    let family = |(at, column): (usize, &&Column)| {
        let mut family = Family::new(column.kind, table.family(column), column.help);
        match column.kind {
            Kind::Histogram => observe(&mut family, table, column, at, rows),
            Kind::Gauge | Kind::Counter => {
                for row in rows {
                    let figure = row.figures[at];
                    let figure = if column.is_age { not_negative(figure) } else { figure };
                    family.sample(&labels(table, row), figure);
                }
            }
        }
        family
    };
    columns.iter().enumerate().map(family).collect()
}

/// A clock that was set back leaves times in the future.
fn not_negative(age: Option<f64>) -> Option<f64> {
    age.map(|age| age.max(0.0))
}

fn labels<'a>(table: &Table, row: &'a Row) -> Vec<(&'static str, &'a str)> {
    table.labels.iter().zip(&row.labels).map(|(name, value)| (*name, value.as_str())).collect()
}

/// The family that a row names; `None` where the server gives what cannot be a metric's name, which
/// would make Prometheus refuse the whole scrape.
fn named(table: &Table, row: &Row) -> Option<Family> {
    let [name, help] = &row.labels[..] else { return None };
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || name.len() > LONGEST_NAME || !is_plain {
        return None;
    }
    let mut family = Family::gauge(format!("{}_{name}", table.prefix), help);
    family.sample(&[], *row.figures.first()?);
    Some(family)
}

/// Each row is one observation; rows of the same labels are one histogram.
fn observe(family: &mut Family, table: &Table, column: &Column, at: usize, rows: &[&Row]) {
    let mut histograms: Vec<(&Row, Histogram)> = Vec::new();
    // By its labels, for a server may answer with as many as it likes.
    let mut places: HashMap<&[String], usize> = HashMap::new();
    for row in rows {
        let Some(figure) = row.figures[at] else { continue };
        let place = *places.entry(&row.labels).or_insert_with(|| {
            histograms.push((row, Histogram::new(column.bounds)));
            histograms.len() - 1
        });
        histograms[place].1.observe(figure);
    }
    for (row, histogram) in &histograms {
        family.durations(&labels(table, row), histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::{age, gauge};

    const TABLE: Table = Table {
        labels: &["datname", "state", "usename"],
        every: Some(Every { label: "state", values: &["active", "idle"] }),
        ..Table::EMPTY
    };

    fn row(labels: [&str; 3], count: Option<f64>) -> Row {
        let labels = labels.map(str::to_owned).to_vec();
        Row { labels, figures: vec![count], ..Row::default() }
    }

    #[test]
    fn what_is_always_there_is_0_where_there_is_nothing() {
        let rows = vec![
            row(["app", "active", "a"], Some(2.0)),
            row(["app", "active", "b"], Some(1.0)),
            row(["app", "starting", "b"], Some(4.0)),
            row(["empty", "", ""], None),
        ];
        let expected = [
            row(["app", "active", "a"], Some(2.0)),
            row(["app", "active", "b"], Some(1.0)),
            row(["app", "idle", ""], Some(0.0)),
            row(["empty", "active", ""], Some(0.0)),
            row(["empty", "idle", ""], Some(0.0)),
        ];
        let every = TABLE.every.as_ref().unwrap();
        assert_eq!(completed(rows, &TABLE, every), expected);
        assert_eq!(completed(Vec::new(), &TABLE, every), []);
    }

    #[test]
    fn a_server_gives_a_family_no_name_that_would_spoil_the_scrape() {
        let table = Table { prefix: "pg_settings", ..Table::EMPTY };
        let is_named = |name: &str| {
            let labels = vec![name.to_owned(), "Help.".to_owned()];
            named(&table, &Row { labels, figures: vec![Some(1.0)], ..Row::default() }).is_some()
        };
        assert!(is_named("work_mem_bytes") && is_named("1"));
        let long = "a".repeat(LONGEST_NAME + 1);
        for name in ["", "a b", "a\nforged 1\nb", "a{}", "é", "a-b", &long] {
            assert!(!is_named(name), "{name:?}");
        }
    }

    #[test]
    fn an_age_is_never_negative_and_other_figures_may_be() {
        let columns = [age("age", "Age."), gauge("figure", "Figure.")];
        let table: &'static Table = Box::leak(Box::new(Table { prefix: "a", ..Table::EMPTY }));
        let figures = vec![Some(-3.0), Some(-3.0)];
        let row = Row { figures, ..Row::default() };
        let families = build(table, &columns.each_ref(), &[&row]);
        let totals: Vec<_> = families.iter().map(Family::total).collect();
        assert_eq!(totals, [Some(0.0), Some(-3.0)]);
    }
}
