//! A record of the text log: a prefix, how grave it is, and the message.

use std::borrow::Cow;

use super::entry::Entry;
use super::prefix::Prefixes;

/// The message of a record; lines after the first begin with a tab that is not its own.
pub(super) fn parse<'a>(record: &'a str, prefixes: &mut Prefixes) -> Option<Entry<'a>> {
    let (fields, severity, message) = prefixes.split(record)?;
    Some(Entry {
        severity,
        state: fields.state,
        user: fields.user.map(Cow::Borrowed),
        database: fields.database.map(Cow::Borrowed),
        application: fields.application.map(Cow::Borrowed),
        process: fields.process,
        tag: fields.tag,
        message: Cow::Borrowed(message),
    })
}
