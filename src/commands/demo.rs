//! A throwaway `PostgreSQL`, a realistic application on it, and the daemon over both.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{CommandError, runtime};
use crate::demo::{self, Options};

/// The description of the command.
pub(super) const ABOUT: &str =
    "Starts a throwaway PostgreSQL, a realistic application on it, and the daemon over both";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder of an application with serve and load.py, such as examples/reddit-bot, to be watched
    /// instead of the built-in one
    #[arg(long, value_name = "FOLDER")]
    application: Option<PathBuf>,
    /// Time in which the built-in application goes from idle to full and back
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    breath: Duration,
}

pub(super) fn main(arguments: &Arguments, listen: Option<&String>) -> Result<(), CommandError> {
    let options = Options {
        application: arguments.application.clone(),
        breath: arguments.breath,
        listen: listen.cloned(),
    };
    runtime()?.block_on(demo::run(&options)).map_err(|error| CommandError::other(&error))
}
