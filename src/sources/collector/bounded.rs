//! The choice of the rows that have series of their own where there may be any number, and the sum
//! of the others.
//!
//! A row that is shown stays until it is clearly overtaken, so that series do not come and go. A
//! counter of the others only grows, whoever joins or leaves them: what is added each time is
//! what those that were the others before have grown by.

use std::collections::HashSet;

use super::families::Row;
use crate::collectors::Column;
use crate::metric::Kind;

/// The state of a bounded table between readings.
#[derive(Debug, Default)]
pub(super) struct Shown {
    keys: HashSet<String>,
    /// By column; absent while every row was shown.
    others: Option<Vec<Others>>,
}

/// A figure of the rows that are not shown.
#[derive(Clone, Copy, Debug)]
struct Others {
    /// Their sum at the last reading.
    sum: f64,
    /// The value that is shown.
    shown: f64,
}

impl Shown {
    /// The rows that are shown now.
    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.iter().cloned().collect()
    }

    /// The rows to be shown, at most `limit` and one for the others; and how many those are.
    pub(super) fn choose(
        &mut self,
        mut rows: Vec<Row>,
        limit: usize,
        columns: &[&Column],
    ) -> (Vec<Row>, u64) {
        let Some(at) = rows.iter().position(|row| row.key.is_none()) else {
            return (Vec::new(), 0);
        };
        let mut total = rows.swap_remove(at);
        let before = remainders(&total, &rows, |row| self.is_shown(row));
        self.keep_best(&mut rows, limit);
        let aggregated = total.place.saturating_sub(rows.len() as u64);
        let now = remainders(&total, &rows, |_| true);
        if aggregated > 0 || self.others.is_some() {
            let others = self.grow(columns, &before, &now);
            total.figures = figures(columns, &total, &others);
            self.others = Some(others);
            rows.push(total);
        }
        (rows, aggregated)
    }

    fn is_shown(&self, row: &Row) -> bool {
        row.key.as_ref().is_some_and(|key| self.keys.contains(key))
    }

    /// One that is shown goes only when it falls half the limit behind.
    fn keep_best(&mut self, rows: &mut Vec<Row>, limit: usize) {
        let lead = (limit / 2) as u64;
        let place =
            |row: &Row| if self.is_shown(row) { row.place.saturating_sub(lead) } else { row.place };
        rows.sort_by_key(|row| (place(row), row.place));
        rows.truncate(limit);
        self.keys = rows.iter().filter_map(|row| row.key.clone()).collect();
    }

    fn grow(&self, columns: &[&Column], before: &[f64], now: &[f64]) -> Vec<Others> {
        let last = |at: usize| self.others.as_ref().and_then(|others| others.get(at));
        let grown = |(at, column): (usize, &&Column)| {
            let shown = match (column.kind, last(at)) {
                (Kind::Counter, Some(last)) if before[at] >= last.sum => {
                    last.shown + before[at] - last.sum
                }
                // Counting began anew.
                (Kind::Counter, Some(last)) => last.shown + before[at],
                _ => now[at],
            };
            Others { sum: now[at], shown }
        };
        columns.iter().enumerate().map(grown).collect()
    }
}

fn figures(columns: &[&Column], total: &Row, others: &[Others]) -> Vec<Option<f64>> {
    columns
        .iter()
        .zip(&total.figures)
        .zip(others)
        .map(|((column, total), others)| {
            (column.adds_up && total.is_some()).then_some(others.shown)
        })
        .collect()
}

