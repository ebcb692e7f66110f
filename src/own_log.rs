//! The lines of poolwatch's own log, on their way to the standard error output.
//!
//! A pipe that nobody reads fills up, and whoever writes to it then waits, for ever. So a thread of
//! its own writes the lines, and those that find too many waiting are dropped and counted.

use std::io;
use std::sync::OnceLock;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// The number of lines that may wait to be written.
const WAITING: usize = 1024;

static COUNTER: OnceLock<ErrorCounter> = OnceLock::new();

/// Returns a writer that never waits. When the guard is dropped, the lines that wait are
/// written, for a second at most.
pub(crate) fn writer() -> (NonBlocking, WorkerGuard) {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(io::stderr());
    COUNTER.get_or_init(|| writer.error_counter());
    (writer, guard)
}

/// The number of lines that were dropped since the start.
pub(crate) fn dropped_lines() -> u64 {
    COUNTER.get().map_or(0, |counter| counter.dropped_lines() as u64)
}
