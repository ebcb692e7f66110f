//! The limit of the lines that one source writes into the log.

use std::time::Duration;

use tokio::time::Instant;

/// The number of lines within a minute: what comes and goes all the time must not fill a disk.
pub(super) const LINES_A_MINUTE: u32 = 4;
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// The lines that a source wrote within a minute.
#[derive(Debug)]
pub(super) struct LogLimit {
    /// The beginning of the minute.
    began: Instant,
    pub(super) lines: u32,
    /// Set if the log does not have the last change, since there were too many.
    reached: bool,
}

impl LogLimit {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), lines: 0, reached: false }
    }

    /// Returns true if another line may be logged within this minute, and counts it.
    pub(super) fn admit(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.began) >= MINUTE {
            (self.began, self.lines) = (now, 0);
        }
        self.reached = self.lines >= LINES_A_MINUTE;
        if !self.reached {
            self.lines += 1;
        }
        !self.reached
    }

    /// True when the log does not have the last change.
    pub(super) fn is_reached(&self) -> bool {
        self.reached
    }

    /// True when no line but one is left within this minute, or none.
    pub(super) fn is_nearly_reached(&self) -> bool {
        self.lines + 1 >= LINES_A_MINUTE
    }
}
