//! The estimates since the start and of the last minutes, by database.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::collectors::{OTHER, STATEMENT_DURATIONS, Table};
use crate::latency::{Estimate, Interval};
use crate::metric::Family;
use crate::reading::StatementTimes;
use crate::window::Window;

/// More databases than these are one.
const DATABASES: usize = 100;

/// The thresholds of which bounds are shown, in seconds.
const THRESHOLDS: [(&str, f64); 3] = [("0.1", 0.1), ("0.2", 0.2), ("1", 1.0)];

/// The estimates by database.
#[derive(Debug, Default)]
pub(super) struct DatabaseTotals {
    databases: BTreeMap<String, DatabaseTotal>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct DatabaseTotal {
    all: Estimate,
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
            for (threshold, seconds) in THRESHOLDS {
                let (least, most) = total.all.calls_above(seconds);
                for (bound, above) in [("lower", most), ("upper", least)] {
                    let labels =
                        [("datname", &**database), ("threshold", threshold), ("bound", bound)];
                    within.sample(&labels, (total.all.calls() - above) as f64);
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
