//! The form in which a statement may be shown.

use sqlparser::tokenizer::Token;

use super::literals::is_literal;
use super::words::{keyword, sql_word};
use super::{StatementKind, kind};

/// The statement in one line. Where it may hold a password it is withheld: a literal could hide
/// in it in more ways than there are quotes.
pub(super) fn shown(tokens: &[Token], words: &[&Token], length: usize) -> String {
    let secret = |token: &&&Token| keyword(token).is_some_and(|word| is_secret(&word));
    if kind(words) == StatementKind::Other && words.iter().any(|token| secret(&token)) {
        let first = words.iter().take(2).map_while(|token| sql_word(token)).collect::<Vec<_>>();
        return format!("{} … (withheld: it may hold a password)", first.join(" "));
    }
    let mut line = String::new();
    let mut number = false;
    let mut setting = Setting::default();
    for token in tokens {
        match setting.next_place(token) {
            Place::Outside => {}
            Place::Begins => {
                line.push_str(&token.to_string());
                line.push_str(" ?");
                continue;
            }
            Place::Within => continue,
        }
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

/// The place of a setting's value, which needs no quotes: `SET app.key = secret`, and so for roles
/// and databases (`ALTER … SET`) and functions (`CREATE … SET`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Setting {
    /// At the beginning of a statement.
    #[default]
    Begin,
    /// In a statement that may set something further on.
    MayCome,
    /// Behind SET.
    Named,
    Value,
    /// In a statement that sets nothing.
    None,
}

/// Returns whether a token is part of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    /// It is what the value begins behind.
    Begins,
    Within,
}

impl Setting {
    fn next_place(&mut self, token: &Token) -> Place {
        let word = keyword(token);
        let word = word.as_deref();
        let (next, place) = match (*self, token, word) {
            (_, Token::SemiColon, _) => (Self::Begin, Place::Outside),
            (Self::Value, ..) => (Self::Value, Place::Within),
            (Self::Named, Token::Eq, _) | (Self::Named, _, Some("TO")) => {
                (Self::Value, Place::Begins)
            }
            (Self::Begin | Self::MayCome, _, Some("SET")) => (Self::Named, Place::Outside),
            (Self::Begin, _, Some("ALTER" | "CREATE")) => (Self::MayCome, Place::Outside),
            (Self::Begin, Token::Whitespace(_) | Token::LParen, _) => (Self::Begin, Place::Outside),
            (Self::Begin, ..) => (Self::None, Place::Outside),
            (same, ..) => (same, Place::Outside),
        };
        *self = next;
        place
    }
}

fn is_secret(word: &str) -> bool {
    ["PASSWORD", "CONNECTION", "OPTIONS", "IDENTIFIED"].contains(&word)
        || word.contains("SECRET")
        || word.contains("PASSWORD")
}
