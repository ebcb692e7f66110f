//! The estimates since the start and of the last minutes, by database.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tokio::time::Instant;

use super::logged::{LogMark, WithinBounds};
use crate::collectors::{OTHER, STATEMENT_DURATIONS, Table};
use crate::latency::{Estimate, Interval, LogCounts};
use crate::metric::Family;
use crate::reading::StatementTimes;
use crate::window::Window;

/// More databases than these are one.
const DATABASES: usize = 100;

/// The estimates by database.
#[derive(Debug, Default)]
pub(super) struct DatabaseTotals {
    databases: BTreeMap<String, DatabaseTotal>,
    dropped: u64,
    log_mark: LogMark,
}

#[derive(Debug, Default)]
struct DatabaseTotal {
    all: Estimate,
    within: WithinBounds,
    recent: Window<Estimate>,
}

impl DatabaseTotals {
    /// Shows a database from its first statement on, so that `increase()` misses nothing that it
    /// runs.
    pub(super) fn expect<'a>(&mut self, databases: impl Iterator<Item = &'a str>) {
        let distinct: BTreeSet<_> = databases.collect();
        for database in distinct {
            self.total(database);
            self.dropped += u64::from(!self.databases.contains_key(database));
        }
    }

    /// Adds what ran in a database.
    pub(super) fn add(&mut self, database: &str, interval: &Interval) {
        if interval.calls > 0 {
            self.total(database).all.add(interval);
        }
    }

    /// Narrows the bounds by what the log counted until now.
    pub(super) fn settle(&mut self, log: &LogCounts) {
        // Those beyond the limit are not the log's.
        let named = self.databases.iter_mut().filter(|(name, _)| *name != OTHER);
        self.log_mark.settle(log, named.map(|(name, total)| (name.as_str(), &mut total.within)));
    }

    /// Ends what one sample adds. It was taken within this span; `logged_from` is as
    /// [`LogMark::mark`] has it.
    pub(super) fn end_sample(&mut self, sampled: Range<Instant>, logged_from: Option<f64>) {
        for total in self.databases.values_mut() {
            total.within.grow(&total.all);
        }
        let sampled = sampled.start.into_std()..sampled.end.into_std();
        let bounds = self.databases.values_mut().map(|total| &mut total.within);
        self.log_mark.mark(sampled, logged_from, bounds);
    }

    fn total(&mut self, database: &str) -> &mut DatabaseTotal {
        let full = self.databases.len() >= DATABASES && !self.databases.contains_key(database);
        let name = if full { OTHER } else { database };
        if !self.databases.contains_key(name) {
            self.databases.insert(name.to_owned(), DatabaseTotal::default());
        }
        self.databases.get_mut(name).expect("it is there now")
    }

    /// The estimates, and the bounds of what is true.
    pub(super) fn families(&self) -> [Family; 2] {
        let [mut estimates, mut within] = [0, 1].map(|at| empty(&STATEMENT_DURATIONS.tables[at]));
        for (database, total) in &self.databases {
            estimates.durations(&[("datname", database)], &total.all.histogram());
            for (threshold, count) in total.within.shown() {
                for (bound, count) in [("lower", count.least), ("upper", count.most)] {
                    let labels =
                        [("datname", &**database), ("threshold", threshold), ("bound", bound)];
                    within.sample(&labels, count as f64);
                }
            }
        }
        [estimates, within]
    }

    /// The durations of the last five minutes, by database, where there were any calls.
    pub(super) fn recent(&mut self, now: Instant) -> Vec<StatementTimes> {
        let databases = self.databases.iter_mut();
        let recent = databases.map(|(database, total)| StatementTimes {
            database: database.clone(),
            recent: total.recent(now.into_std()),
            logged: total.within.recent(now.into_std()),
        });
        recent.filter(|times| times.recent.calls() > 0).collect()
    }

    /// The number of databases without series of their own, summed over all samples.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn empty(table: &Table) -> Family {
    let column = &table.columns[0];
    Family::new(column.kind, table.family(column), column.help)
}

impl DatabaseTotal {
    fn recent(&mut self, now: std::time::Instant) -> Estimate {
        let recent = match self.recent.first(now) {
            Some(then) => self.all.since(then),
            None => self.all.clone(),
        };
        self.recent.keep(now, || self.all.clone());
        recent
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn calls(calls: u64) -> Interval {
        let sum = 0.01 * calls as f64;
        Interval { calls, sum, lowest: 0.01, highest: 0.01, ..Interval::default() }
    }

    #[test]
    fn databases_are_bounded_and_none_is_lost() {
        let mut totals = DatabaseTotals::default();
        for number in 0..2 * DATABASES {
            totals.add(&format!("d{number}"), &calls(1));
        }
        assert_eq!(totals.families()[0].len(), DATABASES + 1);
        let recent = totals.recent(Instant::now());
        assert_eq!(recent.iter().map(|times| times.recent.calls()).sum::<u64>(), 200);
    }

    #[test]
    fn recent_is_five_minutes() {
        let (mut totals, start) = (DatabaseTotals::default(), Instant::now());
        let mut after = |seconds, count| {
            totals.add("app", &calls(count));
            let recent = totals.recent(start + Duration::from_secs(seconds));
            recent.first().map_or(0, |times| times.recent.calls())
        };
        assert_eq!(after(0, 4), 4);
        assert_eq!(after(100, 3), 3, "what the first sample found is not of these five minutes");
        assert_eq!(after(400, 2), 2);
        assert_eq!(after(1000, 0), 0);
    }
}
