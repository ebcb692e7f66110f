//! The conditions by which a statement chooses the rows of its tables.

use sqlparser::tokenizer::Token;

use super::groups::Groups;
use super::operands::{Operand, QualifiedColumn, Words, Wrap};

/// No more conditions of a statement are looked at.
const MOST: usize = 100;

/// A column that must match something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// What is done to it before it is compared, from within; empty where nothing is.
    pub wraps: Vec<Wrap>,
    /// The comparison.
    pub matches: Match,
}

/// A kind of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// Equals a value, or one of a list.
    Equal,
    /// Lies above or below a value.
    Range,
    /// Equals a column of another table, or what a query of its own gives.
    Joined,
    /// IS NULL.
    Null,
    /// LIKE, with a value.
    Like,
    /// ILIKE, or a regular expression.
    Pattern,
    /// An operator on what it is made of, such as `@>`, `&&` and `@@`.
    Contains,
    /// The column is an array, and the value one of its elements: `$1 = ANY (column)`.
    Element,
}

/// A condition, and the table that qualifies its column.
pub(super) type OfTable = (Option<String>, Condition);

/// The conditions of a statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Those that all chosen rows meet.
    pub(super) all: Vec<OfTable>,
    /// Those of which chosen rows meet one: `a = $1 OR b = $2`.
    pub(super) any: Vec<OfTable>,
}

impl Condition {
    /// Returns whether the column is compared as it is.
    pub fn is_plain(&self) -> bool {
        self.wraps.is_empty()
    }
}

/// The conditions of a statement, from its words without spaces.
pub(super) fn conditions(words: &[&Token]) -> Conditions {
    let words = Words::new(words);
    let groups = Groups::new(&words);
    let (mut found, mut alternatives) = (Conditions::default(), 0);
    for (at, connected) in groups.beginnings.iter().take(MOST) {
        let of = comparison(&words, *at);
        let joined = matches!(&of, Some((_, one)) if one.matches == Match::Joined);
        if groups.by_or[*connected] {
            // What a parenthesis opens is looked at on its own.
            alternatives += usize::from(!words.opens(*at));
            found.any.extend(of);
        } else {
            found.all.extend(of);
            found.all.extend(joined.then(|| other_side(&words, *at)).flatten());
        }
    }
    // Where one alternative is not understood, indexes on the others help nothing.
    if groups.mixed || found.any.len() != alternatives {
        found.any.clear();
    }
    found
}

/// The comparison that begins at this place.
fn comparison(words: &Words<'_>, at: usize) -> Option<OfTable> {
    let (left, at) = words.operand(at)?;
    let (matches, at) = operator(words, at)?;
    match matches {
        Match::Null => return condition(left, matches),
        // A list, or a query of its own.
        Match::Equal if words.opens(at) && words.is(at + 1, &["SELECT"]) => {
            return condition(left, Match::Joined);
        }
        Match::Equal if words.opens(at) && is_list(words, at) => return condition(left, matches),
        Match::Equal if words.is(at, &["ANY"]) && words.opens(at + 1) => {
            let (right, _) = words.operand(at + 2)?;
            let element = left.column.is_none() && right.column.is_some();
            return if element {
                condition(right, Match::Element)
            } else {
                right.column.is_none().then(|| condition(left, matches))?
            };
        }
        _ => {}
    }
    let (right, _) = words.operand(at)?;
    match (&left.column, &right.column) {
        (Some(_), None) => condition(left, matches),
        (None, Some(_)) if !matches!(matches, Match::Like | Match::Pattern) => {
            condition(right, matches)
        }
        (Some((Some(a), _)), Some((Some(b), _))) if a != b && matches == Match::Equal => {
            condition(left, Match::Joined)
        }
        _ => None,
    }
}

/// The column on the other side of `a.x = b.y`, when that begins at this place.
fn other_side(words: &Words<'_>, at: usize) -> Option<OfTable> {
    let (left, at) = words.operand(at)?;
    let (Match::Equal, at) = operator(words, at)? else { return None };
    let (right, _) = words.operand(at)?;
    let ((a, _), (b, _)) = (left.column?, right.column.clone()?);
    (a.is_some() && b.is_some() && a != b).then(|| condition(right, Match::Joined))?
}

