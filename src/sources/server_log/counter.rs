//! The records of a log, read and counted.

use super::count::{RejectReason, Tally};
use super::parse::{self, Parser, RecordFormat};
use super::tail::{Record, Records, Sink};

/// Reads and counts the records of a log.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) parser: Parser,
    pub(super) tally: Tally,
}

impl Sink for Counter {
    fn record(&mut self, format: RecordFormat, record: Record<'_>) {
        if record.bytes.is_empty() {
            return;
        }
        let text = parse::text(format, record.bytes, record.cut);
        self.tally.count_record(self.parser.parse(format, &text, record.cut));
    }

    fn read(&mut self, bytes: u64) {
        self.tally.read(bytes);
    }

    fn truncated(&mut self) {
        self.tally.reject(RejectReason::Truncated);
    }
}

/// A log in memory, for measuring and for the fuzzer: what is fed is counted as if a file had grown
/// by it.
#[derive(Debug)]
pub struct MemoryLog {
    pub(super) records: Records,
    pub(super) counter: Counter,
}

impl MemoryLog {
    /// A log of this format with nothing in it.
    pub fn new(format: RecordFormat) -> Self {
        Self { records: Records::new(format), counter: Counter::default() }
    }

    /// Expects this `log_line_prefix` before any other.
    pub fn expect(&mut self, prefix: &str) {
        self.counter.parser.expect_prefix(prefix);
    }

    /// The figures so far.
    pub fn tally(&self) -> &Tally {
        &self.counter.tally
    }

    /// Counts what it grew by.
    pub fn feed(&mut self, bytes: &[u8]) {
        let format = self.records.format();
        self.records.take(bytes, &mut |record| self.counter.record(format, record));
    }

    /// The figures, once it grows no more.
    pub fn end(&mut self) -> &Tally {
        let format = self.records.format();
        self.records.flush(&mut |record| self.counter.record(format, record));
        &self.counter.tally
    }
}
