//! Rust code as words and signs, without comments and literals.

/// A word or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Sign(char),
}

/// The tokens of some code. A string that is a path of the crate counts as code: serde calls the
/// function that it names.
pub(super) fn tokens(code: &str) -> Vec<Token> {
    let (mut found, mut left) = (Vec::new(), code);
    while let Some(first) = left.chars().next() {
        let length = match first {
            '/' if left.starts_with("//") => left.find('\n').unwrap_or(left.len()),
            '/' if left.starts_with("/*") => left.find("*/").map_or(left.len(), |end| end + 2),
            '"' => {
                let length = string(left);
                let content = &left[1..length - 1];
                if content.starts_with("crate::") {
                    found.extend(tokens(content));
                }
                length
            }
            '\'' => character(left),
            _ if is_of_word(first) => {
                let end = left.find(|c| !is_of_word(c)).unwrap_or(left.len());
                let raw = raw_string(&left[end..]).filter(|_| left[..end].ends_with('r'));
                if raw.is_none() {
                    found.push(Token::Word(left[..end].to_owned()));
                }
                end + raw.unwrap_or(0)
            }
            _ => {
                if !first.is_whitespace() {
                    found.push(Token::Sign(first));
                }
                first.len_utf8()
            }
        };
        left = &left[length..];
    }
    found
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of a string, its quotes included.
fn string(text: &str) -> usize {
    let mut escaped = true;
    let ends = |(_, character): &(usize, char)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    };
    text.char_indices().find(ends).map_or(text.len(), |(end, _)| end + 1)
}

/// The length of a string that begins with `"` or `#"` behind its `r`.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.find(|c| c != '#')?;
    text[hashes..].starts_with('"').then_some(())?;
    let end = format!("\"{}", &text[..hashes]);
    let within = hashes + 1;
    Some(within + text[within..].find(&end)? + end.len())
}

/// The length of a character, or of a lifetime's mark.
fn character(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((at, _))) => {
            let end = text[at + 1..].find('\'').map_or(text.len(), |end| at + 1 + end);
            (end + 1).min(text.len())
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn comments_and_literals_are_no_code() {
    let code = r##"use a::b; // c::d
        const E: &str = "f::g \" h"; /* i */ const J: char = '"'; fn k<'l>() { r#"m " n"#; '\''; }
        #[serde(with = "crate::o")]"##;
    let words = tokens(code).into_iter().filter_map(|token| match token {
        Token::Word(word) => Some(word),
        Token::Sign(_) => None,
    });
    let words = words.collect::<Vec<_>>().join(" ");
    assert_eq!(words, "use a b const E str const J char fn k l serde with crate o");
}
