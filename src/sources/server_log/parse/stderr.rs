//! A record of the text log: a prefix, a severity, and the message.

use std::borrow::Cow;

use super::entry::{LogEntry, MessageSeverity, verbose};
use super::prefix::Prefixes;

/// The message of a record; lines after the first begin with a tab that is not its own.
/// In a verbose log each message has its SQLSTATE before it; so may one that an application raises,
/// which in a log that is not verbose is only its text.
pub(super) fn parse<'a>(
    record: &'a str,
    prefixes: &mut Prefixes,
    is_verbose: bool,
) -> Option<LogEntry<'a>> {
    let (fields, severity, message) = prefixes.split(record)?;
    let (sqlstate, message) = match verbose(message) {
        Some((sqlstate, message))
            if is_verbose || (severity, sqlstate) == (MessageSeverity::Log, "00000") =>
        {
            (Some(sqlstate), message)
        }
        _ => (fields.sqlstate, message),
    };
    Some(LogEntry {
        severity,
        sqlstate,
        user: fields.user.map(Cow::Borrowed),
        database: fields.database.map(Cow::Borrowed),
        application: fields.application.map(Cow::Borrowed),
        tells: fields.tells,
        pid: fields.pid,
        tag: fields.tag,
        message: Cow::Borrowed(message),
    })
}
