//! A record of the text log: a prefix, how grave it is, and the message.

use std::borrow::Cow;

use super::entry::{Entry, Severity, verbose};
use super::prefix::Prefixes;

/// The message of a record; lines after the first begin with a tab that is not its own.
/// In a verbose log each message has its SQLSTATE before it; so may one that an application raises,
/// which in a log that is not verbose is only its text.
pub(super) fn parse<'a>(
    record: &'a str,
    prefixes: &mut Prefixes,
    is_verbose: bool,
) -> Option<Entry<'a>> {
    let (fields, severity, message) = prefixes.split(record)?;
    let (state, message) = match verbose(message) {
        Some((state, message)) if is_verbose || (severity, state) == (Severity::Log, "00000") => {
            (Some(state), message)
        }
        _ => (fields.state, message),
    };
    Some(Entry {
        severity,
        state,
        user: fields.user.map(Cow::Borrowed),
        database: fields.database.map(Cow::Borrowed),
        application: fields.application.map(Cow::Borrowed),
        tells: fields.tells,
        process: fields.process,
        tag: fields.tag,
        message: Cow::Borrowed(message),
    })
}
