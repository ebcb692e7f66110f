//! The estimates of single statements, as many as the settings allow: those that took most time in
//! the last minutes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::collectors::STATEMENT_DURATIONS;
use crate::latency::{Estimate, Interval};
use crate::metric::Family;

/// More statements than these are not followed, whatever the settings say: each has some thirty
/// series.
const MOST: usize = 100;
/// A statement that was not among the first for so long gives way to another.
const KEPT: Duration = Duration::from_mins(10);

/// Database and `query_id` of a statement, whatever its role.
pub(super) type StatementName = (i64, i64);

/// The statements that have series of their own.
#[derive(Debug)]
pub(super) struct ByStatement {
    limit: usize,
    followed: BTreeMap<StatementName, Followed>,
}

#[derive(Debug)]
struct Followed {
    database: Arc<str>,
    estimate: Estimate,
    /// When it was last among the first.
    ranked: Instant,
}

impl ByStatement {
    /// Of no more than so many statements.
    pub(super) fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(MOST).min(MOST);
        Self { limit, followed: BTreeMap::new() }
    }

    /// The number of statements that may have series.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Adds the calls of a statement, if it is followed.
    pub(super) fn add(&mut self, name: StatementName, interval: &Interval) {
        if let Some(followed) = self.followed.get_mut(&name) {
            followed.estimate.add(interval);
        }
    }

    /// Follows those that are among the first now, as far as there is room. Each begins with 0, so
    /// that `increase()` misses nothing of what comes.
    pub(super) fn follow(
        &mut self,
        first: impl Iterator<Item = (StatementName, Arc<str>)>,
        now: Instant,
    ) {
        let mut new = Vec::new();
        for (name, database) in first {
            match self.followed.get_mut(&name) {
                Some(followed) => followed.ranked = now,
                None => new.push((name, database)),
            }
        }
        if self.followed.len() + new.len() > self.limit {
            self.followed.retain(|_, followed| now.duration_since(followed.ranked) < KEPT);
        }
        for (name, database) in new.into_iter().take(self.limit - self.followed.len()) {
            let estimate = Estimate::default();
            self.followed.insert(name, Followed { database, estimate, ranked: now });
        }
    }

    /// Forgets all: another server's statements have other numbers.
    pub(super) fn clear(&mut self) {
        self.followed.clear();
    }

    /// The estimate of each.
    pub(super) fn family(&self) -> Family {
        let table = &STATEMENT_DURATIONS.tables[2];
        let column = &table.columns[0];
        let mut family = Family::new(column.kind, table.family(column), column.help);
        for ((_, query_id), followed) in &self.followed {
            let query_id = query_id.to_string();
            let labels = [("datname", &*followed.database), ("queryid", query_id.as_str())];
            family.durations(&labels, &followed.estimate.histogram());
        }
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(query_ids: std::ops::Range<i64>) -> impl Iterator<Item = (StatementName, Arc<str>)> {
        query_ids.map(|query_id| ((5, query_id), "app".into()))
    }

    #[test]
    fn no_more_than_the_limit_have_series_and_who_is_no_longer_first_gives_way() {
        let (mut by, start) = (ByStatement::new(3), Instant::now());
        by.follow(first(0..3), start);
        by.follow(first(2..6), start + Duration::from_secs(10));
        assert_eq!(by.followed.keys().map(|name| name.1).collect::<Vec<_>>(), [0, 1, 2]);
        by.follow(first(2..6), start + KEPT);
        assert_eq!(by.followed.keys().map(|name| name.1).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn none_has_series_unless_the_settings_say_so() {
        let mut by = ByStatement::new(0);
        by.follow(first(0..9), Instant::now());
        assert_eq!(by.family().len(), 0);
    }
}
