//! A column of a table: a figure, its kind and its help.

use crate::metric::Kind;

/// A column that is a figure.
#[derive(Debug)]
pub struct Column {
    /// The alias in the SQL, and the end of the family's name.
    pub name: &'static str,
    /// The kind of figure.
    pub kind: Kind,
    /// The help text, which names the view and column that the figure comes from.
    pub help: &'static str,
    /// The first version that has it.
    pub since: u32,
    /// True when the figures of several rows add up to one figure for all of them.
    pub adds_up: bool,
    /// True for an age, which is left out where it is below 0 because a clock was set back.
    pub is_age: bool,
    /// Upper bounds of a histogram, whose rows are each one observation.
    pub bounds: &'static [f64],
}

/// A column whose figure may go up and down.
pub const fn gauge(name: &'static str, help: &'static str) -> Column {
    Column { name, kind: Kind::Gauge, help, since: 0, adds_up: true, is_age: false, bounds: &[] }
}

/// A column whose figure is how long ago something was, in seconds.
pub const fn age(name: &'static str, help: &'static str) -> Column {
    Column { is_age: true, ..gauge(name, help) }
}

/// A column whose figure only grows.
pub const fn counter(name: &'static str, help: &'static str) -> Column {
    Column { kind: Kind::Counter, ..gauge(name, help) }
}

/// A column whose rows are each one observation.
pub const fn histogram(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Column {
    Column { kind: Kind::Histogram, bounds, ..gauge(name, help) }
}

impl Column {
    /// The same column, absent before a version.
    pub const fn since(self, since: u32) -> Self {
        Self { since, ..self }
    }

    /// The same column, whose sum over rows has no meaning.
    pub const fn apart(self) -> Self {
        Self { adds_up: false, ..self }
    }
}
