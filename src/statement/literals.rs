//! The literals of a statement, and the places where they cannot be recognised for certain.

use sqlparser::ast::DollarQuotedString;
use sqlparser::tokenizer::Token;

/// Numbers and every way to quote a text.
pub(super) fn is_literal(token: &Token) -> bool {
    match token {
        Token::Word(_)
        | Token::Placeholder(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::LBracket
        | Token::RBracket
        | Token::SemiColon => false,
        Token::Number(..) => true,
        token => {
            let text = token.to_string();
            text.contains('\'') || text.starts_with('$')
        }
    }
}

/// Returns whether the server may end a literal or a comment at another place than the tokenizer.
pub(super) fn is_unclear(token: &Token) -> bool {
    match token {
        // `'a\'` ends there, unless standard_conforming_strings is off, or it goes on an E'…' of
        // the line before it.
        Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => {
            text.ends_with('\\') || text.contains("\\'")
        }
        Token::HexStringLiteral(text) | Token::SingleQuotedByteStringLiteral(text) => {
            text.contains('\\')
        }
        // The server ends an operator where a comment begins.
        Token::CustomBinaryOperator(text) => text.contains("--") || text.contains("/*"),
        // The tokenizer passes over what stands right behind it, be it a quote.
        Token::AmpersandRightAngleBracket => true,
        // `$1$` begins no text, and `$→$` does.
        Token::DollarQuotedString(DollarQuotedString { tag: Some(tag), .. }) => {
            tag.starts_with(|first: char| first.is_ascii_digit())
        }
        Token::Placeholder(text) => text.strip_prefix('$').is_some_and(|number| {
            number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit())
        }),
        _ => false,
    }
}

