//! A type's refusal of a value, in parts.

use std::fmt::{self, Display, Formatter};

use serde::de::{self, Unexpected};

/// A text that is longer is cut when it is repeated.
const LONGEST: usize = 60;

/// The keys of maps that have a header's name for each value.
const HEADERS: [&str; 2] = ["headers", "header_files"];

/// The keys that lead to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<String>);

impl Path {
    /// One step further.
    #[must_use]
    pub fn join(&self, key: impl Into<String>) -> Self {
        Self(self.0.iter().cloned().chain([key.into()]).collect())
    }

    /// The keys.
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// The last key.
    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Returns whether a key may be an address.
    pub fn is_address(&self) -> bool {
        self.0.iter().any(|key| is_address(key))
    }

    /// One step back; `None` from where it begins.
    pub fn parent(&self) -> Option<Self> {
        let (_, before) = self.0.split_last()?;
        Some(Self(before.to_vec()))
    }
}

impl<K: Into<String>> FromIterator<K> for Path {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        Self(keys.into_iter().map(Into::into).collect())
    }
}

impl Display for Path {
    /// Up to a key that is an address or a whole header, which may hold a password.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            let is_header = at > 0 && HEADERS.contains(&self.0[at - 1].as_str());
            if is_address(key) || is_header && !is_header_name(key) {
                break;
            }
            let dot = if at > 0 && !key.starts_with('[') { "." } else { "" };
            write!(f, "{dot}{key}")?;
        }
        Ok(())
    }
}

/// Returns whether a header may have the name. Whoever forgets a quote or a space writes its value,
/// which may be a token, into the name.
pub(crate) fn is_header_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_plain)
}

/// Returns whether a text may be an address with a password in it.
pub(crate) fn is_address(text: &str) -> bool {
    text.contains("://") || text.contains('@')
}

/// A value where something else must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// No value.
    Nothing,
    /// True or false.
    Truth(bool),
    /// A number, as it reads.
    Number(String),
    /// A text.
    Text(String),
    /// A map.
    Map,
    /// A list.
    List,
    /// Anything else.
    Other(String),
}

impl Found {
    /// Returns whether it is a text that may hold an address.
    pub(crate) fn is_address(&self) -> bool {
        matches!(self, Self::Text(text) if is_address(text))
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no value"),
            Self::Truth(value) => write!(f, "`{value}`"),
            Self::Number(number) => write!(f, "the number `{number}`"),
            Self::Text(text) => match text.char_indices().nth(LONGEST) {
                Some((end, _)) => write!(f, "the text `{}…`", &text[..end]),
                None => write!(f, "the text `{text}`"),
            },
            Self::Map => f.write_str("a map"),
            Self::List => f.write_str("a list"),
            Self::Other(other) => f.write_str(other),
        }
    }
}

impl From<Unexpected<'_>> for Found {
    fn from(unexpected: Unexpected<'_>) -> Self {
        match unexpected {
            Unexpected::Bool(value) => Self::Truth(value),
            Unexpected::Unsigned(number) => Self::Number(number.to_string()),
            Unexpected::Signed(number) => Self::Number(number.to_string()),
            Unexpected::Float(number) => Self::Number(number.to_string()),
            Unexpected::Str(text) => Self::Text(text.to_owned()),
            Unexpected::Unit | Unexpected::Option => Self::Nothing,
            Unexpected::Map => Self::Map,
            Unexpected::Seq => Self::List,
            other => Self::Other(other.to_string()),
        }
    }
}

/// The value that must stand there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// True or false.
    Truth,
    /// A whole number between two.
    Whole {
        /// The smallest.
        least: i128,
        /// The largest.
        most: i128,
    },
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// A map.
    Map,
    /// As a type describes it.
    Described(String),
}

impl Display for Expected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth => f.write_str("true or false"),
            Self::Whole { least: 0, most } if *most > i128::from(u32::MAX) => {
                f.write_str("a whole number that is not negative")
            }
            Self::Whole { least, most } => write!(f, "a whole number from {least} to {most}"),
            Self::Number => f.write_str("a number"),
            Self::Text => f.write_str("a text"),
            Self::List => f.write_str("a list"),
            Self::Map => f.write_str("a map"),
            Self::Described(text) => f.write_str(text),
        }
    }
}

/// Why a value cannot be what it must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// It is of another kind, or beyond the limits.
    Unfit {
        /// The value that was found.
        found: Found,
        /// The value that is allowed.
        expected: Expected,
    },
    /// A map has a key that means nothing.
    UnknownKey {
        /// The key.
        key: String,
        /// Those that mean something.
        known: &'static [&'static str],
    },
    /// It is none of a few words.
    UnknownWord {
        /// It.
        word: String,
        /// The words.
        known: &'static [&'static str],
    },
    /// A map lacks a key.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A map has not exactly one of a few keys.
    NotOne {
        /// Those that it has.
        found: Vec<String>,
        /// The keys.
        known: &'static [&'static str],
    },
    /// Anything else.
    Other(String),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit { found, expected } => write!(f, "found {found}, expected {expected}"),
            Self::UnknownKey { key: word, known } | Self::UnknownWord { word, known } => {
                write!(f, "`{word}` is not known; {}", suggest(word, known.iter().copied()))
            }
            Self::Missing { key } => write!(f, "`{key}` is missing"),
            Self::NotOne { found, known } => {
                let found = if found.is_empty() { "none".to_owned() } else { found.join(" and ") };
                write!(f, "must have exactly one of {}; found {found}", known.join(", "))
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = Expected::Described(expected.to_string());
        Self::Unfit { found: unexpected.into(), expected }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownWord { word: word.to_owned(), known }
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey { key: key.to_owned(), known }
    }

    fn missing_field(key: &'static str) -> Self {
        Self::Missing { key }
    }
}

/// The known word that is nearest to one that is not, or all of them.
pub(crate) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, &known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => "none is in the settings".to_owned(),
        None => format!("known are: {}", known.join(", ")),
    }
}

/// The known word that is meant, when one is near enough.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, word), *known))
        .min()
        .filter(|(distance, _)| *distance <= 2.max(word.len() / 3))
        .map(|(_, nearest)| nearest)
}