fn condition(operand: Operand, matches: Match) -> Option<OfTable> {
    let (table, column): QualifiedColumn = operand.column?;
    Some((table, Condition { column, wraps: operand.wraps, matches }))
}

/// The operator at this place, and the place behind it.
fn operator(words: &Words<'_>, at: usize) -> Option<(Match, usize)> {
    let matches = match words.get(at)? {
        Token::Eq => Match::Equal,
        Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => Match::Range,
        Token::AtArrow | Token::AtAt | Token::Overlap | Token::AtQuestion | Token::Question => {
            Match::Contains
        }
        Token::DoubleTilde => Match::Like,
        Token::DoubleTildeAsterisk | Token::Tilde | Token::TildeAsterisk => Match::Pattern,
        _ if words.is(at, &["BETWEEN"]) => Match::Range,
        _ if words.is(at, &["IN"]) => Match::Equal,
        _ if words.is(at, &["LIKE"]) => Match::Like,
        _ if words.is(at, &["ILIKE"]) => Match::Pattern,
        _ if words.is(at, &["IS"]) && words.is(at + 1, &["NULL"]) => Match::Null,
        _ => return None,
    };
    Some((matches, at + 1))
}

/// Returns whether parentheses hold values alone.
fn is_list(words: &Words<'_>, at: usize) -> bool {
    words.operand(at + 1).is_some_and(|(first, _)| first.column.is_none())
}

#[cfg(test)]
mod tests {
    use super::super::Text;
    use super::*;

    fn written(condition: &Condition) -> String {
        let wrap = |sql: String, wrap: &Wrap| match wrap {
            Wrap::Cast(to) => format!("{sql}::{to}"),
            Wrap::Function(function) => format!("{function}({sql})"),
            Wrap::Other(other) => format!("{sql} {other}"),
        };
        let column = condition.wraps.iter().fold(condition.column.clone(), wrap);
        format!("{column} {:?}", condition.matches).to_lowercase()
    }

    fn list(conditions: &[Condition]) -> String {
        conditions.iter().map(written).collect::<Vec<_>>().join(", ")
    }

    /// The conditions of the only table.
    fn of(sql: &str) -> String {
        let text = Text::read(sql, 200);
        assert_eq!(text.tables.len(), 1, "{sql}");
        list(&text.tables[0].conditions)
    }

