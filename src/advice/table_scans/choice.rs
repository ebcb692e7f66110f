//! The index that a statement lacks, or the reason why none would help it.

use super::expressions::{Expression, expression, is_same};
use crate::reading::{TableIndex, TableScans};
use crate::statement::{Condition, Match, NamedTable, Text, Wrap};

/// Columns of an index that is suggested, at most.
const COLUMNS: usize = 4;

/// A way to keep a statement from reading a table whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What the indexes to build are on, as it stands behind `ON table`.
    pub(crate) indexes: Vec<String>,
    /// The extension that they need.
    pub(crate) extension: Option<&'static str>,
    /// Set if the server knows the values of what is indexed only after an ANALYZE.
    pub(crate) analyze: bool,
    /// What else there is to say, or to do instead.
    pub(crate) instead: Option<String>,
}

impl Choice {
    /// The statements that follow it, in order.
    pub(crate) fn sql(&self, table: &str) -> Vec<String> {
        let extension = self.extension.map(|name| format!("CREATE EXTENSION IF NOT EXISTS {name}"));
        let create = |on: &String| format!("CREATE INDEX CONCURRENTLY ON {table} {on}");
        let analyze = self.analyze.then(|| format!("ANALYZE {table}"));
        let built = !self.indexes.is_empty();
        let around = |one: Option<String>| one.filter(|_| built);
        let indexes = self.indexes.iter().map(create);
        around(extension).into_iter().chain(indexes).chain(around(analyze)).collect()
    }
}

/// One key of an index to build.
#[derive(Clone, Debug)]
struct Key<'a> {
    condition: &'a Condition,
    expression: Expression,
    kind: &'a str,
}

impl TableScans {
    /// A column as it is written in SQL, and its type.
    fn column(&self, name: &str) -> Option<(&str, &str)> {
        let is = |written: &&String| written.trim_matches('"').replace("\"\"", "\"") == name;
        let at = self.columns.iter().position(|written| is(&written))?;
        Some((&self.columns[at], self.types.get(at).map_or("", String::as_str)))
    }
}

/// The choice for a statement and a table that it names.
pub(crate) fn choose(text: &Text, named: &NamedTable, table: &TableScans) -> Choice {
    let has = |column: &str| table.column(column).is_some();
    let conditions: Vec<_> = text.conditions(named, has).collect();
    let keys: Vec<_> = conditions.iter().filter_map(|one| Key::new(one, table)).collect();
    let order = order(text, &keys, &conditions, table);
    let chosen = chosen(&keys);
    let others = || {
        let for_operator = conditions.iter().find_map(|condition| for_operator(condition, table));
        for_operator.or_else(|| for_wrapped(&conditions, table))
    };
    if !chosen.is_empty() || !order.is_empty() {
        let by_keys = for_keys(&chosen, &order, table);
        // Where an index serves these already, the others are the reason.
        let served = by_keys.indexes.is_empty();
        return if served { others().unwrap_or(by_keys) } else { by_keys };
    }
    let alternatives: Vec<_> =
        named.alternatives.iter().filter_map(|one| Key::new(one, table)).collect();
    if !alternatives.is_empty() && alternatives.len() == named.alternatives.len() {
        return for_alternatives(&alternatives, table);
    }
    others().unwrap_or_else(|| {
        let none = conditions.is_empty() && named.alternatives.is_empty();
        Choice { instead: none.then(|| ALL_ROWS.to_owned()), ..Choice::default() }
    })
}

const ALL_ROWS: &str = "it chooses its rows by no column of this table, so that no index helps it: \
                        ask for fewer rows (a WHERE, a LIMIT), or keep the result";

impl<'a> Key<'a> {
    fn new(condition: &'a Condition, table: &'a TableScans) -> Option<Self> {
        use Match::{Equal, Joined, Null, Range};
        if !matches!(condition.matches, Equal | Joined | Null | Range) {
            return None;
        }
        let (column, kind) = table.column(&condition.column)?;
        Some(Self { condition, expression: expression(condition, column, kind)?, kind })
    }

    fn is_range(&self) -> bool {
        self.condition.matches == Match::Range
    }

    /// The same without what is done to its column.
    fn unwrapped(&self, table: &TableScans) -> Self {
        let sql = table.column(&self.condition.column).map_or("", |(column, _)| column).to_owned();
        let expression = Expression { sql, wrapped: false, casts: Vec::new() };
        Self { expression, ..self.clone() }
    }
}

