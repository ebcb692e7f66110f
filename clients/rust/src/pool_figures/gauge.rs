//! Gauges, which rise and fall: connections and the callers that wait for them.

use super::Figures;

/// One gauge of a pool.
#[derive(Debug)]
pub struct Gauge {
    /// Its key in a report; absent when reports do not have it.
    pub wire: Option<&'static str>,
    /// The name of its metric; absent when it has none.
    pub metric: Option<&'static str>,
    /// The help of its metric.
    pub help: &'static str,
    /// Its key in the health answers; absent when they do not have it.
    pub json: Option<&'static str>,
    /// Its value; absent where it cannot be measured.
    pub get: fn(&Figures) -> Option<Value>,
    /// Gives it a value, unless it is calculated from the others.
    pub set: Option<fn(&mut Figures, Value)>,
    /// The kind of its values.
    pub kind: GaugeKind,
}

/// The kind of a gauge's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaugeKind {
    /// Connections or callers.
    Count,
    /// A limit of connections, or none.
    Limit,
    /// Seconds.
    Seconds,
    /// A share from 0 to 1.
    Share,
}

/// A value of a gauge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Connections or callers: the sum over workers.
    Count(u64),
    /// The most connections above the size: the sum over workers, or no limit if one has none.
    Limit(MaxOverflow),
    /// Seconds: the longest of all workers.
    Seconds(f64),
    /// A share from 0 to 1, calculated from the others.
    Share(f64),
}

/// The most connections that a pool may open above its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxOverflow {
    /// At most so many.
    Limited(u64),
    /// As many as are asked for: there is no capacity and no utilization.
    Unlimited,
}

/// Makes the struct of gauges, and its rows.
macro_rules! gauges {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident: $type:ident as $kind:ident { $($key:ident: $value:literal),+ }
                $(
                    derived $derived:ident as $derived_kind:ident $derived_help:literal {
                        $($derived_key:ident: $derived_value:literal),+
                    }
                )*
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: Option<$type>,)+
        }

        impl $name {
            /// Each gauge, in the order in which they are shown.
            pub const ROWS: &'static [$crate::pool_figures::Gauge] = &[$(
                $crate::pool_figures::Gauge {
                    $($key: Some($value),)+
                    set: Some(|figures, value| {
                        if let $crate::pool_figures::Value::$kind(value) = value {
                            figures.$field = Some(value);
                        }
                    }),
                    ..$crate::pool_figures::Gauge::new(
                        $crate::pool_figures::GaugeKind::$kind,
                        concat!($($help),+).trim_ascii(),
                        |figures| figures.$field.map($crate::pool_figures::Value::$kind),
                    )
                },
                $($crate::pool_figures::Gauge {
                    $($derived_key: Some($derived_value),)+
                    ..$crate::pool_figures::Gauge::new(
                        $crate::pool_figures::GaugeKind::$derived_kind,
                        $derived_help,
                        |figures| figures.$derived().map($crate::pool_figures::Value::$derived_kind),
                    )
                },)*
            )+];
        }
    };
}
pub(super) use gauges;

impl Gauge {
    pub(super) const fn new(
        kind: GaugeKind,
        help: &'static str,
        get: fn(&Figures) -> Option<Value>,
    ) -> Self {
        Self { wire: None, metric: None, help, json: None, get, set: None, kind }
    }
}

impl Value {
    /// The value over two workers.
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => Self::Count(a + b),
            (Self::Limit(a), Self::Limit(b)) => Self::Limit(a.plus(b)),
            (Self::Seconds(a), Self::Seconds(b)) => Self::Seconds(a.max(b)),
            (value, _) => value,
        }
    }

    /// The value as a metric has it; a limit that there is not has none.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(count as f64),
            Self::Limit(limit) => limit.limit().map(|limit| limit as f64),
            Self::Seconds(value) | Self::Share(value) => Some(value),
        }
    }
}

impl Figures {
    /// size + max overflow; absent when either is unknown or unlimited, or when both are 0.
    pub fn capacity(&self) -> Option<u64> {
        match (self.size?, self.max_overflow?) {
            (_, MaxOverflow::Unlimited) => None,
            (size, MaxOverflow::Limited(more)) => Some(size + more).filter(|all| *all > 0),
        }
    }

    /// checked out / capacity.
    pub fn utilization(&self) -> Option<f64> {
        Some(self.checked_out? as f64 / self.capacity()? as f64)
    }

    /// The highest utilization of the last minute, by the client's own high-water mark.
    pub fn peak_utilization(&self) -> Option<f64> {
        Some(self.peak?.max(self.checked_out?) as f64 / self.capacity()? as f64)
    }

    /// The most callers that waited at once in the last minute, at least those that wait now.
    pub fn pending_peak(&self) -> Option<u64> {
        both(self.pending_peak, self.pending, u64::max)
    }

    /// The sum over workers. A figure that some worker lacks is still summed over those that have
    /// it, but one unlimited worker makes the whole unlimited.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for one in all {
            sum.merge(&Self { pending_peak: one.pending_peak(), ..*one });
        }
        sum
    }

    fn merge(&mut self, other: &Self) {
        for row in Self::ROWS {
            let Some(set) = row.set else { continue };
            if let Some(value) = both((row.get)(self), (row.get)(other), Value::merge) {
                set(self, value);
            }
        }
    }
}

impl MaxOverflow {
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Limited(a), Self::Limited(b)) => Self::Limited(a + b),
            _ => Self::Unlimited,
        }
    }

    /// The limit, if there is one.
    pub fn limit(self) -> Option<u64> {
        match self {
            Self::Limited(limit) => Some(limit),
            Self::Unlimited => None,
        }
    }
}

/// Either value, or both combined.
pub fn both<T>(a: Option<T>, b: Option<T>, combine: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(combine(a, b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(size: u64, max_overflow: MaxOverflow, checked_out: u64) -> Figures {
        Figures {
            size: Some(size),
            max_overflow: Some(max_overflow),
            checked_out: Some(checked_out),
            ..Figures::default()
        }
    }

    #[test]
    fn an_unlimited_pool_has_no_utilization() {
        assert_eq!(figures(5, MaxOverflow::Unlimited, 3).utilization(), None);
        assert_eq!(figures(0, MaxOverflow::Unlimited, 3).utilization(), None);
        assert_eq!(figures(0, MaxOverflow::Limited(0), 0).utilization(), None);
        assert_eq!(figures(5, MaxOverflow::Limited(15), 19).utilization(), Some(0.95));
    }

    #[test]
    fn a_pool_that_keeps_no_connection_has_a_capacity_all_the_same() {
        assert_eq!(figures(0, MaxOverflow::Limited(15), 3).utilization(), Some(0.2));
    }

    #[test]
    fn one_unlimited_worker_makes_the_sum_unlimited() {
        let (a, b) =
            (figures(5, MaxOverflow::Limited(15), 1), figures(5, MaxOverflow::Unlimited, 2));
        let sum = Figures::sum([&a, &b]);
        assert_eq!((sum.capacity(), sum.checked_out), (None, Some(3)));
    }

    #[test]
    fn the_sum_has_the_longest_hold_and_the_waiting_of_all() {
        let a = Figures { pending: Some(3), oldest_checkout: Some(2.5), ..Figures::default() };
        let b = Figures { pending_peak: Some(4), oldest_checkout: Some(1.0), ..Figures::default() };
        let sum = Figures::sum([&a, &b]);
        assert_eq!((sum.pending, sum.pending_peak), (Some(3), Some(7)));
        assert_eq!(sum.oldest_checkout, Some(2.5));
    }
}
