//! How a statement may be shown.

use sqlparser::tokenizer::Token;

use super::words::keyword;
use super::{Kind, kind};

/// The statement in one line. Where it may hold a password it is withheld: a literal could hide
/// in it in more ways than there are quotes.
pub(super) fn shown(tokens: &[Token], words: &[&Token], length: usize) -> String {
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
