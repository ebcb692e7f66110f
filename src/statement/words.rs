//! The tokens of a statement, and what they stand for.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

/// Without `::type`, which drivers write after each placeholder.
pub(super) fn without_casts<'a>(words: &[&'a Token]) -> Vec<&'a Token> {
    let (mut kept, mut at) = (Vec::with_capacity(words.len()), 0);
    let closes = |token: &&&Token| matches!(**token, Token::RParen | Token::RBracket);
    let last_closes = words.iter().rposition(|token| closes(&token));
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
            // What is never closed is not searched for again and again.
            let rest = &words[at..last_closes.map_or(at, |last| (last + 1).max(at))];
            let length = rest.iter().position(|token| closes(&token));
            at += length.map_or(1, |length| length + 1);
        }
        if is(words.get(at), &["WITH", "WITHOUT"]) && is(words.get(at + 1), &["TIME"]) {
            at += 3;
        }
    }
    kept
}

pub(super) fn is_comment(token: &Token) -> bool {
    use sqlparser::tokenizer::Whitespace::{MultiLineComment, SingleLineComment};
    matches!(token, Token::Whitespace(SingleLineComment { .. } | MultiLineComment(_)))
}

/// An unquoted word in capitals.
pub(super) fn keyword(token: &Token) -> Option<String> {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_ascii_uppercase()),
        _ => None,
    }
}

/// A word as it stands there, if it is one that SQL knows.
pub(super) fn sql_word(token: &Token) -> Option<&str> {
    match token {
        Token::Word(Word { value, keyword, .. }) if *keyword != Keyword::NoKeyword => Some(value),
        _ => None,
    }
}

pub(super) fn is(token: Option<&&Token>, words: &[&str]) -> bool {
    token.and_then(|token| keyword(token)).is_some_and(|word| words.contains(&word.as_str()))
}

/// A name as the server keeps it: in small letters unless quoted.
pub(super) fn name(token: &Token) -> Option<String> {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_lowercase()),
        Token::Word(Word { value, quote_style: Some('"'), .. }) => {
            Some(value.replace("\"\"", "\""))
        }
        _ => None,
    }
}
