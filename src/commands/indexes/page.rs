//! The report on a database's indexes, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::plans::{Planned, Plans, Way};
use crate::commands::rating::Rating;
use crate::indexes::{Comparison, ExpectedIndex, PresentIndex, State, identifier};

/// An aligned table of what is expected, and what else was noticed.
pub(super) fn text(comparison: &Comparison, plans: &Plans, terminal: bool) -> String {
    let mut page = table(&comparison.expected, terminal);
    let lines: Vec<_> = others(comparison).into_iter().chain(planned(plans)).collect();
    if !page.is_empty() && !lines.is_empty() {
        page.push('\n');
    }
    for (rating, line) in lines {
        let _ = writeln!(page, "{} {line}", rating.shown(terminal));
    }
    if !page.is_empty() {
        page.push('\n');
    }
    page + &summary(comparison)
}

fn table(expected: &[(ExpectedIndex, State)], terminal: bool) -> String {
    let width = |of: fn(&ExpectedIndex) -> String| {
        expected.iter().map(|(expected, _)| of(expected).chars().count()).max().unwrap_or(0)
    };
    let (names, places) = (width(|expected| expected.name.clone()), width(ExpectedIndex::place));
    let row = |(expected, state): &(ExpectedIndex, State)| {
        let sign = rating(state).shown(terminal);
        let (name, place) = (&expected.name, expected.place());
        format!("{sign} {name:names$}  {place:places$}  {}\n", word(state))
    };
    expected.iter().map(row).collect()
}

fn rating(state: &State) -> Rating {
    match state {
        State::Present | State::Covered { .. } => Rating::Good,
        State::Building => Rating::Doubtful,
        _ => Rating::Bad,
    }
}

fn word(state: &State) -> String {
    match state {
        State::Present => "present".to_owned(),
        State::Covered { by } => format!("covered by {by}"),
        State::Missing => "missing".to_owned(),
        State::Invalid => "invalid: a build that failed left it".to_owned(),
        State::Building => "being built".to_owned(),
        State::Different { is } => format!("another of that name: {is}"),
        State::NoTable => "its table does not exist".to_owned(),
    }
}

/// Findings beside what is expected, each with a remedy.
fn others(comparison: &Comparison) -> Vec<(Rating, String)> {
    let invalid = comparison.invalid.iter().map(|index| {
        let line = format!("{} on {} is invalid", index.title(), index.table_title());
        (Rating::Bad, format!("{line}, costs every write and serves no query: {}", drop(index)))
    });
    let covered = comparison.covered.iter().map(|(index, by)| {
        let line = format!("{} on {} is covered by {by}", index.title(), index.table_title());
        (Rating::Doubtful, format!("{line}{}: {}", size(index), drop(index)))
    });
    let days = comparison.counted_days.floor();
    let unused = comparison.unused.iter().map(|index| {
        let line = format!("{} on {} was not used", index.title(), index.table_title());
        let line = format!("{line} in {days} days{}", size(index));
        (Rating::Doubtful, format!("{line}; unless a replica uses it: {}", drop(index)))
    });
    invalid.chain(covered).chain(unused).collect()
}

/// The effect of missing indexes, and what else is worth an index.
fn planned(plans: &Plans) -> Vec<(Rating, String)> {
    let missing = plans.missing.iter().map(|one| {
        let rating = match (one.used, &one.now) {
            (Some(false), _) | (_, None) => Rating::Doubtful,
            _ => Rating::Bad,
        };
        let index = one.index.as_deref().unwrap_or_default();
        (rating, format!("without {index}: {}", outcome(one)))
    });
    let whole = plans.whole.iter().map(|one| {
        let remedy = one.index.as_deref().unwrap_or_default();
        let line = format!("{} is read whole: {}", one.table, outcome(one));
        let remedy = if one.used == Some(false) { String::new() } else { format!(": {remedy}") };
        (Rating::Doubtful, line + &remedy)
    });
    let any = !plans.missing.is_empty() || !plans.whole.is_empty();
    let unsure = "whether an index would be used is not known: install hypopg (CREATE EXTENSION \
                  hypopg) to have these planned with it";
    let unsure = (any && !plans.hypopg).then(|| (Rating::Doubtful, unsure.to_owned()));
    let trouble = plans.trouble.iter().map(|why| (Rating::Doubtful, format!("no plans: {why}")));
    missing.chain(whole).chain(unsure).chain(trouble).collect()
}

/// Such as `SELECT …` (12 calls, 3.4 s): Seq Scan, cost 746; with it Index Scan, cost 17.
fn outcome(one: &Planned) -> String {
    let mut line = format!("`{}` ({} calls, {:.1} s)", one.sql, one.calls, one.seconds);
    if let Some(Way { scan, cost }) = &one.now {
        let _ = write!(line, ": {scan}, cost {cost:.0}");
    }
    match (&one.used, &one.with_index) {
        (Some(true), Some(Way { scan, cost })) => {
            let _ = write!(line, "; with the index {scan}, cost {cost:.0}");
        }
        (Some(_), _) => line.push_str("; the index would not be used"),
        _ => {}
    }
    if let Some(trouble) = &one.trouble {
        let _ = write!(line, ": {trouble}");
    }
    line
}

fn drop(index: &PresentIndex) -> String {
    format!("DROP INDEX CONCURRENTLY {}.{}", identifier(&index.schema), identifier(&index.name))
}

fn size(index: &PresentIndex) -> String {
    match index.bytes / 1_048_576 {
        0 => String::new(),
        megabytes => format!(" ({megabytes} MB)"),
    }
}

