//! How a statement may be shown.

use sqlparser::tokenizer::Token;

use super::literals::is_literal;
use super::words::{keyword, of_sql};
use super::{Kind, kind};

/// The statement in one line. Where it may hold a password it is withheld: a literal could hide
/// in it in more ways than there are quotes.
pub(super) fn shown(tokens: &[Token], words: &[&Token], length: usize) -> String {
    let secret = |token: &&&Token| keyword(token).is_some_and(|word| is_secret(&word));
    if kind(words) == Kind::Other && words.iter().any(|token| secret(&token)) {
        let first = words.iter().take(2).map_while(|token| of_sql(token)).collect::<Vec<_>>();
        return format!("{} … (withheld: it may hold a password)", first.join(" "));
    }
    let mut line = String::new();
    let mut number = false;
    for token in tokens {
        // `0o17` is a number, whatever it is taken for: what stands right behind one belongs to it.
        let rest = number && matches!(token, Token::Word(_) | Token::Number(..));
        number = rest || matches!(token, Token::Number(..));
        match token {
            _ if rest => {}
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
