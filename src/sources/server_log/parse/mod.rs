//! Messages of the log, from the records of its three formats.

mod broken_name;
mod cancel_reason;
mod csvlog;
pub(crate) mod duration;
mod entry;
mod format;
mod jsonlog;
pub(crate) mod lock_wait;
mod prefix;
mod refusal;
mod stderr;

use std::borrow::Cow;

use self::broken_name::BrokenName;
pub(crate) use self::cancel_reason::CancelReason;
pub(crate) use self::duration::{DurationMessage, Step};
pub(crate) use self::entry::{LogEntry, MessageSeverity};
pub use self::format::RecordFormat;
pub(crate) use self::format::{BYTE_ORDER_MARK, begins_csv};
pub(crate) use self::lock_wait::LockWait;
pub(crate) use self::prefix::Prefix;
use self::prefix::Prefixes;
pub(crate) use self::refusal::ConnectionRefusal;

#[cfg(test)]
pub(crate) use self::entry::Tells;

/// Reads the messages of one server's log.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    prefixes: Prefixes,
    /// True when each message has its SQLSTATE before it.
    is_verbose: bool,
    broken: BrokenName,
}

/// The reason why a record is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unparsed {
    /// It is none of its format.
    Malformed,
    /// It is so long that what it is about was cut off.
    TooLong,
}

impl Parser {
    /// Expects this `log_line_prefix` before any other.
    pub(crate) fn expect_prefix(&mut self, prefix: &str) {
        self.prefixes.expect(prefix);
    }

    /// Expects each message to have its SQLSTATE before it, or not.
    pub(crate) fn expect_verbose(&mut self, is_verbose: bool) {
        self.is_verbose = is_verbose;
    }

    /// True once a name with a line end in it was met.
    pub(crate) fn met_broken_name(&self) -> bool {
        self.broken.was_met
    }

    /// The message of a record, whose end may be missing.
    pub(crate) fn parse<'a>(
        &mut self,
        format: RecordFormat,
        text: &'a str,
        is_cut: bool,
    ) -> Result<LogEntry<'a>, Unparsed> {
        let entry = match format {
            RecordFormat::Stderr => stderr::parse(text, &mut self.prefixes, self.is_verbose),
            RecordFormat::Csvlog => csvlog::parse(text),
            RecordFormat::Jsonlog => jsonlog::parse(text, is_cut),
        };
        if format == RecordFormat::Stderr && self.broken.holds(text, entry.as_ref(), &self.prefixes)
        {
            return Err(Unparsed::Malformed);
        }
        let entry = entry.ok_or(if is_cut { Unparsed::TooLong } else { Unparsed::Malformed })?;
        self.is_verbose |= entry.severity == MessageSeverity::Location;
        Ok(entry)
    }
}

/// The text of a record. One whose end is missing is ended so that it can be read.
pub(crate) fn text(format: RecordFormat, record: &[u8], is_cut: bool) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(record);
    if format == RecordFormat::Jsonlog && is_cut { jsonlog::mended(&text).into() } else { text }
}
