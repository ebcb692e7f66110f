//! The tables of a statement, and the columns that their rows are chosen by.

use sqlparser::tokenizer::Token;

use super::words::{is, name};

/// Columns of an index that is suggested, at most.
const COLUMNS: usize = 4;
/// Tables of a statement, and columns of a table, at most: whoever writes a statement decides how
/// many it names, and each is looked up among the others.
const MOST: usize = 100;
/// The parts of a table's name, at most: its database, its schema and itself.
const PARTS: usize = 3;
/// The words before a comparison that rows are chosen by.
const BEFORE: [&str; 4] = ["WHERE", "AND", "ON", "HAVING"];
/// The words that follow a table and are not its alias.
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
/// Functions with a FROM of their own.
const WITH_FROM: [&str; 5] = ["EXTRACT", "SUBSTRING", "TRIM", "OVERLAY", "POSITION"];

/// A table in a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name, without schema and quotes.
    pub name: String,
    /// The name that the statement gives it.
    alias: String,
    /// Columns that must equal a value.
    pub equal: Vec<String>,
    /// Columns that must lie above or below a value.
    pub ranged: Vec<String>,
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
        let written = |column: &str| columns.iter().find(|one| one.trim_matches('"') == column);
        let key: Option<Vec<_>> = self.key().into_iter().map(written).collect();
        let key = key.filter(|key| !key.is_empty())?;
        Some(key.into_iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// A table's name as the server gives it, without schema and quotes.
pub fn unqualified(title: &str) -> &str {
    title.rsplit('.').next().unwrap_or(title).trim_matches('"')
}

/// The tables with the columns they are compared by.
pub(super) fn tables(words: &[&Token]) -> Vec<Table> {
    let mut tables = named(words);
    // Of what is only one way among others no index follows.
    if words.iter().any(|token| is(Some(token), &["OR"])) {
        return tables;
    }
    for at in 0..words.len() {
        let Some((column, range)) = compared(words, at) else { continue };
        let Some(table) = owner(&mut tables, &column) else { continue };
        let columns = if range { &mut table.ranged } else { &mut table.equal };
        if columns.len() < MOST && !columns.contains(&column.1) {
            columns.push(column.1);
        }
    }
    tables
}

/// Every table named after FROM, JOIN, UPDATE or INTO.
fn named(words: &[&Token]) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    let mut open: Vec<bool> = Vec::new();
    let into = words.iter().position(|token| is(Some(token), &["INTO"])).unwrap_or(words.len());
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
            for table in listed(words, at + 1, into) {
                if found.len() < MOST && !found.iter().any(|other| other.alias == table.alias) {
                    found.push(table);
                }
            }
        }
    }
    found
}

/// The tables from this word on, by comma. The first INTO is at the place `into`.
fn listed(words: &[&Token], mut at: usize, into: usize) -> Vec<Table> {
    let mut found = Vec::new();
    while found.len() < MOST {
        if is(words.get(at), &["ONLY", "LATERAL"]) {
            at += 1;
        }
        let Some(mut last) = words.get(at).and_then(|token| name(token)) else { return found };
        if is(words.get(at), &AFTER_TABLE) {
            return found;
        }
        at += 1;
        for _ in 1..PARTS {
            if words.get(at) != Some(&&Token::Period) {
                break;
            }
            let Some(next) = words.get(at + 1).and_then(|token| name(token)) else { return found };
            last = next;
            at += 2;
        }
        if words.get(at) == Some(&&Token::LParen) && !is(words.get(at + 1), &["SELECT"]) {
            // A function; or the columns of an INSERT, after which no other table is listed.
            if !found.is_empty() || into >= at {
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
    found
}

/// The column, with the qualifier before its dot, that is compared with a value by the operator
/// at this place, and whether that is a range.
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

/// Returns whether a value stands at this place: a placeholder, a list of them, or for a range a
/// function such as `now()`.
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
