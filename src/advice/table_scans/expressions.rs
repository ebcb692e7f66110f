//! What an index can be built on: a column, or an expression that the server takes for immutable.

use crate::statement::{Condition, Wrap};

/// Types whose casts to each other depend on no setting.
const SIMPLE: [&str; 10] = [
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
    "boolean",
    "uuid",
    TEXT,
    VARCHAR,
];
const TEXT: &str = "text";
const VARCHAR: &str = "character varying";
const TIMESTAMP: &str = "timestamp without time zone";
/// Immutable functions of a text.
const OF_TEXT: [&str; 9] =
    ["lower", "upper", "trim", "btrim", "ltrim", "rtrim", "initcap", "reverse", "md5"];
/// Immutable functions of a number.
const OF_NUMBER: [&str; 7] = ["abs", "floor", "ceil", "ceiling", "trunc", "round", "sign"];

/// A column or an expression, as it is written in CREATE INDEX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) sql: String,
    /// True when it is more than a column.
    pub(super) wrapped: bool,
    /// The types that the column is cast to, when nothing else is done to it.
    pub(super) casts: Vec<String>,
}

/// The left side of a condition as an index can have it; `None` where none can be built from it.
/// The column is written as in CREATE INDEX.
pub(super) fn expression(condition: &Condition, column: &str, kind: &str) -> Option<Expression> {
    let (mut sql, mut kind) = (column.to_owned(), kind.to_owned());
    let (mut casts, mut last_is_call) = (Vec::new(), true);
    let mut only_casts = true;
    for wrap in &condition.wraps {
        match wrap {
            Wrap::Cast(to) => {
                let to = spelled_out(to);
                if is_alike(&kind, &to) {
                    continue;
                }
                sql = is_immutable_cast(&kind, &to).then(|| format!("{sql}::{to}"))?;
                casts.push(to.clone());
                (kind, last_is_call) = (to, false);
            }
            Wrap::Function(function) => {
                kind = result(function, &kind)?;
                sql = format!("{function}({sql})");
                (only_casts, last_is_call) = (false, true);
            }
            Wrap::Other(_) => return None,
        }
    }
    let wrapped = !only_casts || !casts.is_empty();
    if !only_casts {
        casts.clear();
    }
    Some(Expression { sql: if last_is_call { sql } else { format!("({sql})") }, wrapped, casts })
}

/// Returns whether an index's key, as the server writes it, is this one.
pub(super) fn is_same(key: &str, expression: &str, kind: &str) -> bool {
    let plain = |text: &str| {
        let mut text: String = text.chars().filter(|c| !" ()\"".contains(*c)).collect();
        if is_alike(kind, TEXT) {
            text = text.replace("::text", "").replace("::charactervarying", "");
        }
        text
    };
    plain(key) == plain(expression)
}

/// A type as the server writes it.
pub(super) fn spelled_out(kind: &str) -> String {
    let full = match kind {
        "int" | "int4" => "integer",
        "int8" => "bigint",
        "int2" => "smallint",
        "decimal" => "numeric",
        "float4" => "real",
        "float8" | "float" => "double precision",
        "bool" => "boolean",
        "varchar" => VARCHAR,
        "timestamp" => TIMESTAMP,
        "timestamptz" => "timestamp with time zone",
        other => other,
    };
    full.to_owned()
}

/// Returns whether a cast from one type to the other changes nothing.
fn is_alike(from: &str, to: &str) -> bool {
    from == to || ([TEXT, VARCHAR].contains(&from) && [TEXT, VARCHAR].contains(&to))
}

fn is_immutable_cast(from: &str, to: &str) -> bool {
    (SIMPLE.contains(&from) && SIMPLE.contains(&to)) || (from == TIMESTAMP && to == "date")
}

/// The type of what an immutable function gives.
fn result(function: &str, of: &str) -> Option<String> {
    let kind = match function {
        function if is_alike(of, TEXT) && OF_TEXT.contains(&function) => TEXT,
        "length" | "char_length" if is_alike(of, TEXT) => "integer",
        "date" if of == TIMESTAMP => "date",
        function if SIMPLE[..6].contains(&of) && OF_NUMBER.contains(&function) => of,
        _ => return None,
    };
    Some(kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Match;

    fn sql(kind: &str, wraps: &[Wrap]) -> Option<String> {
        let condition =
            Condition { column: "a".into(), wraps: wraps.to_vec(), matches: Match::Equal };
        expression(&condition, "a", kind).map(|expression| expression.sql)
    }

    fn cast(to: &str) -> Wrap {
        Wrap::Cast(to.into())
    }

    #[test]
    fn only_what_depends_on_no_setting_can_be_indexed() {
        let lower = Wrap::Function("lower".into());
        for (kind, wraps, expected) in [
            ("integer", vec![cast("text")], Some("(a::text)")),
            ("character varying", vec![cast("text")], Some("a")),
            ("bigint", vec![cast("int8")], Some("a")),
            ("text", vec![lower.clone()], Some("lower(a)")),
            ("text", vec![Wrap::Function("trim".into()), lower.clone()], Some("lower(trim(a))")),
            ("integer", vec![cast("text"), lower.clone()], Some("lower(a::text)")),
            ("timestamp without time zone", vec![cast("date")], Some("(a::date)")),
            ("timestamp with time zone", vec![cast("date")], None),
            ("timestamp with time zone", vec![Wrap::Function("date".into())], None),
            ("text", vec![Wrap::Function("normalized".into())], None),
            ("text", vec![cast("varchar(9)")], None),
            ("date", vec![lower], None),
        ] {
            assert_eq!(sql(kind, &wraps).as_deref(), expected, "{kind} {wraps:?}");
        }
    }

    #[test]
    fn an_index_is_recognised_as_the_server_writes_it() {
        assert!(is_same("lower(email::text)", "lower(email)", "character varying"));
        assert!(is_same("(id::text)", "(id::text)", "integer"));
        assert!(!is_same("id", "(id::text)", "integer"));
    }
}
