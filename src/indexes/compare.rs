//! The expected indexes against the present ones.

use std::collections::HashMap;

use super::catalogue::{Catalogue, ExpectedIndex};
use super::name::{identifier, unquoted};
use super::present::{Inventory, PresentIndex};

/// Indexes not used for less than this long may still be: a report may run once a week.
const UNUSED_AFTER_DAYS: f64 = 7.0;

/// No index is compared with more than these of its table: the time for it must not grow with the
/// square of what a server answers.
const OF_ONE_TABLE: usize = 200;

/// The state of an expected index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there and can be used.
    Present,
    /// Another index serves the same queries.
    Covered {
        /// Its name.
        by: String,
    },
    /// There is none.
    Missing,
    /// A build that failed left it: it costs every write and serves no query.
    Invalid,
    /// Somebody is building it now.
    Building,
    /// One of that name is there and is another.
    Different {
        /// A description of that one.
        is: String,
    },
    /// Its table is not there.
    NoTable,
}

impl State {
    /// Returns whether nothing has to be done.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Present | Self::Covered { .. })
    }
}

/// Everything there is to say of a database's indexes.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Each expected index and how it does.
    pub expected: Vec<(ExpectedIndex, State)>,
    /// Others that no query may use.
    pub invalid: Vec<PresentIndex>,
    /// Those that no query used for at least a week.
    pub unused: Vec<PresentIndex>,
    /// Those whose queries another could serve, and which.
    pub covered: Vec<(PresentIndex, String)>,
    /// For how many days use was counted, at least.
    pub counted_days: f64,
}

/// Compares the catalogue with what is there.
pub fn compare(catalogue: &Catalogue, inventory: &Inventory) -> Comparison {
    let counted_days = inventory.counted_for / 86_400.0;
    let states = catalogue.indexes.iter().map(|e| (e.clone(), state(e, inventory)));
    let is_expected = |index: &PresentIndex| {
        catalogue.indexes.iter().any(|e| (&e.schema, &e.name) == (&index.schema, &index.name))
    };
    let others = inventory.indexes.iter().filter(|index| !is_expected(index));
    let is_long = |days: f64| days >= UNUSED_AFTER_DAYS;
    let is_counted =
        |index: &PresentIndex| index.reset_ago.is_none_or(|seconds| is_long(seconds / 86_400.0));
    let unused = |index: &&PresentIndex| {
        is_long(counted_days) && is_counted(index) && is_idle(index) && !index.building
    };
    Comparison {
        expected: states.collect(),
        invalid: others.filter(|index| !index.valid && !index.building).cloned().collect(),
        unused: inventory.indexes.iter().filter(unused).cloned().collect(),
        covered: covered(inventory),
        counted_days,
    }
}

fn is_idle(index: &PresentIndex) -> bool {
    index.scans == Some(0) && index.valid && !index.unique && !index.needed
}

fn state(expected: &ExpectedIndex, inventory: &Inventory) -> State {
    if let Some(present) = inventory.named(&expected.schema, &expected.name) {
        return named_alike(expected, present);
    }
    let table =
        |(schema, table): &(String, String)| (schema, table) == (&expected.schema, &expected.table);
    if !inventory.tables.iter().any(table) {
        return State::NoTable;
    }
    match inventory.indexes.iter().find(|present| serves(present, expected)) {
        Some(other) => State::Covered { by: other.name.clone() },
        None => State::Missing,
    }
}

fn named_alike(expected: &ExpectedIndex, present: &PresentIndex) -> State {
    let same_columns = expected.columns.len() == present.columns.len()
        && expected.columns.iter().zip(&present.columns).all(|(expected, present)| {
            // How the server writes an expression back cannot be foretold.
            expected.as_ref().is_none_or(|expected| *expected == unquoted(present))
        });
    let same = same_columns
        && present.table == expected.table
        && present.method == expected.method
        && present.unique == expected.unique
        && present.condition.is_some() == expected.condition.is_some();
    match (same, present.valid, present.building) {
        (false, ..) => State::Different { is: description(present) },
        (true, _, true) => State::Building,
        (true, false, false) => State::Invalid,
        (true, true, false) => State::Present,
    }
}

