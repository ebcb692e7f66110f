//! `key = 'value with \' quote'`, as libpq reads it.

use super::{AddressError, Pairs};

pub(super) fn pairs(address: &str) -> Result<Pairs, AddressError> {
    let mut rest = address.trim_start();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(AddressError::Pairs)?;
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(AddressError::Pairs);
        }
        let (value, after) = value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(Pairs { pairs, may_be_foreign: false })
}

fn value(text: &str) -> Result<(String, &str), AddressError> {
    let quoted = text.starts_with('\'');
    let body = if quoted { &text[1..] } else { text };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if c.is_whitespace() && !quoted => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted { Err(AddressError::Pairs) } else { Ok((value, "")) }
}
