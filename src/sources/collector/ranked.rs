//! The order of the rows, where the server gives all of them: see [`Rank::Each`].
//!
//! [`Rank::Each`]: crate::collectors::Rank::Each

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::families::Row;
use crate::collectors::{Column, Measure, OTHER};

/// Between the labels of a row, which are its key.
const BETWEEN: &str = "\u{1f}";

/// The rows with their keys and places, each set of labels once; and last the sum of them all.
/// Beyond the first `most` by each measure, places are all the last.
pub(super) fn ranked(
    rows: impl IntoIterator<Item = Row>,
    columns: &[&Column],
    measures: &[Measure],
    most: usize,
) -> Vec<Row> {
    let mut rows = added_up(rows);
    let Some(total) = total(&rows, columns) else { return rows };
    let best = best(&rows, columns, measures, most);
    let mut first: Vec<_> = (0..rows.len()).filter(|at| best[*at] < usize::MAX).collect();
    first.sort_unstable_by(|a, b| (best[*a], &rows[*a].key).cmp(&(best[*b], &rows[*b].key)));
    for (before, at) in first.into_iter().enumerate() {
        rows[at].place = before as u64 + 1;
    }
    rows.push(total);
    rows
}

/// Each set of labels once, in the last place.
fn added_up(rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    let mut sums: HashMap<Vec<String>, Vec<Option<f64>>> = HashMap::new();
    for Row { labels, figures, .. } in rows {
        match sums.entry(labels) {
            Entry::Occupied(mut entry) => add(entry.get_mut(), &figures),
            Entry::Vacant(free) => {
                free.insert(figures);
            }
        }
    }
    let place = sums.len() as u64;
    let row = |(labels, figures): (Vec<String>, _)| Row {
        key: Some(labels.join(BETWEEN)),
        place,
        labels,
        figures,
    };
    sums.into_iter().map(row).collect()
}

fn add(sums: &mut [Option<f64>], figures: &[Option<f64>]) {
    for (sum, figure) in sums.iter_mut().zip(figures) {
        *sum = sum.zip(*figure).map(|(sum, figure)| sum + figure).or(*sum).or(*figure);
    }
}

/// `None` of no rows.
fn total(rows: &[Row], columns: &[&Column]) -> Option<Row> {
    let mut figures = vec![None; columns.len()];
    for row in rows {
        add(&mut figures, &row.figures);
    }
    for (sum, column) in figures.iter_mut().zip(columns) {
        *sum = sum.filter(|_| column.adds_up);
    }
    let labels = vec![OTHER.to_owned(); rows.first()?.labels.len()];
    Some(Row { key: None, place: rows.len() as u64, labels, figures })
}

/// For each row, its best rank, from 0, by any of the measures; `usize::MAX` beyond `most`.
fn best(rows: &[Row], columns: &[&Column], measures: &[Measure], most: usize) -> Vec<usize> {
    let mut best = vec![usize::MAX; rows.len()];
    for measure in measures {
        let mut values: Vec<_> =
            rows.iter().map(|row| value(row, columns, *measure)).zip(0..).collect();
        let descending = |a: &(f64, usize), b: &(f64, usize)| {
            b.0.total_cmp(&a.0).then_with(|| rows[a.1].key.cmp(&rows[b.1].key))
        };
        if values.len() > most {
            values.select_nth_unstable_by(most, descending);
            values.truncate(most);
        }
        values.sort_unstable_by(descending);
        for (before, (_, at)) in values.into_iter().enumerate() {
            best[at] = best[at].min(before);
        }
    }
    best
}

/// The value of a row by one measure. A row without one comes last.
fn value(row: &Row, columns: &[&Column], measure: Measure) -> f64 {
    let figure = |name| {
        let at = columns.iter().position(|column| column.name == name);
        at.and_then(|at| row.figures[at])
    };
    let value = match measure {
        Measure::Column(column) => figure(column),
        Measure::Quotient(column, by) => figure(column).zip(figure(by)).map(|(of, by)| of / by),
    };
    value.filter(|value| !value.is_nan()).unwrap_or(f64::NEG_INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::{counter, gauge};

    const SECONDS: Column = counter("seconds", "Seconds.");
    const CALLS: Column = counter("calls", "Calls.");
    const LAST: Column = gauge("last", "When.").apart();
    const MEASURES: [Measure; 3] = [
        Measure::Column("seconds"),
        Measure::Column("calls"),
        Measure::Quotient("seconds", "calls"),
    ];

    fn row(label: &str, seconds: f64, calls: f64) -> Row {
        let figures = vec![Some(seconds), Some(calls), Some(1.0)];
        Row { labels: vec!["app".to_owned(), label.to_owned()], figures, ..Row::default() }
    }

    fn places(rows: &[Row], most: usize) -> Vec<(String, u64)> {
        let all = ranked(rows.to_vec(), &[&SECONDS, &CALLS, &LAST], &MEASURES, most);
        let mut places: Vec<_> =
            all[..all.len() - 1].iter().map(|row| (row.labels[1].clone(), row.place)).collect();
        places.sort_by_key(|(_, place)| *place);
        places
    }

    fn named(places: &[(String, u64)]) -> Vec<(&str, u64)> {
        places.iter().map(|(label, place)| (label.as_str(), *place)).collect()
    }

    #[test]
    fn the_first_by_each_measure_come_first_in_turn() {
        let rows = [
            row("d", 1.0, 2.0),
            row("often", 2.0, 900.0),
            row("slow", 5.0, 1.0),
            row("long", 90.0, 100.0),
        ];
        let expected = [("long", 1), ("often", 2), ("slow", 3), ("d", 4)];
        assert_eq!(named(&places(&rows, 10)), expected);
    }

    #[test]
    fn beyond_the_first_by_each_all_are_last() {
        let rows: Vec<_> = (0..50_u8)
            .map(|number| row(&format!("{number:02}"), f64::from(100 - number), 1.0))
            .collect();
        let found = places(&rows, 3);
        assert_eq!(named(&found[..3]), [("00", 1), ("01", 2), ("02", 3)]);
        assert!(found[3..].iter().all(|(_, place)| *place == 50), "{found:?}");
    }

    #[test]
    fn the_same_labels_are_one_row() {
        let rows = [row("a", 2.0, 3.0), row("b", 3.0, 1.0), row("a", 4.0, 1.0)];
        let all = ranked(rows, &[&SECONDS, &CALLS, &LAST], &MEASURES, 10);
        let of = |label: &str| {
            let row = all.iter().find(|row| row.labels[1] == label).unwrap();
            (row.key.is_some(), row.place, row.figures[0], row.figures[1])
        };
        assert_eq!(of("a"), (true, 1, Some(6.0), Some(4.0)));
        assert_eq!(of("b"), (true, 2, Some(3.0), Some(1.0)));
        assert_eq!(of(OTHER), (false, 2, Some(9.0), Some(5.0)));
        assert_eq!(all.last().unwrap().figures[2], None, "what does not add up has no sum");
    }

    #[test]
    fn what_is_not_known_comes_last_and_nothing_has_no_sum() {
        let unknown = Row { figures: vec![None, None, None], ..row("a", 0.0, 0.0) };
        assert_eq!(named(&places(&[unknown, row("b", 0.0, 1.0)], 9)), [("b", 1), ("a", 2)]);
        assert_eq!(ranked([], &[&CALLS], &MEASURES, 9), []);
    }
}
