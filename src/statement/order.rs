//! The order in which a statement wants the first rows of a table.

use sqlparser::tokenizer::Token;

use super::words::{is, name};

/// The columns of the ORDER BY of a statement that takes some of the rows: of a plain one that an
/// index can serve, forwards or backwards.
pub(super) fn order(words: &[&Token]) -> Vec<String> {
    let any = |list: &[&str]| words.iter().any(|token| is(Some(token), list));
    if !any(&["LIMIT", "FETCH"]) || any(&["GROUP", "DISTINCT", "UNION", "OVER", "JOIN"]) {
        return Vec::new();
    }
    let mut places = (1..words.len())
        .filter(|at| is(words.get(at - 1), &["ORDER"]) && is(words.get(*at), &["BY"]));
    match (places.next(), places.next()) {
        (Some(at), None) => columns(words, at + 1).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The columns that are listed from this place on, when all are sorted in the same direction.
fn columns(words: &[&Token], mut at: usize) -> Option<Vec<String>> {
    let (mut found, mut descending) = (Vec::new(), None);
    loop {
        let mut column = name(words.get(at)?)?;
        at += 1;
        while words.get(at) == Some(&&Token::Period) {
            column = name(words.get(at + 1)?)?;
            at += 2;
        }
        let is_descending = is(words.get(at), &["DESC"]);
        at += usize::from(is_descending || is(words.get(at), &["ASC"]));
        if *descending.get_or_insert(is_descending) != is_descending {
            return None;
        }
        found.push(column);
        match words.get(at) {
            Some(Token::Comma) => at += 1,
            token if is(token, &["LIMIT", "OFFSET", "FETCH"]) => return Some(found),
            _ => return None,
        }
    }
}