/// A description of an index, for people.
fn description(index: &PresentIndex) -> String {
    let unique = if index.unique { "unique " } else { "" };
    let partial = if index.condition.is_some() { ", partial" } else { "" };
    let columns = index.columns.join(", ");
    format!("{unique}{} on {} ({columns}){partial}", index.method, index.table_title())
}

/// Returns whether a plain b-tree that is expected would serve no query that this one does not.
fn serves(present: &PresentIndex, expected: &ExpectedIndex) -> bool {
    let plain = |column: &String| expected.keys.contains(&identifier(column));
    let columns: Option<Vec<_>> = expected.columns.iter().cloned().collect();
    let Some(columns) = columns.filter(|columns| columns.iter().all(plain)) else { return false };
    present.valid
        && (&present.schema, &present.table) == (&expected.schema, &expected.table)
        && present.method == "btree"
        && expected.method == "btree"
        && present.condition.is_none()
        && expected.condition.is_none()
        && (!expected.unique || present.unique && present.columns.len() == columns.len())
        && present.columns.len() >= columns.len()
        && present.kinds.iter().take(columns.len()).all(String::is_empty)
        && present.columns.iter().zip(&columns).all(|(a, b)| unquoted(a) == *b)
}

/// The indexes whose queries another could serve, and which: the leading keys of a b-tree, or all
/// of any other.
pub fn covered(inventory: &Inventory) -> Vec<(PresentIndex, String)> {
    let mut by_table: HashMap<(&str, &str), Vec<&PresentIndex>> = HashMap::new();
    for index in &inventory.indexes {
        let of_table = by_table.entry((&index.schema, &index.table)).or_default();
        if of_table.len() < OF_ONE_TABLE {
            of_table.push(index);
        }
    }
    let by = |index: &PresentIndex| {
        let of_table = by_table.get(&(&*index.schema, &*index.table))?;
        of_table.iter().find(|other| covers(other, index)).map(|other| other.name.clone())
    };
    inventory.indexes.iter().filter_map(|index| Some((index.clone(), by(index)?))).collect()
}

