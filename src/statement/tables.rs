//! The tables of a statement, and the columns that their rows are chosen by.

use sqlparser::tokenizer::Token;

use super::conditions::{Condition, OfTable};
use super::words::{is, name};

/// Tables of a statement, at most: whoever writes a statement decides how many it names, and each
/// is looked up among the others.
const MOST: usize = 100;
/// The parts of a table's name, at most: its database, its schema and itself.
const PARTS: usize = 3;
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
pub struct NamedTable {
    /// Its name, without schema and quotes.
    pub name: String,
    /// The name that the statement gives it.
    alias: String,
    /// The conditions that all chosen rows meet.
    pub conditions: Vec<Condition>,
    /// Those of which chosen rows meet one.
    pub alternatives: Vec<Condition>,
}

/// A table's name as the server gives it, without schema and quotes.
pub fn unqualified(title: &str) -> &str {
    title.rsplit('.').next().unwrap_or(title).trim_matches('"')
}

/// Every table named after FROM, JOIN, UPDATE or INTO.
pub(super) fn named(words: &[&Token]) -> Vec<NamedTable> {
    let mut found: Vec<NamedTable> = Vec::new();
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
fn listed(words: &[&Token], mut at: usize, into: usize) -> Vec<NamedTable> {
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
        let table = NamedTable {
            alias: alias.unwrap_or_else(|| last.clone()),
            name: last,
            ..NamedTable::default()
        };
        found.push(table);
        if words.get(at) != Some(&&Token::Comma) {
            return found;
        }
        at += 1;
    }
    found
}

/// Gives conditions to the tables that they name; returns those that name none.
pub(super) fn give(
    tables: &mut [NamedTable],
    conditions: Vec<OfTable>,
    place: impl Fn(&mut NamedTable) -> &mut Vec<Condition>,
) -> Vec<Condition> {
    let mut loose = Vec::new();
    for (qualifier, condition) in conditions {
        let owner = match &qualifier {
            Some(qualifier) => tables.iter_mut().find(|table| table.alias == *qualifier),
            None if tables.len() == 1 => tables.first_mut(),
            None => {
                loose.push(condition);
                continue;
            }
        };
        let Some(owned) = owner.map(&place) else { continue };
        if !owned.contains(&condition) {
            owned.push(condition);
        }
    }
    loose
}
