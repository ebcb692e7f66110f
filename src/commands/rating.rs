//! The rating of a finding: a sign, coloured on a terminal only.

use clap::ValueEnum;
use serde::Serialize;

/// The format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The rating of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rating {
    Good,
    Doubtful,
    Bad,
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
            Self::Good => 32,
            Self::Doubtful => 33,
            Self::Bad => 31,
            Self::Absent => 90,
        };
        let sign = self.sign();
        if terminal { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_string() }
    }
}
