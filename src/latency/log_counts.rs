//! The number of statements above each bound that a server's log had at its last readings, for the
//! bounds of the same statements' estimate.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::BOUNDS;

/// Readings that are kept: of some two minutes.
const KEPT: usize = 150;
/// The time by which a statement's line in the log may come after its end in the statistics: between
/// the two it commits, which waits for the disk, or for a replica.
const DELAY: Duration = Duration::from_secs(1);

/// Statements above each of [`BOUNDS`], since poolwatch began.
pub type Above = [u64; BOUNDS.len()];

/// By database; one that is not there has none.
pub type AboveByDatabase = HashMap<String, Above>;

/// The counts of the last readings of one server's log.
#[derive(Debug, Default)]
pub struct LogCounts(Mutex<Readings>);

#[derive(Debug, Default)]
struct Readings {
    epoch: u64,
    /// As the server's `log_destination` has it.
    destination: &'static str,
    kept: VecDeque<LogReading>,
}

/// All that was in the log when a reading began, and what came until it ended, as far as it was read.
#[derive(Debug)]
struct LogReading {
    span: Range<Instant>,
    above: Arc<AboveByDatabase>,
}

/// The counts of two readings, one before and one after a moment.
#[derive(Clone, Debug)]
pub struct LoggedAround {
    /// Nothing is missing between readings of one epoch.
    pub epoch: u64,
    /// No more than there were.
    pub before: Arc<AboveByDatabase>,
    /// No fewer.
    pub after: Arc<AboveByDatabase>,
}

/// The counts around a moment, as far as there are any.
#[derive(Clone, Debug)]
pub enum Around {
    /// The reading after it is still to come.
    Pending,
    /// There is no reading before it.
    Missing,
    /// The counts.
    Counted(LoggedAround),
}

impl LogCounts {
    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was counted by a reading that reached the end of the log, which is in this format of
    /// `log_destination`.
    pub fn keep(&self, span: Range<Instant>, destination: &'static str, above: AboveByDatabase) {
        let mut readings = self.readings();
        readings.destination = destination;
        if readings.kept.len() >= KEPT {
            readings.kept.pop_front();
        }
        readings.kept.push_back(LogReading { span, above: above.into() });
    }

    /// Forgets all readings: something of the log may not have been counted.
    pub fn interrupt(&self) {
        let mut readings = self.readings();
        readings.kept.clear();
        readings.epoch += 1;
    }

    /// The format of the log; `None` where there is no log, or it cannot be read to its end.
    pub fn destination(&self) -> Option<&'static str> {
        let readings = self.readings();
        (!readings.kept.is_empty()).then_some(readings.destination)
    }

    /// The counts around a moment within this span.
    pub fn around(&self, span: &Range<Instant>) -> Around {
        let readings = self.readings();
        let (kept, epoch) = (&readings.kept, readings.epoch);
        let settled = span.end + DELAY;
        // The first may have kept back its last line, until it knew that nothing more belongs to it.
        let Some(after) = kept.iter().filter(|one| one.span.start >= settled).nth(1) else {
            return Around::Pending;
        };
        match kept.iter().rfind(|reading| reading.span.end <= span.start) {
            None => Around::Missing,
            Some(before) => Around::Counted(LoggedAround {
                epoch,
                before: Arc::clone(&before.above),
                after: Arc::clone(&after.above),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(counts: &LogCounts, start: Instant, seconds: u64, above: u64) {
        let began = start + Duration::from_secs(seconds);
        let ended = began + Duration::from_millis(100);
        let above = HashMap::from([("app".to_owned(), [above; BOUNDS.len()])]);
        counts.keep(began..ended, "csvlog", above);
    }

    fn around(counts: &LogCounts, start: Instant, milliseconds: u64) -> Around {
        let at = start + Duration::from_millis(milliseconds);
        counts.around(&(at..at + Duration::from_millis(10)))
    }

    #[test]
    fn a_moment_lies_between_the_readings_before_and_after_it() {
        let (counts, start) = (LogCounts::default(), Instant::now());
        for second in 1..8 {
            read(&counts, start, second, 10 * second);
        }
        let Around::Counted(found) = around(&counts, start, 3050) else { panic!("{counts:?}") };
        assert_eq!((found.before["app"][0], found.after["app"][0]), (20, 60));
        assert!(matches!(around(&counts, start, 500), Around::Missing));
        assert!(matches!(around(&counts, start, 5500), Around::Pending));
    }

    #[test]
    fn what_may_be_missing_ends_an_epoch() {
        let (counts, start) = (LogCounts::default(), Instant::now());
        (1..8).for_each(|second| read(&counts, start, second, second));
        counts.interrupt();
        assert!(counts.destination().is_none());
        assert!(matches!(around(&counts, start, 3500), Around::Pending));
        (9..11).for_each(|second| read(&counts, start, second, second));
        assert!(matches!(around(&counts, start, 3500), Around::Missing));
        (12..14).for_each(|second| read(&counts, start, second, second));
        let Around::Counted(found) = around(&counts, start, 9500) else { panic!("{counts:?}") };
        assert_eq!(found.epoch, 1);
    }

    #[test]
    fn readings_are_bounded() {
        let (counts, start) = (LogCounts::default(), Instant::now());
        (0..1000).for_each(|second| read(&counts, start, second, second));
        assert_eq!(counts.readings().kept.len(), KEPT);
    }
}
