//! The text of a statement, as `pg_stat_statements` keeps it: how it may be shown, which
//! tables it is about, and by which columns it chooses their rows.
//!
//! Read from its tokens alone, so that no syntax, however new or nested, is too much. What is not
//! understood is left out.

mod conditions;
mod groups;
mod literals;
mod operands;
mod order;
mod shown;
mod tables;
mod words;

use std::collections::BTreeSet;

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

pub use conditions::{Condition, Match};
use literals::{is_unclear, is_unclear_between};
pub use operands::Wrap;
pub use tables::{NamedTable, unqualified};
use words::{is, is_comment, sql_word, without_casts};

/// No more of a text is looked at.
const LONGEST: usize = 20_000;
/// Characters of a text within a sentence.
const BRIEF: usize = 160;
/// Bytes of a list of columns within a sentence.
const COLUMN_LIST: usize = 20;
/// Types that are often written before a literal.
const TYPES: [&str; 6] = ["INTERVAL", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "NUMERIC"];

/// A statement's text: as it may be shown, and what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// In one line, without comments, and with `?` for each literal.
    pub shown: String,
    /// Its kind.
    pub kind: StatementKind,
    /// The tables it names, each once.
    pub tables: Vec<NamedTable>,
    /// Conditions of one of several tables, without saying of which.
    pub loose: Vec<Condition>,
    /// The columns that the rows of its only table are sorted by before some of them are taken.
    pub order: Vec<String>,
    /// True when it is one statement and whole.
    pub single: bool,
    /// The values that it asks for: the number of the last placeholder.
    pub placeholders: usize,
    /// True when some column is compared with a list of values.
    pub by_list: bool,
}

/// A kind of statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatementKind {
    /// Reads rows and changes nothing by itself.
    Select,
    /// Inserts, updates, deletes or merges rows.
    Change,
    /// Anything else.
    #[default]
    Other,
}

impl Text {
    /// Reads a text, of which no more than `length` characters may be shown.
    pub fn read(text: &str, length: usize) -> Self {
        let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
        let (whole, text) = (text.len(), &text[..end]);
        let (tokens, clear) = tokens(text);
        if !clear {
            return Self::unread(&tokens);
        }
        let words: Vec<&Token> =
            tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
        let conditions = conditions::conditions(&words);
        let words = without_casts(&words);
        let mut tables = tables::named(&words);
        let loose = tables::give(&mut tables, conditions.all, |table| &mut table.conditions);
        tables::give(&mut tables, conditions.any, |table| &mut table.alternatives);
        Self {
            shown: shown::shown(&tokens, &words, length),
            kind: kind(&words),
            order: if tables.len() == 1 { order::order(&words) } else { Vec::new() },
            tables,
            loose,
            single: whole == end && is_single(&words),
            placeholders: placeholders(&words),
            by_list: words.iter().any(|token| is(Some(token), &["IN", "ANY"])),
        }
    }

    /// Of a text that is no SQL, or is cut off, only the first word may be shown, if it is one that
    /// SQL knows.
    fn unread(tokens: &[Token]) -> Self {
        let begins = |token: &&Token| !matches!(token, Token::Whitespace(_) | Token::LParen);
        let word = tokens.iter().find(begins).and_then(sql_word);
        let shown = word.map_or("…".to_owned(), |word| format!("{word} …"));
        Self { shown, ..Self::default() }
    }

    /// The beginning of what may be shown; the columns of a long SELECT are left out.
    pub fn brief(&self) -> String {
        let columns = self.shown.strip_prefix("SELECT ").and_then(|rest| rest.split_once(" FROM "));
        let brief = match columns {
            Some((columns, rest)) if columns.len() > COLUMN_LIST => format!("SELECT … FROM {rest}"),
            _ => self.shown.clone(),
        };
        match brief.char_indices().nth(BRIEF) {
            Some((at, _)) => format!("{}…", &brief[..at]),
            None => brief,
        }
    }

    /// The part that is about a table, by the name that the server gives it.
    pub fn table(&self, title: &str) -> Option<&NamedTable> {
        let name = unqualified(title);
        self.tables.iter().find(|table| table.name == name)
    }