/// The remainder of each sum without some rows; never below 0, as rounding could make it.
fn remainders(total: &Row, rows: &[Row], without: impl Fn(&Row) -> bool) -> Vec<f64> {
    let remainder = |(at, sum): (usize, &Option<f64>)| {
        let values = rows.iter().filter(|row| without(row)).filter_map(|row| row.figures[at]);
        (sum.unwrap_or(0.0) - values.sum::<f64>()).max(0.0)
    };
    total.figures.iter().enumerate().map(remainder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::{OTHER, counter, gauge};

    const CALLS: Column = counter("calls", "Calls.");

    fn table(all: &[(&str, f64)]) -> Vec<Row> {
        let mut sorted = all.to_vec();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let row = |(at, (key, value)): (usize, &(&str, f64))| Row {
            key: Some((*key).to_owned()),
            place: at as u64 + 1,
            labels: vec![(*key).to_owned()],
            figures: vec![Some(*value)],
        };
        let total = Row {
            key: None,
            place: all.len() as u64,
            labels: vec![OTHER.to_owned()],
            figures: vec![Some(all.iter().map(|(_, value)| value).sum())],
        };
        sorted.iter().enumerate().map(row).chain([total]).collect()
    }

    fn choose(shown: &mut Shown, all: &[(&str, f64)], limit: usize) -> Vec<(String, f64)> {
        let (rows, _) = shown.choose(table(all), limit, &[&CALLS]);
        let mut chosen: Vec<_> =
            rows.into_iter().map(|row| (row.labels[0].clone(), row.figures[0].unwrap())).collect();
        chosen.sort_by(|a, b| a.0.cmp(&b.0));
        chosen
    }

    fn named(chosen: &[(String, f64)]) -> Vec<(&str, f64)> {
        chosen.iter().map(|(name, value)| (name.as_str(), *value)).collect()
    }

    #[test]
    fn all_are_shown_within_the_limit() {
        let mut shown = Shown::default();
        assert_eq!(
            named(&choose(&mut shown, &[("a", 5.0), ("b", 1.0)], 2)),
            [("a", 5.0), ("b", 1.0)]
        );
        assert_eq!(shown.choose(Vec::new(), 2, &[&CALLS]), (Vec::new(), 0));
    }

    #[test]
    fn sums_stay_whole() {
        let mut shown = Shown::default();
        let chosen = choose(&mut shown, &[("a", 5.0), ("b", 2.0), ("c", 1.0)], 1);
        assert_eq!(named(&chosen), [("a", 5.0), (OTHER, 3.0)]);
    }

    #[test]
    fn the_others_never_fall_whoever_leaves_them() {
        let mut shown = Shown::default();
        choose(&mut shown, &[("a", 5.0), ("b", 4.0), ("c", 1.0)], 1);
        let chosen = choose(&mut shown, &[("a", 6.0), ("b", 90.0), ("c", 2.0)], 1);
        assert_eq!(named(&chosen), [("b", 90.0), (OTHER, 5.0 + 86.0 + 1.0)]);
        let chosen = choose(&mut shown, &[("a", 7.0), ("b", 91.0), ("c", 2.0)], 1);
        assert_eq!(named(&chosen), [("b", 91.0), (OTHER, 92.0 + 1.0)]);
    }

    #[test]
    fn one_that_is_shown_stays_until_it_is_clearly_overtaken() {
        let mut shown = Shown::default();
        let all = |a: f64, e: f64| [("a", a), ("b", 60.0), ("c", 50.0), ("d", 40.0), ("e", e)];
        choose(&mut shown, &all(45.0, 1.0), 4);
        let chosen = choose(&mut shown, &all(38.0, 39.0), 4);
        assert!(
            chosen.iter().any(|(name, _)| name == "a")
                && chosen.iter().all(|(name, _)| name != "e")
        );
    }

    #[test]
    fn counting_anew_does_not_make_the_others_fall() {
        let mut shown = Shown::default();
        choose(&mut shown, &[("a", 5.0), ("b", 4.0)], 1);
        let chosen = choose(&mut shown, &[("a", 1.0), ("b", 0.5)], 1);
        assert_eq!(named(&chosen), [("a", 1.0), (OTHER, 4.5)]);
    }

    #[test]
    fn what_does_not_add_up_is_absent_of_the_others() {
        const LAST: Column = gauge("last", "When.").apart();
        let mut shown = Shown::default();
        let (rows, aggregated) = shown.choose(table(&[("a", 5.0), ("b", 4.0)]), 1, &[&LAST]);
        assert_eq!((rows[1].figures[0], aggregated), (None, 1));
    }
}