/// The keys of one index: those that equal a value, those of a join, then one with a range.
fn chosen<'a>(keys: &[Key<'a>]) -> Vec<Key<'a>> {
    let mut chosen: Vec<Key<'a>> = Vec::new();
    for wanted in [Match::Equal, Match::Null, Match::Joined, Match::Range] {
        for key in keys.iter().filter(|key| key.condition.matches == wanted) {
            let is_there = chosen.iter().any(|one| one.expression.sql == key.expression.sql);
            let room = if key.is_range() { COLUMNS } else { COLUMNS - 1 };
            let is_over = chosen.last().is_some_and(Key::is_range);
            if !is_there && !is_over && chosen.len() < room {
                chosen.push(key.clone());
            }
        }
    }
    chosen
}

/// The columns by whose order the first rows are found, where each condition is an equality.
fn order(
    text: &Text,
    keys: &[Key<'_>],
    conditions: &[&Condition],
    table: &TableScans,
) -> Vec<String> {
    let equal = |key: &Key<'_>| key.condition.matches == Match::Equal;
    if keys.len() < conditions.len() || !keys.iter().all(equal) {
        return Vec::new();
    }
    let columns = text.order.iter().map(|column| Some(table.column(column)?.0.to_owned()));
    let columns: Vec<_> = columns.collect::<Option<_>>().unwrap_or_default();
    let fixed = |column: &String| keys.iter().any(|key| key.expression.sql == *column);
    columns.into_iter().filter(|column| !fixed(column)).take(COLUMNS - 1).collect()
}

fn for_keys(keys: &[Key<'_>], order: &[String], table: &TableScans) -> Choice {
    if let Some(index) = table.indexes.iter().find(|index| serves(index, keys, order)) {
        return Choice { instead: Some(is_there(&index.name, table)), ..Choice::default() };
    }
    let columns = keys.iter().map(|key| &key.expression.sql).chain(order);
    let columns: Vec<_> = columns.map(String::as_str).collect();
    let analyze = keys.iter().any(|key| key.expression.wrapped);
    let instead = without_casts(keys, order, table).or_else(|| partial(keys, order, table));
    let indexes = vec![format!("({})", columns.join(", "))];
    Choice { indexes, analyze, instead, extension: None }
}

fn is_there(index: &str, table: &TableScans) -> String {
    format!(
        "the index {index} serves its WHERE already. EXPLAIN it: the server reads the table whole \
         where most of its rows are wanted, where its statistics are old (ANALYZE {}), or where a \
         value is of another type than the column, such as numeric for integer",
        table.table
    )
}

/// The index that would serve if a column were compared as it is.
fn without_casts(keys: &[Key<'_>], order: &[String], table: &TableScans) -> Option<String> {
    let cast = keys.iter().find(|key| !key.expression.casts.is_empty())?;
    let plain: Vec<_> = keys.iter().map(|key| key.unwrapped(table)).collect();
    let index = table.indexes.iter().find(|index| serves(index, &plain, order));
    let serves = index.map_or(String::new(), |index| format!(", which {} serves", index.name));
    Some(format!(
        "compare {} without the cast to {} (give the value as {}){serves}",
        cast.unwrapped(table).expression.sql,
        cast.expression.casts.join(" and "),
        cast.kind
    ))
}

/// An index of the same columns that has not all rows.
fn partial(keys: &[Key<'_>], order: &[String], table: &TableScans) -> Option<String> {
    let whole = |index: &TableIndex| TableIndex { condition: None, ..index.clone() };
    let partial = |index: &&TableIndex| index.condition.is_some();
    let mut partials = table.indexes.iter().filter(partial);
    let index = partials.find(|index| serves(&whole(index), keys, order))?;
    Some(format!(
        "let its WHERE contain the condition of the index {} ({})",
        index.name,
        index.condition.as_deref()?
    ))
}

/// Returns whether an index finds what these keys ask for, in this order.
pub(super) fn serves_keys(
    index: &TableIndex,
    equal: &[(&str, &str)],
    rest: &[(&str, &str)],
) -> bool {
    let is = |at: usize, (sql, kind): &(&str, &str)| {
        index.keys.get(at).is_some_and(|key| is_same(&key.sql, sql, kind))
    };
    let leads = |one: &(&str, &str)| (0..equal.len()).any(|at| is(at, one) && index.keys[at].equal);
    let ordered = |(at, one): (usize, &(&str, &str))| {
        is(equal.len() + at, one) && index.keys[equal.len() + at].ordered
    };
    let all_given = || {
        let given = |at: usize| equal.iter().any(|one| is(at, one) && index.keys[at].equal);
        index.unique && (0..index.keys.len()).all(given)
    };
    let finds = || equal.iter().all(leads) && rest.iter().enumerate().all(ordered);
    let method = match &*index.method {
        "btree" => true,
        "hash" => rest.is_empty() && index.keys.len() == 1,
        _ => false,
    };
    index.valid && index.condition.is_none() && method && (all_given() || finds())
}

fn serves(index: &TableIndex, keys: &[Key<'_>], order: &[String]) -> bool {
    let part = |range: bool| {
        let such = keys.iter().filter(move |key| key.is_range() == range);
        such.map(|key| (key.expression.sql.as_str(), key.kind))
    };
    let equal: Vec<_> = part(false).collect();
    let rest: Vec<_> = part(true).chain(order.iter().map(|column| (column.as_str(), ""))).collect();
    serves_keys(index, &equal, &rest)
}

fn for_alternatives(keys: &[Key<'_>], table: &TableScans) -> Choice {
    let missing = |key: &&Key<'_>| {
        let key = std::slice::from_ref(*key);
        !table.indexes.iter().any(|index| serves(index, key, &[]))
    };
    let mut indexes: Vec<_> =
        keys.iter().filter(missing).map(|key| format!("({})", key.expression.sql)).collect();
    indexes.dedup();
    let instead = indexes.is_empty().then(|| {
        "each side of its OR has an index. EXPLAIN it: perhaps most of the rows are wanted; \
         or ask in two statements, by UNION"
            .to_owned()
    });
    let analyze = keys.iter().any(|key| key.expression.wrapped);
    Choice { indexes, instead, analyze, extension: None }
}

/// The index for an operator that no b-tree serves.
fn for_operator(condition: &Condition, table: &TableScans) -> Option<Choice> {
    let (column, kind) = table.column(&condition.column)?;
    if !condition.is_plain() {
        return None;
    }
    let is_text = ["text", "character varying"].contains(&kind);
    let is_array = kind.ends_with("[]");
    let (definition, extension) = match condition.matches {
        Match::Like | Match::Pattern if is_text => {
            (format!("USING gin ({column} gin_trgm_ops)"), Some("pg_trgm"))
        }
        Match::Contains if is_array || ["jsonb", "tsvector"].contains(&kind) => {
            (format!("USING gin ({column})"), None)
        }
        Match::Contains if kind.ends_with("range") => (format!("USING gist ({column})"), None),
        Match::Element if is_array => (format!("USING gin ({column})"), None),
        _ => return None,
    };
    let is_there = |index: &&TableIndex| {
        let first = index.keys.first();
        index.method != "btree"
            && definition.starts_with(&format!("USING {} ", index.method))
            && first.is_some_and(|key| key.sql == column)
    };
    let there = table.indexes.iter().find(is_there);
    let instead = match (condition.matches, there) {
        (Match::Element, there) => {
            let served = there.map_or("", |_| ", which its index serves");
            Some(format!(
                "write {column} @> ARRAY[value] in place of value = ANY ({column}){served}"
            ))
        }
        (_, Some(index)) => Some(self::is_there(&index.name, table)),
        (Match::Like, None) => Some(format!(
            "where each pattern begins with fixed text, an index on ({column} text_pattern_ops) is \
             enough"
        )),
        _ => None,
    };
    let indexes = if there.is_some() { Vec::new() } else { vec![definition] };
    Some(Choice { indexes, extension, instead, analyze: false })
}

/// The advice on a column to which something is done that cannot be indexed, or not from here.
fn for_wrapped(conditions: &[&Condition], table: &TableScans) -> Option<Choice> {
    let condition = conditions.iter().find(|condition| !condition.is_plain())?;
    let (column, kind) = table.column(&condition.column)?;
    let wrap = condition.wraps.last()?;
    let done = match wrap {
        Wrap::Cast(to) => format!("the cast to {to}"),
        Wrap::Function(function) => format!("{function}()"),
        Wrap::Other(other) => other.clone(),
    };
    let in_time = kind.starts_with("timestamp") || kind == "date";
    if !in_time || !matches!(condition.matches, Match::Equal | Match::Range) {
        let instead = format!(
            "no index on {column} serves a condition on {done}: compare {column} as it is, or \
             build an index on the whole expression, where its functions are IMMUTABLE"
        );
        return Some(Choice { instead: Some(instead), ..Choice::default() });
    }
    let keys = [(column, kind)];
    let there = table.indexes.iter().find(|index| serves_keys(index, &[], &keys));
    let served = there.map_or(String::new(), |index| format!(", which {} serves", index.name));
    let instead = format!(
        "no index on {column} serves a condition on {done}: compare {column} as it is with a \
         range ({column} >= its beginning AND {column} < its end){served}"
    );
    let indexes = if there.is_some() { Vec::new() } else { vec![format!("({column})")] };
    Some(Choice { indexes, instead: Some(instead), ..Choice::default() })
}