    /// The conditions of a table that has these columns.
    pub fn conditions<'a>(
        &'a self,
        table: &'a NamedTable,
        has: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Condition> {
        let all = table.conditions.iter().chain(&self.loose);
        all.filter(move |condition| has(&condition.column))
    }
}

/// The tokens, a space for each comment, and whether they are all of the text and surely its own.
fn tokens(text: &str) -> (Vec<Token>, bool) {
    let mut all = Vec::new();
    // A quote within quotes stays written twice: it is shown as it was.
    let mut tokenizer = Tokenizer::new(&PostgreSqlDialect {}, text).with_unescape(false);
    let whole = tokenizer.tokenize_with_location_into_buf(&mut all);
    let tokens = all.into_iter().map(|located| located.token);
    let space = || Token::Whitespace(Whitespace::Space);
    let tokens: Vec<Token> =
        tokens.map(|token| if is_comment(&token) { space() } else { token }).collect();
    let between = |pair: &[Token]| is_unclear_between(&pair[0], &pair[1]);
    let unclear = tokens.iter().any(is_unclear) || tokens.windows(2).any(between);
    let clear = whole.is_ok() && !unclear;
    (tokens, clear)
}

/// Every name in a text, of whatever kind, in lower case; `None` when some cannot be recognised.
pub fn names(text: &str) -> Option<BTreeSet<String>> {
    let (tokens, clear) = tokens(text);
    let escaped = text.to_ascii_lowercase().contains("u&\"");
    let name = |token: &Token| match token {
        Token::Word(word) => Some(word.value.replace("\"\"", "\"").to_lowercase()),
        _ => None,
    };
    (clear && !escaped).then(|| tokens.iter().filter_map(name).collect())
}

/// The same statement where a literal with its type before it, such as `interval '1 day'`, has
/// become `interval $1`, which stands nowhere: with a cast instead.
pub fn plannable(sql: &str) -> String {
    let dialect = PostgreSqlDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, sql).with_unescape(false).tokenize() else {
        return sql.to_owned();
    };
    let mut written = String::with_capacity(sql.len());
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.next() {
        let is_type = is(Some(&token), &TYPES);
        let gap = is_type && matches!(rest.peek(), Some(Token::Whitespace(_)));
        let after = if gap { rest.clone().nth(1) } else { rest.peek().copied() };
        if let (true, Some(value @ Token::Placeholder(_))) = (is_type, after) {
            written.extend([value.to_string(), "::".to_owned(), token.to_string()]);
            rest.nth(usize::from(gap));
        } else {
            written.push_str(&token.to_string());
        }
    }
    written
}

fn kind(words: &[&Token]) -> StatementKind {
    const CHANGES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];
    let first = words.iter().find(|token| ***token != Token::LParen);
    if is(first, &CHANGES) {
        return StatementKind::Change;
    }
    if !is(first, &["SELECT", "WITH", "TABLE", "VALUES"]) {
        return StatementKind::Other;
    }
    // `FOR UPDATE` changes nothing, `SELECT … INTO` makes a table.
    let locks = |at: usize| at > 0 && is(words.get(at - 1), &["FOR", "KEY"]);
    let changes = |at: usize| is(words.get(at), &CHANGES) && !locks(at);
    if (0..words.len()).any(changes) {
        StatementKind::Change
    } else if words.iter().any(|token| is(Some(token), &["INTO"])) {
        StatementKind::Other
    } else {
        StatementKind::Select
    }
}

/// Nothing but the end may follow a semicolon.
fn is_single(words: &[&Token]) -> bool {
    let end = words.iter().position(|token| **token == Token::SemiColon);
    end.is_none_or(|end| words[end..].iter().all(|token| **token == Token::SemiColon))
}