fn covers(other: &PresentIndex, index: &PresentIndex) -> bool {
    let keys = index.columns.len();
    let alike = other.name != index.name
        && (&other.schema, &other.table) == (&index.schema, &index.table)
        && other.method == index.method
        && other.condition == index.condition
        && other.columns.starts_with(&index.columns)
        && other.kinds.starts_with(&index.kinds);
    let longer = other.columns.len() > keys;
    let dispensable = index.valid && !index.unique && !index.needed && !index.included;
    // Of two alike one stays: the one that is needed, else the first by name.
    let stays = other.needed || other.unique || other.included || other.name < index.name;
    other.valid && alike && dispensable && if longer { index.method == "btree" } else { stays }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, columns: &[&str]) -> PresentIndex {
        PresentIndex {
            schema: "public".into(),
            table: "t".into(),
            name: name.into(),
            valid: true,
            method: "btree".into(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            kinds: columns.iter().map(|_| String::new()).collect(),
            scans: Some(1),
            ..PresentIndex::default()
        }
    }

    fn expected(name: &str, columns: &[&str]) -> ExpectedIndex {
        ExpectedIndex {
            name: name.into(),
            schema: "public".into(),
            table: "t".into(),
            keys: columns.iter().map(|column| identifier(column)).collect(),
            columns: columns.iter().map(|column| Some((*column).to_owned())).collect(),
            method: "btree".into(),
            unique: false,
            condition: None,
        }
    }

    fn inventory(indexes: Vec<PresentIndex>) -> Inventory {
        let tables = vec![("public".to_owned(), "t".to_owned())];
        Inventory { indexes, tables, counted_for: 864_000.0 }
    }

    fn state_of(expected: ExpectedIndex, present: Vec<PresentIndex>) -> State {
        let catalogue = Catalogue { indexes: vec![expected] };
        compare(&catalogue, &inventory(present)).expected.remove(0).1
    }

    #[test]
    fn an_index_is_known_by_its_name_and_its_columns() {
        let wanted = || expected("i", &["a", "B"]);
        assert_eq!(state_of(wanted(), vec![]), State::Missing);
        assert_eq!(state_of(wanted(), vec![index("i", &["a", "\"B\""])]), State::Present);
        let other = state_of(wanted(), vec![index("i", &["a"])]);
        assert_eq!(other, State::Different { is: "btree on t (a)".into() });
        let broken = PresentIndex { valid: false, ..index("i", &["a", "\"B\""]) };
        assert_eq!(state_of(wanted(), vec![broken.clone()]), State::Invalid);
        let building = PresentIndex { building: true, ..broken };
        assert_eq!(state_of(wanted(), vec![building]), State::Building);
        let of_other_table = ExpectedIndex { table: "u".into(), ..wanted() };
        assert_eq!(state_of(of_other_table, vec![]), State::NoTable);
    }

    #[test]
    fn another_name_serves_as_well_when_its_leading_columns_are_the_same() {
        let covered = State::Covered { by: "other".into() };
        assert_eq!(state_of(expected("i", &["a"]), vec![index("other", &["a", "b"])]), covered);
        let reversed =
            PresentIndex { kinds: vec!["int4_ops 3 0".into()], ..index("other", &["a"]) };
        for other in [
            index("other", &["b", "a"]),
            PresentIndex { condition: Some("x".into()), ..index("other", &["a"]) },
            PresentIndex { valid: false, ..index("other", &["a"]) },
            reversed,
        ] {
            assert_eq!(state_of(expected("i", &["a"]), vec![other]), State::Missing);
        }
        let unique = ExpectedIndex { unique: true, ..expected("i", &["a"]) };
        assert_eq!(state_of(unique, vec![index("other", &["a"])]), State::Missing);
    }

    #[test]
    fn of_two_alike_one_is_dispensable_and_never_the_needed_one() {
        let names = |indexes: Vec<PresentIndex>| {
            let found = covered(&inventory(indexes));
            found.into_iter().map(|(index, by)| format!("{} by {by}", index.name)).collect()
        };
        let found: Vec<String> = names(vec![index("a", &["x"]), index("b", &["x"])]);
        assert_eq!(found, ["b by a"]);
        let key = PresentIndex { needed: true, unique: true, ..index("z", &["x"]) };
        let found: Vec<String> = names(vec![index("a", &["x"]), key]);
        assert_eq!(found, ["a by z"]);
        let hash = |name| PresentIndex { method: "hash".into(), ..index(name, &["x"]) };
        let found: Vec<String> = names(vec![hash("a"), index("b", &["x", "y"])]);
        assert_eq!(found, [""; 0]);
        let carrying = PresentIndex { included: true, ..index("a", &["x"]) };
        let found: Vec<String> = names(vec![carrying, index("b", &["x", "y"])]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn an_answer_of_whatever_size_is_compared_in_no_time() {
        let many = |table: fn(usize) -> String| {
            let of = |n| PresentIndex { table: table(n), ..index(&format!("i{n}"), &["a", "b"]) };
            let indexes = (0..60_000).map(of).collect();
            let start = std::time::Instant::now();
            covered(&inventory(indexes));
            start.elapsed()
        };
        // Each with each of the others would take minutes.
        for elapsed in [many(|_| "t".to_owned()), many(|n| format!("t{n}"))] {
            assert!(elapsed.as_secs() < 30, "{elapsed:?}");
        }
    }

    #[test]
    fn only_what_was_counted_for_long_is_called_unused() {
        let idle = PresentIndex { scans: Some(0), ..index("i", &["a"]) };
        let key = PresentIndex { unique: true, ..idle.clone() };
        let reset = PresentIndex { reset_ago: Some(86_400.0), ..idle.clone() };
        let mut there = inventory(vec![idle.clone(), key, reset]);
        assert_eq!(compare(&Catalogue::default(), &there).unused, [idle]);
        there.counted_for = 86_400.0;
        assert_eq!(compare(&Catalogue::default(), &there).unused, []);
    }
}
