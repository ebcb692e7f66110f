//! What a command prints.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::error::Error;

use super::{FAILED, Failure};

/// Prints the answer of a command. Whoever reads only its beginning, as `head` does, has what he
/// wants; that it cannot be written otherwise, as to a full disk, is an error.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("the answer cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints the last words of a command, if anybody can read them.
pub(super) fn complain(error: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "poolwatch: {error}");
    ExitCode::from(code)
}

/// Prints what a command does not fail of, if anybody can read it.
pub(super) fn warn(warning: &str) {
    let _ = writeln!(std::io::stderr(), "poolwatch: warning: {warning}");
}

/// Prints what is said in place of a command: what is wrong with the command line, or the help or
/// the version that were asked for.
pub(super) fn instead(said: &Error) -> ExitCode {
    match written(said.print().and_then(|()| std::io::stdout().flush())) {
        Err(Failure::Other(error)) => complain(&error, FAILED),
        _ => ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(FAILED)),
    }
}
