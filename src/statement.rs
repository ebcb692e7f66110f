//! What the text of a statement says, as `pg_stat_statements` keeps it: how it may be shown, which
//! tables it is about, and by which columns it chooses their rows.
//!
//! Read from its tokens alone, so that no syntax, however new or nested, is too much. What is not
//! understood is left out.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

/// No more of a text is looked at.
const LONGEST: usize = 20_000;
/// Characters of a text within a sentence.
const BRIEF: usize = 160;
/// Bytes of a list of columns within a sentence.
const COLUMN_LIST: usize = 20;
/// Columns of an index that is suggested, at most.
const COLUMNS: usize = 4;
/// What comes before a comparison that rows are chosen by.
const BEFORE: [&str; 4] = ["WHERE", "AND", "ON", "HAVING"];
/// What follows a table and is not its alias.
const AFTER_TABLE: [&str; 30] = [
    "WHERE",
    "JOIN",
    "LEFT",
    "RIGHT",
    "INNER",
    "CROSS",
    "FULL",
    "ON",
    "GROUP",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "UNION",
    "SET",
    "USING",
    "FOR",
    "NATURAL",
    "HAVING",
    "WINDOW",
    "RETURNING",
    "VALUES",
    "FETCH",
    "EXCEPT",
    "INTERSECT",
    "SELECT",
    "DEFAULT",
    "OVERRIDING",
    "WHEN",
    "TABLESAMPLE",
    "AS",
];
/// Types that are often written before a literal.
const TYPES: [&str; 6] = ["INTERVAL", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME", "NUMERIC"];
/// Functions with a FROM of their own.
const WITH_FROM: [&str; 5] = ["EXTRACT", "SUBSTRING", "TRIM", "OVERLAY", "POSITION"];

/// A statement's text: as it may be shown, and what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// In one line, without comments, and with `?` for each literal.
    pub shown: String,
    /// What it does.
    pub kind: Kind,
    /// The tables it names, each once.
    pub tables: Vec<Table>,
    /// Whether it is one statement and whole.
    pub single: bool,
    /// The values that it asks for: the number of the last placeholder.
    pub placeholders: usize,
    /// Whether some column is compared with a list of values.
    pub by_list: bool,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Reads rows and changes nothing by itself.
    Select,
    /// Inserts, updates, deletes or merges rows.
    Change,
    /// Anything else.
    #[default]
    Other,
}

/// A table in a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name, without schema and quotes.
    pub name: String,
    /// What the statement calls it.
    alias: String,
    /// Columns that must equal a value.
    pub equal: Vec<String>,
    /// Columns that must lie above or below a value.
    pub ranged: Vec<String>,
}

impl Text {
    /// Reads a text, of which no more than `length` characters may be shown.
    pub fn read(text: &str, length: usize) -> Self {
        let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
        let (whole, text) = (text.len(), &text[..end]);
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize();
        let Ok(tokens) = tokens else { return Self::unread(text) };
        let tokens: Vec<Token> = tokens.into_iter().filter(|token| !is_comment(token)).collect();
        let words: Vec<&Token> =
            tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
        let words = without_casts(&words);
        Self {
            shown: shown(&tokens, &words, length),
            kind: kind(&words),
            tables: tables(&words),
            single: whole == end && is_single(&words),
            placeholders: placeholders(&words),
            by_list: words.iter().any(|token| is(Some(token), &["IN", "ANY"])),
        }
    }

    /// Of a text that is no SQL, or is cut off, only the first word may be shown.
    fn unread(text: &str) -> Self {
        let word = text.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty());
        Self { shown: format!("{} …", word.unwrap_or_default()), ..Self::default() }
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

    /// What it says of a table, by the name that the server gives it.
    pub fn table(&self, title: &str) -> Option<&Table> {
        let name = unqualified(title);
        self.tables.iter().find(|table| table.name == name)
    }
}

impl Table {
    /// The columns of an index that would find its rows: those that equal a value, then one that
    /// is above or below one. Empty when its rows are chosen by nothing that an index can help.
    pub fn key(&self) -> Vec<&str> {
        let ranged = self.ranged.iter().find(|column| !self.equal.contains(column));
        let all = self.equal.iter().take(COLUMNS - 1).chain(ranged);
        all.map(String::as_str).collect()
    }

