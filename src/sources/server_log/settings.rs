//! The settings of the server's log.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::parse::RecordFormat;

/// The settings of one server's log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The files, where `*` stands for anything; without it nothing is read, or over SQL all.
    pub path: Option<String>,
    /// The way to the files.
    pub over: Over,
    /// Their format.
    pub format: ExpectedFormat,
    /// The prefix of each message of the text log; asked of the server when not set.
    pub prefix: Option<String>,
    /// The server that writes it; the first of the settings when not set.
    pub server: Option<String>,
    /// The most bytes that are read each time; the rest waits.
    pub read_limit: NonZeroU64,
}

/// The way to the files of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// The file system of this machine.
    #[default]
    Files,
    /// The server itself, by SQL.
    Sql,
}

/// The format in the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedFormat {
    /// The one that a file is found to have; the one that tells most, when there are several.
    #[default]
    Auto,
    /// Text.
    Stderr,
    /// Comma-separated values.
    Csvlog,
    /// JSON objects.
    Jsonlog,
}

impl ExpectedFormat {
    pub(super) fn format(self) -> Option<RecordFormat> {
        match self {
            Self::Auto => None,
            Self::Stderr => Some(RecordFormat::Stderr),
            Self::Csvlog => Some(RecordFormat::Csvlog),
            Self::Jsonlog => Some(RecordFormat::Jsonlog),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            over: Over::Files,
            format: ExpectedFormat::Auto,
            prefix: None,
            server: None,
            read_limit: NonZeroU64::new(64 * 1024 * 1024).expect("it is not 0"),
        }
    }
}

impl Settings {
    /// Returns whether there is a log to read.
    pub fn is_set(&self) -> bool {
        self.path.is_some() || self.over == Over::Sql
    }

    /// Checks that the path can be followed.
    pub fn check(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        glob::Pattern::new(path).map_err(|error| Error::path(path, &error)).map(|_| ())
    }
}
