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
    pub(super) application: Option<Cow<'a, str>>,
    /// The process that serves the session.
    pub(super) process: Option<u32>,
    /// What the session is doing, such as SELECT or BIND.
    pub(super) tag: Option<&'a str>,
    /// Quotes within may still be written twice.
    pub(super) message: Cow<'a, str>,
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
            "DETAIL" | "HINT" | "CONTEXT" | "STATEMENT" | "QUERY" | "LOCATION" | "BACKTRACE" => {
                Self::More
            }
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

/// An SQLSTATE is five characters.
pub(super) fn state(text: &str) -> Option<&str> {
    let fits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then_some(text)
}