    /// The same as it is written in CREATE INDEX, where all are among the table's columns, which
    /// are quoted where they must be.
    pub fn index_on(&self, columns: &[String]) -> Option<String> {
        let written = |column: &str| columns.iter().find(|known| known.trim_matches('"') == column);
        let key: Option<Vec<_>> = self.key().into_iter().map(written).collect();
        let key = key.filter(|key| !key.is_empty())?;
        Some(key.into_iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
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

/// A table's name as the server gives it, without schema and quotes.
pub fn unqualified(title: &str) -> &str {
    title.rsplit('.').next().unwrap_or(title).trim_matches('"')
}

/// Without `::type`, which drivers write after each placeholder.
fn without_casts<'a>(words: &[&'a Token]) -> Vec<&'a Token> {
    let (mut kept, mut at) = (Vec::with_capacity(words.len()), 0);
    while at < words.len() {
        if *words[at] != Token::DoubleColon {
            kept.push(words[at]);
            at += 1;
            continue;
        }
        at += 2;
        while words.get(at) == Some(&&Token::Period) {
            at += 2;
        }
        let bracket = |at: usize| matches!(words.get(at), Some(Token::LParen | Token::LBracket));
        while bracket(at) {
            let closes = |token: &&&Token| matches!(**token, Token::RParen | Token::RBracket);
            let length = words[at..].iter().position(|token| closes(&token));
            at += length.map_or(1, |length| length + 1);
        }
        if is(words.get(at), &["WITH", "WITHOUT"]) && is(words.get(at + 1), &["TIME"]) {
            at += 3;
        }
    }
    kept
}

fn is_comment(token: &Token) -> bool {
    use sqlparser::tokenizer::Whitespace::{MultiLineComment, SingleLineComment};
    matches!(token, Token::Whitespace(SingleLineComment { .. } | MultiLineComment(_)))
}

/// The statement in one line. Where it may hold a password it is withheld: a literal could hide
/// in it in more ways than there are quotes.
fn shown(tokens: &[Token], words: &[&Token], length: usize) -> String {
    let secret = |token: &&&Token| keyword(token).is_some_and(|word| is_secret(&word));
    if kind(words) == Kind::Other && words.iter().any(|token| secret(&token)) {
        let first = words.iter().take(2).map(ToString::to_string).collect::<Vec<_>>();
        return format!("{} … (withheld: it may hold a password)", first.join(" "));
    }
    let mut line = String::new();
    for token in tokens {
        match token {
            Token::Whitespace(_) if line.is_empty() || line.ends_with(' ') => {}
            Token::Whitespace(_) => line.push(' '),
            token if is_literal(token) => line.push('?'),
            token => line.push_str(&token.to_string()),
        }
        if line.len() > 4 * length {
            break;
        }
    }
    let line = line.trim_end();
    if line.chars().nth(length).is_none() {
        return line.to_owned();
    }
    line.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}

fn is_secret(word: &str) -> bool {
    ["PASSWORD", "CONNECTION", "OPTIONS", "IDENTIFIED"].contains(&word)
        || word.contains("SECRET")
        || word.contains("PASSWORD")
}

fn is_literal(token: &Token) -> bool {
    !matches!(
        token,
        Token::Word(_)
            | Token::Placeholder(_)
            | Token::Comma
            | Token::Period
            | Token::LParen
            | Token::RParen
            | Token::LBracket
            | Token::RBracket
            | Token::SemiColon
    ) && (is_operand(token))
}

/// Numbers and every way to quote a text.
fn is_operand(token: &Token) -> bool {
    let text = token.to_string();
    let quoted = text.contains('\'') || text.starts_with('$');
    matches!(token, Token::Number(..)) || quoted
}

/// An unquoted word in capitals.
fn keyword(token: &Token) -> Option<String> {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_ascii_uppercase()),
        _ => None,
    }
}

fn is(token: Option<&&Token>, words: &[&str]) -> bool {
    token.and_then(|token| keyword(token)).is_some_and(|word| words.contains(&word.as_str()))
}

/// A name as the server keeps it: in small letters unless quoted.
fn name(token: &Token) -> Option<String> {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_lowercase()),
        Token::Word(Word { value, quote_style: Some('"'), .. }) => Some(value.clone()),
        _ => None,
    }
}