/// Returns whether a comment may begin with the end of one operator and the next, as in `?--`.
pub(super) fn is_unclear_between(operator: &Token, next: &Token) -> bool {
    let is_other =
        |token: &Token| matches!(token, Token::Word(_) | Token::Whitespace(_)) || is_literal(token);
    if is_other(operator) || is_other(next) {
        return false;
    }
    let (operator, next) = (operator.to_string(), next.to_string());
    operator.ends_with('-') && next.starts_with('-')
        || operator.ends_with('/') && next.starts_with('*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Text;

    /// The character that stands for what is within quotes and comments: `Z`, which stands nowhere else, and what may be
    /// taken for their end.
    fn bodies() -> impl Strategy<Value = String> {
        "[Z'\\\\\"$\n/* e→-]{0,8}"
    }

    fn plain(body: &str) -> String {
        format!("'{}'", body.replace('\'', "''"))
    }

    fn escaped(body: &str) -> String {
        format!("E'{}'", body.replace('\\', "\\\\").replace('\'', "\\'"))
    }

    fn numbers() -> impl Strategy<Value = String> {
        let numbers = ["7", "77.7", ".7", "7.", "7e7", "7.7E-7", "7_7", "0x7", "0o77", "0X7_7"];
        prop::sample::select(Vec::from(numbers)).prop_map(str::to_owned)
    }

    /// A literal as the server reads it.
    fn literals() -> impl Strategy<Value = String> {
        let tags = prop::sample::select(&["", "t", "é", "→", "_1"][..]);
        prop_oneof![
            bodies().prop_map(|body| plain(&body)),
            bodies().prop_map(|body| escaped(&body)),
            bodies().prop_map(|body| format!("N{}", plain(&body))),
            bodies().prop_map(|body| format!("U&{}", plain(&body.replace('\\', "\\\\")))),
            (bodies(), bodies()).prop_map(|(a, b)| {
                let goes_on = b.replace('\\', "\\\\").replace('\'', "\\'");
                format!("{}\n'{goes_on}'", escaped(&a))
            }),
            (tags, bodies())
                .prop_map(|(tag, body)| { format!("${tag}${}${tag}$", body.replace('$', "")) }),
            numbers(),
        ]
    }

    fn comments() -> impl Strategy<Value = String> {
        let plain = |body: String| body.replace(['*', '/'], "");
        prop_oneof![
            bodies().prop_map(|body| format!("--{}\n", body.replace('\n', " "))),
            bodies().prop_map(move |body| format!("/*{}*/", plain(body))),
            bodies().prop_map(move |body| format!("/* /*{0}*/ {0}*/", plain(body))),
        ]
    }

    /// A literal or a comment, perhaps right behind an operator.
    fn hidden() -> impl Strategy<Value = String> {
        let operators = [
            "", "", "=", "+", "||", "->>", "@>", "<", "-", "/", "*", "%", "#", "~", "&>", "&<",
            "&<|", "|&>", "|>>", "<<|", "<^", ">^", "~=", "?-|", "?||", "?|", "##", "@@", "-|-",
            "#>>", "#-", "!~~*", "@@@", "<->", "&&", ">>=", "|/", "||/", "@?", "^@", "~<=~", "!",
            "|", "&", "^", "?", "<@", "<>", "!=", "=>", "~~*", "?#", "?-", "?&", "<<=", "*<>",
            "<#>", "<%",
        ];
        let operators = prop::sample::select(Vec::from(operators));
        let all = prop_oneof![literals(), comments()];
        (operators, all).prop_map(|(operator, hidden)| match operator {
            // Of these two a comment would begin with the operator.
            "-" | "/" => format!("{operator} {hidden}"),
            operator => format!("{operator}{hidden}"),
        })
    }

    fn pieces() -> impl Strategy<Value = String> {
        let words = [
            "SELECT",
            "INSERT",
            "FROM",
            "t",
            "\"q'u$o\"",
            "a$b",
            "$1",
            "e",
            "n",
            "AS",
            "WHERE",
            "interval",
            ",",
            "(",
            ")",
            ";",
            ".",
            "[",
            "]",
            "::text",
            "IN",
            "=",
            "-",
            "/",
            "?",
            "PASSWORD",
        ];
        let words = prop::sample::select(Vec::from(words)).prop_map(str::to_owned);
        prop_oneof![words, hidden()]
    }

    proptest! {
        #[test]
        fn nothing_of_a_literal_or_a_comment_is_shown(
            pieces in prop::collection::vec(pieces(), 0..12), cut in 0..200_usize,
        ) {
            let sql = pieces.join(" ");
            let begun: String = sql.chars().take(cut).collect();
            for sql in [sql, begun] {
                let text = Text::read(&sql, 1000);
                for shown in [&text.shown, &text.brief()] {
                    prop_assert!(!shown.contains(['Z', '7']), "{shown} of {sql}");
                }
                prop_assert!(text.tables.iter().all(|table| !table.name.contains(['Z', '7'])));
            }
        }
    }

    #[test]
    fn where_a_literal_ends_for_certain_it_is_shown_as_one() {
        for (sql, shown) in [
            ("SELECT 'a\\b', E'\\'', $$'$$, 0x1F, 0o17 + 1_000", "SELECT ?, ?, ?, ?, ? + ?"),
            ("SELECT 'a\\', 'b'", "SELECT …"),
            ("SELECT E'a'\n'b\\'c'", "SELECT …"),
            ("SELECT a =--secret\n 1 && 2", "SELECT a = ? && ?"),
            ("SELECT a &--secret\n 1", "SELECT …"),
            ("SELECT a @/*secret*/ 1", "SELECT a @ ?"),
            ("SELECT a ->--secret\n 1", "SELECT …"),
            ("SELECT \"a \"\" 'b\" FROM \"c\"\"\"", "SELECT \"a \"\" 'b\" FROM \"c\"\"\""),
            ("SELECT $→$ secret $→$", "SELECT …"),
            ("(SELECT 'secret", "SELECT …"),
            ("/* secret */ 'secret", "…"),
            ("hunter 'secret", "…"),
            ("/* secret", "…"),
            ("SELECT a &>'secret' || 'b'", "SELECT …"),
            ("SELECT a ?--secret\n b", "SELECT …"),
            ("SELECT/**/a", "SELECT a"),
            ("SET app.key = bareword", "SET app.key = ?"),
            (
                "set local app.key to \"bare word\", other;select a",
                "set local app.key to ?;select a",
            ),
            ("BEGIN; SET SESSION app.key=s-e-c; COMMIT", "BEGIN; SET SESSION app.key= ?; COMMIT"),
            ("ALTER ROLE bob SET app.key = bareword", "ALTER ROLE bob SET app.key = ?"),
            ("ALTER DATABASE a SET app.key TO bareword", "ALTER DATABASE a SET app.key TO ?"),
            ("ALTER SYSTEM SET app.key = on", "ALTER SYSTEM SET app.key = ?"),
            (
                "CREATE FUNCTION f() RETURNS int SET app.key = x AS $$a$$ LANGUAGE sql",
                "CREATE FUNCTION f() RETURNS int SET app.key = ?",
            ),
            ("UPDATE t SET a = b WHERE c = d", "UPDATE t SET a = b WHERE c = d"),
            ("SET TRANSACTION READ ONLY", "SET TRANSACTION READ ONLY"),
            ("SET 'secret' TO PASSWORD", "SET … (withheld: it may hold a password)"),
        ] {
            assert_eq!(Text::read(sql, 200).shown, shown, "{sql}");
        }
    }
}
