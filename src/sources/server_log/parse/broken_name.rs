//! Names with line ends in them. Text writes a user's or database's name as it is, though anybody can
//! ask for a session under any name: what follows such a line end is nobody's message until the one
//! comes that the name stands before.

use super::entry::LogEntry;
use super::prefix::Prefixes;

/// The severities that begin a message, wherever they stand.
const SEVERITIES: [&str; 5] = ["LOG:  ", "FATAL:  ", "ERROR:  ", "WARNING:  ", "PANIC:  "];
/// No packet that asks for a session is longer.
const LONGEST_PACKET: usize = 10_000;

/// The state of the log with respect to such a name.
#[derive(Debug, Default)]
pub(super) struct BrokenName {
    /// The bytes that may still be those of the name.
    left: usize,
    /// True once there was one.
    pub(super) was_met: bool,
}

impl BrokenName {
    /// True when a record is of such a name rather than a message.
    pub(super) fn holds(
        &mut self,
        text: &str,
        entry: Option<&LogEntry<'_>>,
        prefixes: &Prefixes,
    ) -> bool {
        let begins = |message: &str| SEVERITIES.iter().any(|severity| message.contains(severity));
        if self.left > 0 {
            let is_over = begins(entry.map_or(text, |entry| &entry.message));
            self.left = if is_over { 0 } else { self.left.saturating_sub(text.len() + 1) };
            return true;
        }
        let breaks = entry.is_none() && !text.contains(":  ") && prefixes.breaks_off(text);
        if breaks {
            *self = Self { left: LONGEST_PACKET, was_met: true };
        }
        breaks
    }
}