fn kind(words: &[&Token]) -> Kind {
    const CHANGES: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];
    let first = words.iter().find(|token| ***token != Token::LParen);
    if is(first, &CHANGES) {
        return Kind::Change;
    }
    if !is(first, &["SELECT", "WITH", "TABLE", "VALUES"]) {
        return Kind::Other;
    }
    // `FOR UPDATE` changes nothing, `SELECT … INTO` makes a table.
    let locks = |at: usize| at > 0 && is(words.get(at - 1), &["FOR", "KEY"]);
    let changes = |at: usize| is(words.get(at), &CHANGES) && !locks(at);
    if (0..words.len()).any(changes) {
        Kind::Change
    } else if words.iter().any(|token| is(Some(token), &["INTO"])) {
        Kind::Other
    } else {
        Kind::Select
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

/// The tables with the columns they are compared by.
fn tables(words: &[&Token]) -> Vec<Table> {
    let mut tables = named(words);
    // Of what is only one way among others no index follows.
    if words.iter().any(|token| is(Some(token), &["OR"])) {
        return tables;
    }
    for at in 0..words.len() {
        let Some((column, range)) = compared(words, at) else { continue };
        let Some(table) = owner(&mut tables, &column) else { continue };
        let columns = if range { &mut table.ranged } else { &mut table.equal };
        if !columns.contains(&column.1) {
            columns.push(column.1);
        }
    }
    tables
}

/// Every table named after FROM, JOIN, UPDATE or INTO.
fn named(words: &[&Token]) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    let mut open: Vec<bool> = Vec::new();
    for (at, token) in words.iter().enumerate() {
        match token {
            Token::LParen => open.push(at > 0 && is(words.get(at - 1), &WITH_FROM)),
            Token::RParen => {
                open.pop();
            }
            _ => {}
        }
        let own = is(Some(token), &["FROM"]) && !open.last().copied().unwrap_or(false);
        let from = own && !(at > 0 && is(words.get(at - 1), &["DISTINCT"]));
        let locks = at > 0 && is(words.get(at - 1), &["FOR", "KEY"]);
        if from || is(Some(token), &["JOIN", "UPDATE", "INTO", "USING"]) && !locks {
            for table in listed(words, at + 1) {
                if !found.iter().any(|known| known.alias == table.alias) {
                    found.push(table);
                }
            }
        }
    }
    found
}

/// The tables from here on, by comma.
fn listed(words: &[&Token], mut at: usize) -> Vec<Table> {
    let mut found = Vec::new();
    loop {
        if is(words.get(at), &["ONLY", "LATERAL"]) {
            at += 1;
        }
        let Some(mut last) = words.get(at).and_then(|token| name(token)) else { return found };
        if is(words.get(at), &AFTER_TABLE) {
            return found;
        }
        at += 1;
        while words.get(at) == Some(&&Token::Period) {
            let Some(next) = words.get(at + 1).and_then(|token| name(token)) else { return found };
            last = next;
            at += 2;
        }
        if words.get(at) == Some(&&Token::LParen) && !is(words.get(at + 1), &["SELECT"]) {
            // A function; or the columns of an INSERT, after which no other table is listed.
            if !found.is_empty() || !words[..at].iter().any(|token| is(Some(token), &["INTO"])) {
                return found;
            }
        }
        if is(words.get(at), &["AS"]) {
            at += 1;
        }
        let alias = words.get(at).filter(|_| !is(words.get(at), &AFTER_TABLE));
        let alias = alias.and_then(|token| name(token));
        at += usize::from(alias.is_some());
        let table =
            Table { alias: alias.unwrap_or_else(|| last.clone()), name: last, ..Table::default() };
        found.push(table);
        if words.get(at) != Some(&&Token::Comma) {
            return found;
        }
        at += 1;
    }
}

/// The column, with what stands before its dot, that is compared with a value by the operator
/// here; whether that is a range.
fn compared(words: &[&Token], at: usize) -> Option<((Option<String>, String), bool)> {
    let range = match words[at] {
        Token::Eq => false,
        Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => true,
        token if is(Some(&token), &["BETWEEN"]) => true,
        token if is(Some(&token), &["IN"]) => false,
        _ => return None,
    };
    let (column, begins) =
        column_before(words, at).filter(|_| is_value(words, at + 1, range)).or_else(|| {
            // `$1 = column`, as SQLAlchemy has it.
            let value = at.checked_sub(1)?;
            let is_placeholder = matches!(words[value], Token::Placeholder(_));
            let (column, ends) = column_at(words, at + 1)?;
            let ended =
                !matches!(words.get(ends), Some(Token::LParen | Token::Plus | Token::Minus));
            (is_placeholder && ended).then_some((column, value))
        })?;
    let before = words.get(begins.checked_sub(1)?);
    let chosen_by = is(before, &BEFORE) || before == Some(&&Token::LParen);
    chosen_by.then_some((column, range))
}

type Column = (Option<String>, String);

fn column_before(words: &[&Token], at: usize) -> Option<(Column, usize)> {
    let column = name(words.get(at.checked_sub(1)?)?)?;
    if at >= 3 && words[at - 2] == &Token::Period {
        return Some(((Some(name(words[at - 3])?), column), at - 3));
    }
    Some(((None, column), at - 1))
}

fn column_at(words: &[&Token], at: usize) -> Option<(Column, usize)> {
    let first = name(words.get(at)?)?;
    if words.get(at + 1) == Some(&&Token::Period) {
        return Some(((Some(first), name(words.get(at + 2)?)?), at + 3));
    }
    Some(((None, first), at + 1))
}

