//! The output of a command.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::error::Error;

use super::{CommandError, FAILED};

/// Prints the output of a command. A reader that closes the pipe early, as `head` does, is no error;
/// a full disk is one.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn written(result: std::io::Result<()>) -> Result<(), CommandError> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError::Other(format!("the answer cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints the error that ends a command, if anybody can read it.
pub(super) fn report_error(error: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "poolwatch: {error}");
    ExitCode::from(code)
}

/// Prints a warning, if anybody can read it.
pub(super) fn warn(warning: &str) {
    let _ = writeln!(std::io::stderr(), "poolwatch: warning: {warning}");
}

/// Prints the error of the command line, or the help or the version that were asked for.
pub(super) fn print_clap_error(error: &Error) -> ExitCode {
    match written(error.print().and_then(|()| std::io::stdout().flush())) {
        Err(CommandError::Other(error)) => report_error(&error, FAILED),
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILED)),
    }
}