fn summary(comparison: &Comparison) -> String {
    let all = comparison.expected.len();
    if all == 0 {
        return "no index is expected: name a file with --catalogue, such as config/indexes.yml\n"
            .to_owned();
    }
    if comparison.expected.iter().all(|(_, state)| matches!(state, State::NoTable)) {
        return "none of the expected indexes' tables is in this database: is the catalogue for \
                another one? config/indexes.yml names those of the demo's application, as an \
                example; write your application's in a file of your own\n"
            .to_owned();
    }
    let count = |wanted: fn(&State) -> bool| {
        comparison.expected.iter().filter(|(_, state)| wanted(state)).count()
    };
    let good = count(State::is_good);
    let help = if count(|state| matches!(state, State::Missing | State::Invalid)) > 0 {
        "; `poolwatch indexes --apply` builds the others while the application runs"
    } else {
        ""
    };
    format!("{good} of {all} expected indexes can be used{help}\n")
}

/// The same for programs.
pub(super) fn json(comparison: &Comparison, plans: &Plans) -> String {
    let answer = Answer::new(comparison, plans);
    serde_json::to_string(&answer).expect("the answer has string keys") + "\n"
}

/// The answer as JSON.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Answer<'a> {
    /// The indexes of the catalogue.
    expected: Vec<ExpectedBody<'a>>,
    /// Indexes that a build which failed left behind.
    invalid: Vec<PresentBody<'a>>,
    /// Indexes that no query has used since the server has counted.
    unused: Vec<PresentBody<'a>>,
    /// Indexes whose queries another one serves.
    covered: Vec<CoveredBody<'a>>,
    /// The number of days for which the server has counted.
    counted_days: f64,
    plans: &'a Plans,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExpectedBody<'a> {
    name: &'a str,
    schema: &'a str,
    table: &'a str,
    keys: &'a [String],
    /// `present`, `covered`, `missing`, `invalid`, `building`, `different` or `no_table`.
    state: &'static str,
    message: String,
    /// The statement that builds it.
    create: String,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PresentBody<'a> {
    name: &'a str,
    schema: &'a str,
    table: &'a str,
    /// The times that a query used it.
    scans: Option<u64>,
    bytes: u64,
    /// The statement that removes it.
    drop: String,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CoveredBody<'a> {
    #[serde(flatten)]
    index: PresentBody<'a>,
    /// The index that serves its queries.
    by: &'a str,
}

impl<'a> Answer<'a> {
    fn new(comparison: &'a Comparison, plans: &'a Plans) -> Self {
        let expected = comparison.expected.iter().map(|(expected, state)| ExpectedBody {
            name: &expected.name,
            schema: &expected.schema,
            table: &expected.table,
            keys: &expected.keys,
            state: key(state),
            message: word(state),
            create: expected.create(),
        });
        let covered = comparison.covered.iter();
        let covered = covered.map(|(index, by)| CoveredBody { index: index.into(), by });
        Self {
            expected: expected.collect(),
            invalid: comparison.invalid.iter().map(PresentBody::from).collect(),
            unused: comparison.unused.iter().map(PresentBody::from).collect(),
            covered: covered.collect(),
            counted_days: comparison.counted_days,
            plans,
        }
    }
}

impl<'a> From<&'a PresentIndex> for PresentBody<'a> {
    fn from(index: &'a PresentIndex) -> Self {
        Self {
            name: &index.name,
            schema: &index.schema,
            table: &index.table,
            scans: index.scans,
            bytes: index.bytes,
            drop: drop(index),
        }
    }
}

fn key(state: &State) -> &'static str {
    match state {
        State::Present => "present",
        State::Covered { .. } => "covered",
        State::Missing => "missing",
        State::Invalid => "invalid",
        State::Building => "building",
        State::Different { .. } => "different",
        State::NoTable => "no_table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison() -> Comparison {
        let expected = |name: &str, table: &str| ExpectedIndex {
            name: name.into(),
            schema: "public".into(),
            table: table.into(),
            keys: vec!["\"a\"".into()],
            columns: vec![Some("a".into())],
            method: "btree".into(),
            unique: false,
            condition: None,
        };
        Comparison {
            expected: vec![
                (expected("long_name", "t"), State::Present),
                (expected("i", "table"), State::Missing),
            ],
            ..Comparison::default()
        }
    }

    #[test]
    fn the_schema_is_made_from_the_types() {
        let schema = crate::schemas::schema::<Answer<'static>>();
        crate::schemas::holds("indexes.schema.json", &schema);
    }

    #[test]
    fn the_table_is_aligned_and_only_a_terminal_gets_colour() {
        let page = text(&comparison(), &Plans::default(), false);
        assert!(page.starts_with(
            "✓ long_name  t (a)      present\n✗ i          table (a)  missing\n\n1 of 2"
        ));
        assert!(page.contains("--apply") && !page.contains('\x1b'), "{page}");
        assert!(text(&comparison(), &Plans::default(), true).contains("\x1b[31m✗"));
    }

    #[test]
    fn what_else_was_noticed_comes_with_the_statement() {
        let index =
            PresentIndex { name: "o\"x".into(), schema: "s".into(), ..PresentIndex::default() };
        let comparison = Comparison { invalid: vec![index], ..comparison() };
        let page = text(&comparison, &Plans::default(), false);
        assert!(page.contains("DROP INDEX CONCURRENTLY \"s\".\"o\"\"x\""), "{page}");
        let page = json(&comparison, &Plans::default());
        let page: serde_json::Value = serde_json::from_str(&page).unwrap();
        assert_eq!(page["expected"][1]["state"], "missing");
    }
}