/// Whether a value stands here: a placeholder, a list of them, or for a range a function such as
/// `now()`.
fn is_value(words: &[&Token], at: usize, range: bool) -> bool {
    let placeholder = |at: usize| matches!(words.get(at), Some(Token::Placeholder(_)));
    let opens = |at: usize| words.get(at) == Some(&&Token::LParen);
    let any = is(words.get(at), &["ANY"]) && opens(at + 1) && placeholder(at + 2);
    let function = range && words.get(at).is_some_and(|t| name(t).is_some()) && opens(at + 1);
    placeholder(at) || opens(at) && placeholder(at + 1) || any || function
}

fn owner<'a>(tables: &'a mut [Table], (qualifier, _): &Column) -> Option<&'a mut Table> {
    match qualifier {
        Some(qualifier) => tables.iter_mut().find(|table| table.alias == *qualifier),
        None if tables.len() == 1 => tables.first_mut(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Text {
        Text::read(sql, 200)
    }

    fn keys(sql: &str) -> Vec<(String, Vec<String>)> {
        let key = |table: &Table| table.key().iter().map(ToString::to_string).collect();
        read(sql).tables.iter().map(|table| (table.name.clone(), key(table))).collect()
    }

    fn key(sql: &str) -> String {
        let keys = keys(sql);
        assert_eq!(keys.len(), 1, "{keys:?}");
        format!("{} ({})", keys[0].0, keys[0].1.join(", "))
    }

    #[test]
    fn no_literal_is_shown() {
        let text =
            read("/* token */ SELECT 'a''b', 3.5, E'\\'x', $$y$$ -- z\n  FROM t WHERE id = $1");
        assert_eq!(text.shown, "SELECT ?, ?, ?, ? FROM t WHERE id = $1");
        let cut = read("SELECT 'never ends");
        assert_eq!((cut.shown.as_str(), cut.kind), ("SELECT …", Kind::Other));
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
            ("(select 1)", Kind::Select),
            ("WITH a AS (SELECT 1) SELECT * FROM a FOR NO KEY UPDATE", Kind::Select),
            ("WITH a AS (DELETE FROM t RETURNING id) SELECT * FROM a", Kind::Change),
            ("SELECT * INTO t FROM u", Kind::Other),
            ("UPDATE t SET a = $1", Kind::Change),
            ("VACUUM t", Kind::Other),
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
    fn the_columns_that_rows_are_chosen_by_are_an_index() {
        for (sql, expected) in [
            ("SELECT * FROM t WHERE b >= $1 AND a = $2", "t (a, b)"),
            ("SELECT * FROM public.\"T\" x WHERE x.a IN ($1, $2) AND x.b < now() - $3", "T (a, b)"),
            (
                "SELECT * FROM t WHERE $1::INTEGER = t.a AND b = $2::pg_catalog.varchar(9)",
                "t (a, b)",
            ),
            (
                "SELECT * FROM t WHERE a = ANY ($1::int[]) AND b > $2::TIMESTAMP WITH TIME ZONE",
                "t (a, b)",
            ),
            ("DELETE FROM t WHERE a = ANY ($1)", "t (a)"),
            ("UPDATE t SET b = $1 WHERE a = $2", "t (a)"),
            ("SELECT * FROM t WHERE a BETWEEN $1 AND $2 AND b BETWEEN $3 AND $4", "t (a)"),
            ("SELECT extract(epoch FROM c) FROM t WHERE (a = $1)", "t (a)"),
            ("INSERT INTO t (a, b) VALUES ($1, $2)", "t ()"),
        ] {
            assert_eq!(key(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_no_plain_index_serves_suggests_none() {
        for sql in [
            "SELECT * FROM t WHERE a = $1 OR b = $2",
            "SELECT * FROM t WHERE lower(a) = $1",
            "SELECT * FROM t WHERE a + b = $1",
            "SELECT * FROM t WHERE a <> $1 AND b LIKE $2",
            "SELECT a = $1 FROM t",
            "SELECT * FROM t WHERE a = b",
        ] {
            assert_eq!(key(sql), "t ()", "{sql}");
        }
    }

    #[test]
    fn every_table_has_its_own_columns() {
        let sql = "SELECT * FROM a, b AS bb LEFT JOIN s.c ON c.id = bb.c_id
                   WHERE a.x = $1 AND bb.y > $2 AND z = $3";
        let expected = [("a", vec!["x"]), ("b", vec!["y"]), ("c", vec![])];
        let expected = expected.map(|(table, columns)| {
            (table.to_owned(), columns.into_iter().map(str::to_owned).collect::<Vec<_>>())
        });
        assert_eq!(keys(sql), expected);
        assert!(read(sql).table("s.c").is_some() && read(sql).table("bb").is_none());
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
