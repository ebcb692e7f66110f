//! What it means: each rule looks at what is known and says what is wrong and what to do.
//!
//! A rule is a file here: a struct whose fields are its thresholds, with a pure `judge`. To add
//! one, write the file and add its line to [`review`].

mod pool_exhausted;
mod pool_usage;

use serde::Serialize;

use crate::snapshot::{PoolState, Thresholds};

/// How much it matters, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Will hurt if it goes on.
    Warning,
    /// Hurts now.
    Critical,
}

impl Severity {
    /// The value of the label `severity`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One thing that is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// The rule that says so.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: a pool, a table, a statement.
    pub subject: String,
    /// What is wrong, with the figure.
    pub message: String,
    /// A thing to do.
    pub remedy: String,
}

/// What every rule says of the pools as they are, worst first.
pub fn review(pools: &[PoolState], thresholds: &Thresholds) -> Vec<Advice> {
    let mut advice: Vec<_> = pools
        .iter()
        .flat_map(|pool| {
            let usage = pool_usage::judge(pool, thresholds);
            usage.into_iter().chain(pool_exhausted::judge(pool))
        })
        .collect();
    advice.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.subject.cmp(&b.subject)));
    advice
}
