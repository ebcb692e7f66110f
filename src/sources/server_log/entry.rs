//! One message of the log, whatever format it was written in.

use std::borrow::Cow;

/// One message, and what its record says of whose it is. What a format does not tell is absent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) severity: Severity,
    /// The SQLSTATE.
    pub(super) state: Option<&'a str>,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) database: Option<Cow<'a, str>>,
    /// Empty where a session has said no name.
    pub(super) application: Option<Cow<'a, str>>,
    /// What the record would say of a session, whether or not it does of this one.
    pub(super) tells: Tells,
    /// The process that serves the session.
    pub(super) process: Option<u32>,
    /// What the session is doing, such as SELECT or BIND.
    pub(super) tag: Option<&'a str>,
    /// Quotes within may still be written twice.
    pub(super) message: Cow<'a, str>,
}

/// Which names a record has a place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tells {
    pub(super) user: bool,
    pub(super) database: bool,
    pub(super) application: bool,
}

impl Tells {
    pub(super) const ALL: Self = Self { user: true, database: true, application: true };
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Log,
    Error,
    /// FATAL or PANIC: the session, or the server, ends.
    Fatal,
    /// A part of the message before it, in text.
    More,
    /// Where in the server's source the message before it was written (`log_error_verbosity`).
    Location,
    /// Notices and the like.
    Other,
}

impl Severity {
    /// By its English name; `None` when it is none.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "LOG" => Self::Log,
            "ERROR" => Self::Error,
            "FATAL" | "PANIC" => Self::Fatal,
            "DETAIL" | "HINT" | "CONTEXT" | "STATEMENT" | "QUERY" | "BACKTRACE" => Self::More,
            "LOCATION" => Self::Location,
            "WARNING" | "NOTICE" | "INFO" | "DEBUG" | "DEBUG1" | "DEBUG2" | "DEBUG3" | "DEBUG4"
            | "DEBUG5" => Self::Other,
            _ => return None,
        })
    }

    /// By its name, which may be of another language; then by the SQLSTATE.
    pub(super) fn of(word: &str, state: Option<&str>) -> Self {
        Self::named(word).unwrap_or(match state.and_then(|state| state.get(..2)) {
            None | Some("00" | "01" | "02") => Self::Other,
            Some(_) => Self::Error,
        })
    }
}

/// A text that says something.
pub(super) fn said(text: &str) -> Option<&str> {
    let text = text.trim_matches(' ');
    (!text.is_empty() && text != "[unknown]").then_some(text)
}

/// The SQLSTATE that a verbose log writes before a message, and the message.
pub(super) fn verbose(message: &str) -> Option<(&str, &str)> {
    let (code, rest) = message.split_at_checked(5)?;
    let fits = code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    Some((code, rest.strip_prefix(": ").filter(|_| fits)?))
}

/// An SQLSTATE is five characters.
pub(super) fn state(text: &str) -> Option<&str> {
    let fits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then_some(text)
}
