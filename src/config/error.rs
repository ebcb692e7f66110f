//! Errors of the settings, with all that is needed to mend them: the file and its line or the
//! variable, the key, what was found, what was expected, and an example of what is right.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use super::example;
use super::variable::meant;
use crate::yaml::{self, Expected, Found, Path, Refusal, Refused};

/// Keys below these may have a password as their value.
const SECRET: [&str; 2] = ["servers", "pools"];

/// An error of the settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: std::io::Error,
    },
    /// A variable that other programs know too has a value that cannot be.
    #[error("{0}")]
    Environment(String),
    /// The file is no YAML.
    #[error("{place}: {reason}")]
    Malformed {
        /// The file and the line.
        place: Place,
        /// The reason.
        reason: yaml::Error,
    },
    /// A setting has a value that cannot be.
    #[error("{place}: {reason}")]
    Wrong {
        /// The place where it is set.
        place: Place,
        /// The reason, with the key.
        reason: String,
    },
}

impl Error {
    /// The error for what a type refused of the settings.
    pub(super) fn refused(refused: &Refused, place: Place) -> Self {
        let reason = reason(&refused.path, &refused.refusal, &place);
        Self::Wrong { place, reason }
    }
}

/// The place where a setting is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this file, in this line where it is one line that is meant.
    File(PathBuf, Option<usize>),
    /// In a variable.
    Variable(String),
    /// Anywhere in the environment.
    Environment,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}, line {line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Environment => f.write_str("the environment"),
        }
    }
}

/// A setting that its type allows and that makes no sense.
#[derive(Debug)]
pub(super) struct Unsound {
    /// The setting.
    pub(super) path: Path,
    /// The reason, with its key.
    pub(super) reason: String,
}

impl Unsound {
    /// The error that a setting names something that is not there. The name is repeated unless it may be an
    /// address.
    pub(super) fn unknown<'a>(
        path: Path,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let named = if yaml::is_address(word) { String::new() } else { format!(": `{word}`") };
        let reason = format!("{path}{named} is not known; {}", yaml::suggest(word, candidates));
        Self { path, reason }
    }
}

fn reason(path: &Path, refusal: &Refusal, place: &Place) -> String {
    let what = withheld(path, refusal).unwrap_or_else(|| described(path, refusal));
    match hint(path, refusal, place)
        .or_else(|| Some(format!("for example: {}", correct_example(path, refusal, place)?)))
    {
        Some(hint) => format!("{what}; {hint}"),
        None => what,
    }
}

fn described(path: &Path, refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownKey { key, known } => {
            let suggestion = yaml::suggest(key, known.iter().copied());
            format!("{} is not known; {suggestion}", path.join(key))
        }
        Refusal::NotOne { .. } => format!("{path} {refusal}"),
        _ if path.keys().is_empty() => refusal.to_string(),
        _ => format!("{path}: {refusal}"),
    }
}

/// The message where the value, or the key, may be an address with a password in it: nothing of it
/// is repeated.
fn withheld(path: &Path, refusal: &Refusal) -> Option<String> {
    let at = match path.to_string() {
        path if path.is_empty() => path,
        path => format!("{path}: "),
    };
    let section = path.keys().first().map(String::as_str);
    let may_be_secret = section.is_none_or(|section| SECRET.contains(&section));
    match refusal {
        Refusal::Unfit { found: found @ Found::Text(_), expected }
            if may_be_secret || found.is_address() || path.is_address() =>
        {
            Some(format!(
                "{at}found a text, expected {expected}; it is not repeated here, for it may hold a \
                 password"
            ))
        }
        Refusal::UnknownKey { key: word, .. } | Refusal::UnknownWord { word, .. }
            if yaml::is_address(word) || path.is_address() =>
        {
            Some(format!(
                "{at}an address stands where none belongs; it is not repeated here, for it may \
                 hold a password"
            ))
        }
        _ => None,
    }
}

/// The probable mistake.
fn hint(path: &Path, refusal: &Refusal, place: &Place) -> Option<String> {
    match refusal {
        Refusal::UnknownKey { key: word, .. } if yaml::is_address(word) => {
            Some("a space must follow each colon after a key".to_owned())
        }
        Refusal::Unfit { found, expected: Expected::Map } if found.is_address() => {
            let example =
                example::file_line(path).map(|example| format!(", for example: `{example}`"));
            let space = "a space must follow each colon after a key";
            Some(space.to_owned() + &example.unwrap_or_default())
        }
        Refusal::UnknownKey { key, .. } => {
            if let Place::Variable(name) = place
                && let Some(meant) = meant(name.get("POOLWATCH__".len()..)?)
            {
                return Some(format!("did you mean the variable {meant}?"));
            }
            let meant = example::in_other_section(path, key)?;
            let example = example::file_line(&meant).map_or_else(String::new, |example| {
                let section = meant.parent().unwrap_or_default();
                format!("; for example: `{section}: {{{example}}}`")
            });
            Some(format!("there is {meant}{example}"))
        }
        _ => None,
    }
}

/// An example of what is right.
fn correct_example(path: &Path, refusal: &Refusal, place: &Place) -> Option<String> {
    let path = match refusal {
        Refusal::UnknownKey { key, known } => path.join(yaml::nearest(key, known)?),
        Refusal::UnknownWord { .. } | Refusal::Unfit { .. } | Refusal::NotOne { .. } => {
            path.clone()
        }
        Refusal::Missing { key } => path.join(*key),
        Refusal::Other(_) => path.clone(),
    };
    match place {
        Place::Variable(_) => example::variable_line(&path),
        _ => example::file_line(&path),
    }
    .map(|example| format!("`{example}`"))
}
