//! A moment, by two clocks.

use std::ops::Sub;
use std::time::{Duration, Instant, SystemTime};

/// A moment by the calendar, for people, and by a clock that nobody sets, for what lies between
/// two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// By the machine's clock, which may be set back or forth.
    pub calendar: SystemTime,
    steady: Instant,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self { calendar: SystemTime::now(), steady: Instant::now() }
    }

    /// The time since an earlier moment, whatever became of the machine's clock meanwhile; 0 since
    /// a later one.
    pub fn since(self, earlier: Self) -> Duration {
        self.steady.saturating_duration_since(earlier.steady)
    }

    /// The time since an earlier instant; 0 since a later one.
    pub fn since_instant(self, earlier: Instant) -> Duration {
        self.steady.saturating_duration_since(earlier)
    }

    /// The same moment where the machine's clock says something else.
    #[must_use]
    pub fn at(self, calendar: SystemTime) -> Self {
        Self { calendar, ..self }
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        let steady = self.steady.checked_sub(time);
        Self {
            calendar: self.calendar - time,
            steady: steady.expect("Linux counts seconds below 0, too"),
        }
    }
}
