//! One message of the log, whatever format it was written in.

use std::borrow::Cow;

/// One message, and the session that its record names. What a format does not tell is absent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogEntry<'a> {
    pub(crate) severity: MessageSeverity,
    /// The SQLSTATE.
    pub(crate) sqlstate: Option<&'a str>,
    pub(crate) user: Option<Cow<'a, str>>,
    pub(crate) database: Option<Cow<'a, str>>,
    /// Empty where a session has given no name.
    pub(crate) application: Option<Cow<'a, str>>,
    /// The names that the record has a place for, whether or not this session has them.
    pub(crate) tells: Tells,
    /// The process that serves the session.
    pub(crate) pid: Option<u32>,
    /// The command that the session runs, such as SELECT or BIND.
    pub(crate) tag: Option<&'a str>,
    /// Quotes within may still be written twice.
    pub(crate) message: Cow<'a, str>,
}

/// The names that a record has a place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tells {
    pub(crate) user: bool,
    pub(crate) database: bool,
    pub(crate) application: bool,
}

impl Tells {
    pub(crate) const ALL: Self = Self { user: true, database: true, application: true };
}

/// The severity of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageSeverity {
    Log,
    Error,
    /// FATAL or PANIC: the session, or the server, ends.
    Fatal,
    /// A part of the message before it, in text.
    More,
    /// The place in the server's source of the message before it (`log_error_verbosity`).
    Location,
    /// Notices and the like.
    Other,
}

impl MessageSeverity {
    /// By its English name; `None` when it is none.
    pub(crate) fn named(word: &str) -> Option<Self> {
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
    pub(crate) fn from_word(word: &str, sqlstate: Option<&str>) -> Self {
        Self::named(word).unwrap_or(match sqlstate.and_then(|sqlstate| sqlstate.get(..2)) {
            None | Some("00" | "01" | "02") => Self::Other,
            Some(_) => Self::Error,
        })
    }
}

/// A text that is not empty.
pub(crate) fn given(text: &str) -> Option<&str> {
    let text = text.trim_matches(' ');
    (!text.is_empty() && text != "[unknown]").then_some(text)
}

/// The SQLSTATE that a verbose log writes before a message, and the message.
pub(crate) fn verbose(message: &str) -> Option<(&str, &str)> {
    let (code, rest) = message.split_at_checked(5)?;
    let fits = code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    Some((code, rest.strip_prefix(": ").filter(|_| fits)?))
}

/// An SQLSTATE is five characters.
pub(crate) fn sqlstate(text: &str) -> Option<&str> {
    let fits = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then_some(text)
}
