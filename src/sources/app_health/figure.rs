//! The figures that an answer can have, and the reasons why one is missing.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// A figure that an answer can have. Counters and seconds are of use only where one process
/// answers.
#[derive(Clone, Copy, Debug, Deserialize, Hash, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// An array with one element a worker, in which the other pointers then begin.
    Workers,
    /// The worker's process.
    Pid,
    /// Connections the pool keeps.
    Size,
    /// The number of connections that it may open beyond its size; −1 is unlimited.
    MaxOverflow,
    /// The most it may have, where an answer has that instead; 0 and −1 are unlimited.
    Capacity,
    /// Open and resting in the pool.
    CheckedIn,
    /// Taken by the application.
    CheckedOut,
    /// All open connections, where an answer has that instead of those checked out.
    Open,
    /// Open above size; what is below 0 is read as 0, `SQLAlchemy`'s own begins at −size.
    Overflow,
    /// Callers waiting.
    Pending,
    /// The highest recent number of checked-out connections.
    Peak,
    /// The longest current hold, in seconds.
    OldestCheckout,
    /// Acquires that waited until the pool's timeout, since the start.
    Timeouts,
    /// Acquires that failed for another reason, since the start.
    AcquireErrors,
    /// Connections opened, since the start.
    Opened,
    /// Connections thrown away as broken, since the start.
    Invalidated,
    /// Acquires that had to wait, since the start.
    Waits,
    /// The total wait of acquires in seconds, since the start.
    WaitSeconds,
}

/// The reason why an answer has no figures.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum AnswerProblem {
    /// No figure gives the number of checked-out connections.
    #[error(
        "the answer has no {figure} where it is looked for ({found}): set `preset` or `pointers`"
    )]
    Missing {
        /// The figure that is missing.
        figure: Figure,
        /// The names that were found.
        found: String,
    },
    /// A figure is something else than a number.
    #[error("{figure} at {pointer:?} is {found}, not {wanted}")]
    Type {
        /// The figure.
        figure: Figure,
        /// The place where it was found.
        pointer: String,
        /// The value that was found.
        found: &'static str,
        /// The value that was expected.
        wanted: &'static str,
    },
    /// A figure cannot be true.
    #[error("{figure} at {pointer:?} is {value}, which cannot be")]
    Value {
        /// The figure.
        figure: Figure,
        /// The place where it was found.
        pointer: String,
        /// The value that was found.
        value: f64,
    },
}

/// A number and where it was found.
pub(super) struct FoundNumber<'a> {
    pub(super) figure: Figure,
    pub(super) pointer: &'a str,
    pub(super) value: f64,
}

impl FoundNumber<'_> {
    pub(super) fn count(&self, most: u64) -> Result<u64, AnswerProblem> {
        if self.value < 0.0 || self.value > most as f64 || self.value.fract() != 0.0 {
            return Err(self.untrue());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        Ok(self.value as u64)
    }

    pub(super) fn untrue(&self) -> AnswerProblem {
        let (figure, pointer, value) = (self.figure, self.pointer.to_owned(), self.value);
        AnswerProblem::Value { figure, pointer, value }
    }
}

pub(super) fn found<'a>(
    figure: Figure,
    pointer: &'a str,
    value: &Value,
    unit: f64,
) -> Result<FoundNumber<'a>, AnswerProblem> {
    match value.as_f64() {
        Some(number) => Ok(FoundNumber { figure, pointer, value: number * unit }),
        None => Err(AnswerProblem::Type {
            figure,
            pointer: pointer.to_owned(),
            found: kind(value),
            wanted: "a number",
        }),
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The first keys of an object, short and printable; otherwise what it is.
pub(super) fn keys(value: &Value) -> String {
    let Value::Object(object) = value else { return kind(value).to_owned() };
    let short = |key: &String| key.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
    let mut names: Vec<String> = object.keys().take(8).map(short).collect();
    if object.len() > names.len() {
        names.push("…".to_owned());
    }
    if names.is_empty() {
        "an empty object".to_owned()
    } else {
        format!("has {}", names.join(", "))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workers => "workers",
            Self::Pid => "pid",
            Self::Size => "size",
            Self::MaxOverflow => "max_overflow",
            Self::Capacity => "capacity",
            Self::CheckedIn => "checked_in",
            Self::CheckedOut => "checked_out",
            Self::Open => "open",
            Self::Overflow => "overflow",
            Self::Pending => "pending",
            Self::Peak => "peak",
            Self::OldestCheckout => "oldest_checkout",
            Self::Timeouts => "timeouts",
            Self::AcquireErrors => "acquire_errors",
            Self::Opened => "opened",
            Self::Invalidated => "invalidated",
            Self::Waits => "waits",
            Self::WaitSeconds => "wait_seconds",
        })
    }
}
