//! A source, and the outcome of its last reading.

use std::time::{Duration, Instant, SystemTime};

/// One source, and the outcome of its last reading.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceState {
    /// The source's name, the label `source`.
    pub name: String,
    /// The kind of thing that is read, such as `collector` or `pgbouncer`.
    pub kind: &'static str,
    /// The server that it is read from, by its name in the settings.
    pub server: Option<String>,
    /// The time between two readings.
    pub interval: Duration,
    /// `true` if the last reading succeeded; `None` before the first.
    pub up: Option<bool>,
    /// The duration of the last reading, failed or not.
    pub duration: Option<Duration>,
    /// The number of readings that failed.
    pub failures: u64,
    /// The time of the last reading that succeeded.
    pub last_success: Option<SystemTime>,
    /// The reason why the last reading failed, with the whole chain of causes.
    pub error: Option<String>,
    /// The thing to do about that, where it is known.
    pub remedy: Option<String>,
    /// The time since when every reading has failed.
    pub failing_since: Option<Instant>,
    /// The time at which a reading succeeded again, after some had failed.
    pub failed_until: Option<Instant>,
    /// The things that it cannot see although it reads: each with the reason and the remedy.
    pub unseen: Vec<String>,
}
