//! poolwatch's own log: its level and format.

use clap::ValueEnum;
use serde::Deserialize;

/// Logging.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The format of its lines.
    pub format: LogFormat,
}

/// A level; what is more severe is logged too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the field's own words")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pairs of key and value.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}
