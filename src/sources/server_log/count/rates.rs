//! The number of statements that one that was logged stands for: the server may log a sample.

/// The statements that the server logs, and the share of them; durations in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// Every statement from here on is logged; `None` is none (`log_min_duration_statement`).
    pub(crate) all_from: Option<f64>,
    /// Of the statements from here on some are logged (`log_min_duration_sample`) …
    pub(crate) some_from: Option<f64>,
    /// … this share of them (`log_statement_sample_rate`).
    pub(crate) statements: f64,
    /// Of all transactions every statement of this share is logged
    /// (`log_transaction_sample_rate`).
    pub(crate) transactions: f64,
    /// Of every statement the duration is logged, if not the text (`log_duration`).
    pub(crate) durations: bool,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            all_from: Some(0.0),
            some_from: None,
            statements: 0.0,
            transactions: 0.0,
            durations: false,
        }
    }
}

impl Rates {
    /// The same for a log in which a duration without a text can be told to be a statement's.
    pub(super) fn with_durations(self) -> Self {
        let all_from = if self.durations { Some(0.0) } else { self.all_from };
        Self { all_from, ..self }
    }

    /// The number of statements of a duration that one that was logged stands for.
    pub(super) fn weight(&self, seconds: f64) -> f64 {
        // The server compares whole milliseconds.
        let milliseconds = (seconds * 1000.0 + 1e-6).floor() / 1000.0;
        let reaches =
            |threshold: Option<f64>| threshold.is_some_and(|least| milliseconds >= least - 1e-9);
        if reaches(self.all_from) {
            return 1.0;
        }
        let sampled = if reaches(self.some_from) { self.statements } else { 0.0 };
        let share = 1.0 - (1.0 - sampled) * (1.0 - self.transactions);
        // One that should not be there was logged by the rule of its own role or database.
        if share > 0.0 { 1.0 / share } else { 1.0 }
    }

    /// The duration from which every statement is counted, in full or by its sample; `None` when none
    /// is.
    pub(crate) fn counted_from(&self) -> Option<f64> {
        let some = self.some_from.filter(|_| self.statements > 0.0);
        let any = (self.transactions > 0.0).then_some(0.0);
        [self.all_from, some, any].into_iter().flatten().reduce(f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_sample_stands_for_those_that_were_left_out() {
        let rates = Rates {
            all_from: Some(1.0),
            some_from: Some(0.1),
            statements: 0.25,
            transactions: 0.0,
            durations: true,
        };
        assert_eq!([0.0999, 0.1, 0.9999, 1.0].map(|s| rates.weight(s)), [1.0, 4.0, 4.0, 1.0]);
        assert_eq!(rates.counted_from(), Some(0.1));
        let both = Rates { transactions: 0.5, ..rates };
        assert_eq!([0.05, 0.5].map(|s| both.weight(s)), [2.0, 1.0 / 0.625]);
        assert_eq!(both.counted_from(), Some(0.0));
        assert_eq!(both.with_durations().weight(0.05), 1.0, "the others are there without a text");
    }

    #[test]
    fn what_is_logged_from_nothing_on_is_everything() {
        assert_eq!(Rates::default().weight(0.0), 1.0);
        let none = Rates { all_from: None, ..Rates::default() };
        assert_eq!((none.weight(3.0), none.counted_from()), (1.0, None));
        let sampled = Rates { some_from: Some(0.0), statements: 0.0, ..none };
        assert_eq!(sampled.counted_from(), None);
    }
}
