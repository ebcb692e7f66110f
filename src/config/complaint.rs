//! What is wrong with the settings, said so that it can be mended: file, key, and the nearest
//! valid one.

use std::path::{Path, PathBuf};

use super::Environment;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The environment says something that cannot be.
    #[error("{0}")]
    Environment(String),
    /// The settings say something that cannot be.
    #[error("{place}: {reason}")]
    Wrong {
        /// The file, or the environment.
        place: String,
        /// What, with the key.
        reason: String,
    },
}

/// The library's error in the operator's words.
pub(super) fn explain(
    error: &config::ConfigError,
    file: Option<&Path>,
    environment: &Environment,
) -> Error {
    let text = error.to_string();
    let (what, key) = match text.rsplit_once(" for key `") {
        Some((what, rest)) => (what, rest.split('`').next().unwrap_or_default()),
        None => (text.as_str(), ""),
    };
    if let Some(reason) = withheld(what, key) {
        return Error::Wrong { place: place(file, key, environment), reason };
    }
    if let Some((given, known)) = unknown_choice(what) {
        let reason = unknown(&format!("{key}: `{given}`"), given, known.iter().copied());
        return Error::Wrong { place: place(file, key, environment), reason };
    }
    let reason = match (unknown_field(what), key) {
        (Some((field, known)), "") => unknown(&field, &field, known.iter().map(String::as_str)),
        (Some((field, known)), key) => {
            unknown(&format!("{key}.{field}"), &field, known.iter().map(String::as_str))
        }
        (None, "") => what.to_owned(),
        (None, key) => format!("{key}: {what}"),
    };
    Error::Wrong { place: place(file, key, environment), reason }
}

/// What is wrong where the value, or the key, may be an address with a password in it: of one that
/// was written in the wrong place nothing is repeated.
fn withheld(what: &str, key: &str) -> Option<String> {
    let holds_secrets = ["", "databases", "pools"].contains(&key.split('.').next()?);
    let (kind, rest) = what.split_once(": string \"").unwrap_or((what, ""));
    let value = rest.rsplit_once("\", expected ");
    let is_told = |text: &str| !text.contains("://") && !text.contains('@');
    if is_told(what) && is_told(key) && !(holds_secrets && value.is_some()) {
        return None;
    }
    let key = if is_told(key) { key } else { key.split('.').next()? };
    let key = if is_told(key) { key } else { "" };
    let at = if key.is_empty() { String::new() } else { format!("{key}: ") };
    Some(match value {
        Some((_, expected)) if is_told(expected) => format!(
            "{at}{kind}: a text, expected {expected}; it is not repeated here, for it may hold a \
             password"
        ),
        _ => format!(
            "{at}an address stands where none belongs; it is not repeated here, for it may hold \
             a password: a space must follow each colon after a key"
        ),
    })
}

/// The variable, when the key was set by one; else the file.
fn place(file: Option<&Path>, key: &str, environment: &Environment) -> String {
    let variable = format!("POOLWATCH__{}", key.replace('.', "__").to_uppercase());
    let set = environment.keys().find(|name| !key.is_empty() && name.to_uppercase() == variable);
    set.cloned().unwrap_or_else(|| super::place(file))
}

fn unknown_field(text: &str) -> Option<(String, Vec<String>)> {
    let rest = text.split("unknown field `").nth(1)?;
    let mut quoted = rest.split('`');
    let field = quoted.next()?.to_owned();
    Some((field, quoted.skip(1).step_by(2).map(str::to_owned).collect()))
}

/// What was given where one of a few words must be, and the words.
fn unknown_choice(text: &str) -> Option<(&str, &'static [&'static str])> {
    let (choice, given) =
        text.strip_prefix("enum ")?.split_once(" does not have variant constructor ")?;
    let known: &[&str] = match choice {
        "LogLevel" => &["error", "warn", "info", "debug", "trace"],
        "LogFormat" => &["logfmt", "json"],
        "Expected" => &["auto", "stderr", "csvlog", "jsonlog"],
        "Preset" => &["sqlalchemy", "go_sql", "hikaricp", "node_postgres"],
        _ => &[],
    };
    Some((given, known))
}

/// That a key or a name is not known, with the nearest one that is.
pub(super) fn unknown<'a>(key: &str, given: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, given), known))
        .min()
        .filter(|(distance, _)| *distance <= 2.max(given.len() / 3));
    match nearest {
        Some((_, nearest)) => format!("{key} is not known; did you mean `{nearest}`?"),
        None if known.is_empty() => format!("{key} is not known"),
        None => format!("{key} is not known; known are: {}", known.join(", ")),
    }
}
