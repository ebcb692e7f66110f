//! Counters and histograms, which only grow: the sum over workers, the difference between two
//! moments, and what is carried on where a later report leaves something out.

use crate::histogram::Histogram;

/// One counter or histogram of a pool.
#[derive(Debug)]
pub struct Row<S, T> {
    /// Its key in a report.
    pub wire: &'static str,
    /// The name of its metric.
    pub metric: &'static str,
    /// The help of its metric.
    pub help: &'static str,
    /// Its key in the health answers.
    pub json: &'static str,
    /// The upper bounds of a histogram's buckets in seconds.
    pub bounds: &'static [f64],
    /// Its place; absent where nobody counts it.
    pub get: fn(&S) -> &Option<T>,
    /// Its place, to be written to.
    pub get_mut: fn(&mut S) -> &mut Option<T>,
}

/// A figure that never falls, unless who counts it began again.
pub trait Grows: Clone {
    /// Adds another's.
    fn merge(&mut self, other: &Self);

    /// The growth since an earlier moment; all of it where it fell, for then it began again.
    fn since(&self, before: &Self) -> Self;
}

/// Counters, or histograms, as rows of the table.
pub trait Cumulative: Default + 'static {
    /// One counter or histogram.
    type Figure: Grows + 'static;

    /// Each, in the order in which they are shown.
    const ROWS: &'static [Row<Self, Self::Figure>];

    /// Adds another's; what only one has is taken from it.
    fn merge(&mut self, other: &Self) {
        for row in Self::ROWS {
            match ((row.get_mut)(self), (row.get)(other)) {
                (Some(sum), Some(more)) => sum.merge(more),
                (empty, Some(more)) => *empty = Some(more.clone()),
                (_, None) => {}
            }
        }
    }

    /// The growth since an earlier moment.
    fn since(&self, before: &Self) -> Self {
        let mut growth = Self::default();
        for row in Self::ROWS {
            *(row.get_mut)(&mut growth) = match ((row.get)(self), (row.get)(before)) {
                (Some(now), Some(before)) => Some(now.since(before)),
                (now, _) => now.clone(),
            };
        }
        growth
    }

    /// Fills in what is absent from an earlier moment, to go on from when it is reported again.
    fn carry(&mut self, before: &Self) {
        for row in Self::ROWS {
            let now = (row.get_mut)(self);
            if now.is_none() {
                now.clone_from((row.get)(before));
            }
        }
    }
}

impl Grows for u64 {
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }

    fn since(&self, before: &Self) -> Self {
        self.checked_sub(*before).unwrap_or(*self)
    }
}

impl Grows for Histogram {
    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }

    fn since(&self, before: &Self) -> Self {
        Self::since(self, before)
    }
}

/// Makes a struct of counters or histograms, and its rows.
macro_rules! cumulative {
    (
        $(#[doc = $about:literal])+
        #[derive($($derive:ident),*)]
        pub struct $name:ident of $figure:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident { $($key:ident: $value:expr),+ $(,)? }
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq, $($derive),*)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: Option<$figure>,)+
        }

        impl $crate::pool_figures::Cumulative for $name {
            type Figure = $figure;

            const ROWS: &'static [$crate::pool_figures::Row<Self, $figure>] = &[
                $($crate::pool_figures::Row {
                    $($key: $value,)+
                    ..$crate::pool_figures::Row::new(
                        concat!($($help),+).trim_ascii(),
                        |figures: &Self| &figures.$field,
                        |figures| &mut figures.$field,
                    )
                },)+
            ];
        }
    };
}
pub(super) use cumulative;

impl<S, T> Row<S, T> {
    pub(super) const fn new(
        help: &'static str,
        get: fn(&S) -> &Option<T>,
        get_mut: fn(&mut S) -> &mut Option<T>,
    ) -> Self {
        Self { wire: "", metric: "", help, json: "", bounds: &[], get, get_mut }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Totals;
    use super::*;

    fn totals(opened: u64, timeouts: Option<u64>) -> Totals {
        Totals { opened: Some(opened), timeouts, ..Totals::default() }
    }

    #[test]
    fn a_sum_takes_what_only_one_has() {
        let mut sum = totals(3, None);
        sum.merge(&totals(4, Some(2)));
        assert_eq!(sum, totals(7, Some(2)));
        sum.merge(&totals(u64::MAX, None));
        assert_eq!(sum, totals(u64::MAX, Some(2)));
    }

    #[test]
    fn a_counter_that_fell_began_again() {
        assert_eq!(totals(10, Some(5)).since(&totals(4, None)), totals(6, Some(5)));
        assert_eq!(totals(4, None).since(&totals(10, Some(1))), totals(4, None));
    }

    #[test]
    fn what_is_absent_is_carried() {
        let mut now = totals(1, None);
        now.carry(&totals(9, Some(8)));
        assert_eq!(now, totals(1, Some(8)));
    }
}