fn placeholders(words: &[&Token]) -> usize {
    let numbers = words.iter().filter_map(|token| match token {
        Token::Placeholder(text) => text.strip_prefix('$')?.parse().ok(),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Text {
        Text::read(sql, 200)
    }

    #[test]
    fn no_literal_is_shown() {
        let text =
            read("/* token */ SELECT 'a''b', 3.5, E'\\'x', $$y$$ -- z\n  FROM t WHERE id = $1");
        assert_eq!(text.shown, "SELECT ?, ?, ?, ? FROM t WHERE id = $1");
        let cut = read("SELECT 'never ends");
        assert_eq!((cut.shown.as_str(), cut.kind), ("SELECT …", StatementKind::Other));
        assert_eq!(Text::read("SELECT a FROM b", 9).shown, "SELECT a…");
        let long = format!("SELECT {} FROM t", ["t.column"; 9].join(", "));
        assert_eq!(read(&long).brief(), "SELECT … FROM t");
    }

    #[test]
    fn what_may_hold_a_password_is_withheld() {
        for sql in [
            "ALTER ROLE a PASSWORD 'x'",
            "create user b with encrypted password $$x$$",
            "CREATE SUBSCRIPTION s CONNECTION 'password=x' PUBLICATION p",
            "CREATE USER MAPPING FOR c SERVER d OPTIONS (user 'u', password 'x')",
        ] {
            let shown = read(sql).shown;
            assert!(shown.contains("withheld") && !shown.contains('x'), "{shown}");
        }
        assert_eq!(read("SELECT password FROM t").shown, "SELECT password FROM t");
    }

    #[test]
    fn what_it_does_is_known_by_its_words() {
        for (sql, kind) in [
            ("(select 1)", StatementKind::Select),
            ("WITH a AS (SELECT 1) SELECT * FROM a FOR NO KEY UPDATE", StatementKind::Select),
            ("WITH a AS (DELETE FROM t RETURNING id) SELECT * FROM a", StatementKind::Change),
            ("SELECT * INTO t FROM u", StatementKind::Other),
            ("UPDATE t SET a = $1", StatementKind::Change),
            ("VACUUM t", StatementKind::Other),
        ] {
            assert_eq!(read(sql).kind, kind, "{sql}");
        }
    }

    #[test]
    fn several_statements_are_not_one() {
        let single = |sql: &str| (read(sql).single, read(sql).placeholders);
        assert_eq!(single("SELECT ';', $3, $1; "), (true, 3));
        assert_eq!(single("SELECT 1; DROP TABLE t"), (false, 0));
        assert_eq!(single(&format!("SELECT {}", "1,".repeat(LONGEST))), (false, 0), "cut off");
    }

    #[test]
    fn a_typed_literal_becomes_a_cast() {
        let sql = "SELECT date, \"interval\" FROM t WHERE at > now() - interval $1 AND d = date $2";
        let written = plannable(sql);
        assert!(written.ends_with("at > now() - $1::interval AND d = $2::date"), "{written}");
        assert!(written.starts_with("SELECT date, \"interval\" FROM t WHERE "), "{written}");
        assert_eq!(plannable("SELECT 'open"), "SELECT 'open");
    }

    #[test]
    fn a_long_text_has_no_more_tables_and_conditions_than_are_looked_through() {
        let many = |begin: &str, each: fn(usize) -> String| {
            let all = (0..).map(each).take(LONGEST / 10).collect::<String>();
            format!("{begin}{all}").chars().take(LONGEST).collect::<String>()
        };
        let counts = |sql: &str| {
            let tables = read(sql).tables;
            let conditions = tables.iter().map(|table| table.conditions.len());
            (tables.len(), conditions.max().unwrap_or_default())
        };
        let most = 100;
        for (begin, each, expected) in [
            ("SELECT FROM a", (|n| format!(",t{n}")) as fn(usize) -> String, (most, 0)),
            ("SELECT FROM a", |n| format!(" JOIN t{n}"), (most, 0)),
            ("SELECT FROM t WHERE a", |n| format!("=$1 AND c{n}"), (1, most)),
            ("SELECT FROM t WHERE a", |n| format!(">$1 AND c{n}"), (1, most)),
            ("SELECT FROM t", |_| ",from".to_owned(), (2, 0)),
            ("SELECT FROM t", |_| ".from".to_owned(), (1, 0)),
            ("SELECT FROM t, f(), f(", |_| " FROM f(), ".to_owned(), (1, 0)),
            ("SELECT a", |_| "::t((".to_owned(), (0, 0)),
        ] {
            assert_eq!(counts(&many(begin, each)), expected, "{begin}{}…", each(0));
        }
    }

    #[test]
    fn junk_harms_nothing() {
        for sql in
            ["", "(", "FROM", "FROM a.", "WHERE = $1", "\0", "é$", "SELECT * FROM t,", "= $1"]
        {
            read(sql);
        }
    }
}