    #[test]
    fn the_columns_that_rows_are_chosen_by_are_conditions() {
        for (sql, expected) in [
            ("SELECT * FROM t WHERE b >= $1 AND a = $2", "b range, a equal"),
            (
                "SELECT * FROM public.\"T\" x WHERE x.a IN ($1, $2) AND x.b < now() - $3",
                "a equal, b range",
            ),
            (
                "SELECT * FROM t WHERE $1::INTEGER = t.a AND b = $2::pg_catalog.varchar(9)",
                "a equal, b equal",
            ),
            (
                "SELECT * FROM t WHERE a = ANY ($1::int[]) AND b > $2::TIMESTAMP WITH TIME ZONE",
                "a equal, b range",
            ),
            ("DELETE FROM t WHERE a = ANY ($1)", "a equal"),
            ("UPDATE t SET b = $1 WHERE a = $2", "a equal"),
            ("SELECT * FROM t WHERE a BETWEEN $1 AND $2 AND b = $3", "a range, b equal"),
            ("SELECT extract(epoch FROM c) FROM t WHERE (a = $1)", "a equal"),
            ("SELECT * FROM t WHERE ((a = $1) AND (b IS NULL))", "a equal, b null"),
            ("SELECT * FROM t WHERE at > interval $1 AND at < current_date", "at range"),
            (
                "SELECT * FROM t WHERE $1 = ANY (tags) AND body @@ to_tsquery($2)",
                "tags element, body contains",
            ),
            ("SELECT * FROM t WHERE a IN (SELECT $1)", "a joined"),
            (
                "SELECT * FROM t WHERE a LIKE $1 AND b ILIKE $2 AND c ~ $3",
                "a like, b pattern, c pattern",
            ),
        ] {
            assert_eq!(of(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_done_to_a_column_is_kept() {
        for (sql, expected) in [
            ("SELECT * FROM t WHERE id::text = $1", "id::text equal"),
            ("SELECT * FROM t WHERE (id)::pg_catalog.text = $1", "id::text equal"),
            (
                "SELECT * FROM t WHERE CAST(t.id AS double precision) = $1",
                "id::double precision equal",
            ),
            (
                "SELECT * FROM t WHERE at::timestamp without time zone >= $1",
                "at::timestamp without time zone range",
            ),
            ("SELECT * FROM t WHERE lower(trim(a)) = lower($1)", "lower(trim(a)) equal"),
            ("SELECT * FROM t WHERE date_trunc($1, t.at) = $2", "at date_trunc() equal"),
            ("SELECT * FROM t WHERE coalesce(a, $1) = $2", "a coalesce() equal"),
            ("SELECT * FROM t WHERE a + $1 > $2", "a + range"),
            ("SELECT * FROM t WHERE data ->> $1 = $2", "data ->> equal"),
            ("SELECT * FROM t WHERE at AT TIME ZONE $1 > $2", "at at time zone range"),
            ("SELECT * FROM t WHERE extract(year FROM at) = $1", "at extract() equal"),
        ] {
            assert_eq!(of(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_chooses_no_rows_is_no_condition() {
        for sql in [
            "SELECT a = $1 FROM t",
            "SELECT * FROM t WHERE a <> $1",
            "SELECT * FROM t WHERE a = b",
            "SELECT * FROM t WHERE NOT a = $1",
            "SELECT count(*) FILTER (WHERE a = $1 AND b = $2) FROM t",
            "SELECT CASE WHEN x AND a = $1 THEN $2 END FROM t",
            "SELECT kind FROM t GROUP BY kind HAVING count(*) > $1 AND kind = $2",
            "INSERT INTO t (a, b) VALUES ($1, $2)",
            "SELECT * FROM t WHERE a = $1 OR b = $2",
            "SELECT * FROM t WHERE (a = $1 AND b = $2) OR c = $3",
        ] {
            assert_eq!(of(sql), "", "{sql}");
        }
    }

    #[test]
    fn alternatives_count_only_when_each_is_understood() {
        for (sql, expected) in [
            ("SELECT * FROM t WHERE a = $1 OR (b < $2)", "a equal, b range"),
            ("SELECT * FROM t WHERE c = $1 AND (a = $2 OR b = $3)", "a equal, b equal"),
            ("SELECT * FROM t WHERE a = $1 OR b <> $2", ""),
            ("SELECT * FROM t WHERE (a = $1 AND b = $2) OR c = $3", ""),
            ("SELECT * FROM t WHERE a BETWEEN $1 AND $2 OR b = $3", "a range, b equal"),
        ] {
            assert_eq!(list(&Text::read(sql, 200).tables[0].alternatives), expected, "{sql}");
        }
    }

    #[test]
    fn every_table_has_its_own_conditions() {
        let sql = "SELECT * FROM a, b AS bb LEFT JOIN s.c ON c.id = bb.c_id
                   WHERE a.x = $1 AND bb.y > $2 AND z = $3";
        let text = Text::read(sql, 200);
        let found: Vec<_> =
            text.tables.iter().map(|table| (&*table.name, list(&table.conditions))).collect();
        let expected = [("a", "x equal"), ("b", "c_id joined, y range"), ("c", "id joined")];
        assert_eq!(found, expected.map(|(table, list)| (table, list.to_owned())));
        assert_eq!(list(&text.loose), "z equal");
        assert!(text.table("s.c").is_some() && text.table("bb").is_none());
        assert_eq!(Text::read("SELECT * FROM \"a\"\"b\"", 9).tables[0].name, "a\"b");
    }

    #[test]
    fn an_order_counts_where_the_first_rows_are_taken() {
        for (sql, expected) in [
            ("SELECT * FROM t WHERE a = $1 ORDER BY t.at DESC, id DESC LIMIT $2", "at, id"),
            ("SELECT * FROM t ORDER BY at FETCH FIRST ROW ONLY", "at"),
            ("SELECT * FROM t ORDER BY at, id DESC LIMIT $1", ""),
            ("SELECT * FROM t ORDER BY at", ""),
            ("SELECT * FROM t ORDER BY lower(a) LIMIT $1", ""),
            ("SELECT a FROM t GROUP BY a ORDER BY a LIMIT $1", ""),
        ] {
            assert_eq!(Text::read(sql, 200).order.join(", "), expected, "{sql}");
        }
    }
}
