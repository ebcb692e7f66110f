//! The rating of a finding: a sign, coloured on a terminal only.

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The rating of a finding, from what needs attention most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Rating {
    Bad,
    Doubtful,
    Good,
    /// Cannot be there.
    Absent,
}

impl Rating {
    fn sign(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Doubtful => '!',
            Self::Bad => '✗',
            Self::Absent => '–',
        }
    }

    /// The sign, in its colour for a terminal.
    pub(super) fn shown(self, terminal: bool) -> String {
        let colour = match self {
            Self::Good => AnsiColor::Green,
            Self::Doubtful => AnsiColor::Yellow,
            Self::Bad => AnsiColor::Red,
            Self::Absent => AnsiColor::BrightBlack,
        };
        let style = if terminal { colour.on_default() } else { Style::new() };
        format!("{style}{}{style:#}", self.sign())
    }
}
