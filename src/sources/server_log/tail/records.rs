//! Cuts what a log file grew by into records: one message each, whatever line ends it holds.
//!
//! No more than a limited piece of a record is kept. What a message is about stands at its
//! beginning, so a statement of a hundred megabytes is counted like any other.

use memchr::memchr;

use super::super::parse::{BYTE_ORDER_MARK, RecordFormat, begins_csv};

/// The most bytes of a record that are kept.
pub(crate) const LIMIT: usize = 64 * 1024;

/// One message of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) bytes: &'a [u8],
    /// True when its end is missing.
    pub(crate) cut: bool,
}

/// The record that a file is in the midst of.
#[derive(Debug)]
pub(crate) struct Records {
    format: RecordFormat,
    kept: Vec<u8>,
    /// Bytes of the record so far, those not kept included.
    length: usize,
    /// Within quotes, in CSV.
    quoted: bool,
    /// At the beginning of a line, where a record may begin.
    at_line_start: bool,
    /// True while what comes is of a record whose beginning was not read.
    lost: bool,
}

impl Records {
    /// Those of a file from its beginning.
    pub(crate) fn new(format: RecordFormat) -> Self {
        Self {
            format,
            kept: Vec::new(),
            length: 0,
            quoted: false,
            at_line_start: true,
            lost: false,
        }
    }

    /// Those from somewhere in its midst, at the beginning of a line or not.
    pub(crate) fn within(format: RecordFormat, line_start: bool) -> Self {
        Self { at_line_start: line_start, lost: true, ..Self::new(format) }
    }

    pub(crate) fn format(&self) -> RecordFormat {
        self.format
    }

    /// The bytes that are kept of a record not yet whole.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept.len()
    }

    /// True when part of a record was read.
    pub(crate) fn is_open(&self) -> bool {
        self.length > 0
    }

    /// Takes what comes next, and hands on each record that is whole.
    pub(crate) fn take(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(Record<'_>)) {
        while !bytes.is_empty() {
            let line = memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
            let (now, later) = bytes.split_at(line);
            self.line(now, emit);
            bytes = later;
        }
    }

    /// Hands on the record that nothing more is added to, if its last line is whole.
    pub(crate) fn flush(&mut self, emit: &mut impl FnMut(Record<'_>)) {
        if self.format == RecordFormat::Stderr && self.at_line_start {
            self.end(emit);
        }
    }

    /// A line or a piece of one.
    fn line(&mut self, piece: &[u8], emit: &mut impl FnMut(Record<'_>)) {
        let piece = if self.at_line_start { without_hole(piece) } else { piece };
        if piece.is_empty() {
            return;
        }
        if self.at_line_start {
            self.begin(piece, emit);
        }
        self.at_line_start = piece.ends_with(b"\n");
        if self.lost {
            return;
        }
        if self.format == RecordFormat::Csvlog {
            self.count_quotes(piece);
        }
        self.length = self.length.saturating_add(piece.len());
        let room = LIMIT - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        let whole = self.at_line_start && !self.quoted && self.format != RecordFormat::Stderr;
        if whole {
            self.end(emit);
        }
    }

    /// A new line: it may end the record before it, or the wait for one that is whole.
    fn begin(&mut self, piece: &[u8], emit: &mut impl FnMut(Record<'_>)) {
        match self.format {
            RecordFormat::Stderr if !piece.starts_with(b"\t") => {
                self.end(emit);
                self.lost = false;
            }
            RecordFormat::Jsonlog => self.lost = false,
            // Of what is too long the quotes may not have been meant as such.
            RecordFormat::Csvlog if (self.lost || self.length > LIMIT) && begins_csv(piece) => {
                self.end(emit);
                self.lost = false;
            }
            _ => {}
        }
    }

    fn count_quotes(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(at) = memchr(b'"', rest) {
            self.quoted = !self.quoted;
            rest = &rest[at + 1..];
        }
    }

    fn end(&mut self, emit: &mut impl FnMut(Record<'_>)) {
        if self.length > 0 && !self.lost {
            emit(Record { bytes: trimmed(&self.kept), cut: self.length > self.kept.len() });
        }
        self.kept.clear();
        self.kept.shrink_to(LIMIT / 16);
        (self.length, self.quoted) = (0, false);
    }
}

/// Without the NULs that a truncated file has up to where its writer went on.
fn without_hole(line: &[u8]) -> &[u8] {
    &line[line.iter().position(|byte| *byte != 0).unwrap_or(line.len())..]
}

/// Without the line end, and without the mark that editors and some systems begin a file with.
fn trimmed(record: &[u8]) -> &[u8] {
    let record = record.strip_prefix(BYTE_ORDER_MARK).unwrap_or(record);
    let last = record.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
    &record[..last.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(format: RecordFormat, pieces: &[&[u8]]) -> Vec<String> {
        let (mut records, mut emitted) = (Records::new(format), Vec::new());
        let mut emit = |record: Record<'_>| {
            emitted.push(String::from_utf8_lossy(record.bytes).into_owned());
        };
        for piece in pieces {
            records.take(piece, &mut emit);
        }
        records.flush(&mut emit);
        emitted
    }

    const CSV: &str = "2026-01-31 23:59:59.123 UTC,\"a\",\"b\",7,\"x\ny\"\"\n\"\n";

    #[test]
    fn a_line_that_begins_with_a_tab_goes_on() {
        let text = b"a: one\n\ttwo\n\t\tthree\nb\n";
        assert_eq!(cut(RecordFormat::Stderr, &[text]), ["a: one\n\ttwo\n\t\tthree", "b"]);
        let (begun, rest) = text.split_at(8);
        assert_eq!(cut(RecordFormat::Stderr, &[begun, rest]), ["a: one\n\ttwo\n\t\tthree", "b"]);
        assert_eq!(cut(RecordFormat::Stderr, &[b"a\nb, not whole"]), ["a"]);
    }

    #[test]
    fn a_line_end_within_quotes_ends_nothing() {
        let twice = [CSV, CSV].concat();
        for at in 0..twice.len() {
            let (begun, rest) = twice.as_bytes().split_at(at);
            let emitted = cut(RecordFormat::Csvlog, &[begun, rest]);
            assert_eq!(emitted, [CSV.trim_end(), CSV.trim_end()], "cut at {at}");
        }
    }

    #[test]
    fn what_is_read_from_its_midst_begins_with_the_next_record() {
        for (format, line_start, text) in [
            (RecordFormat::Stderr, false, "half\n\tmore\nwhole\n".to_owned()),
            (RecordFormat::Stderr, true, "\tmore\nwhole\n".to_owned()),
            (RecordFormat::Jsonlog, false, "half\"}\nwhole\n".to_owned()),
            (RecordFormat::Csvlog, true, format!("in quotes, perhaps\"\"\n\",\n{CSV}")),
        ] {
            let (mut records, mut emitted) = (Records::within(format, line_start), 0);
            records.take(text.as_bytes(), &mut |_| emitted += 1);
            records.flush(&mut |_| emitted += 1);
            assert_eq!(emitted, 1, "{format:?}");
        }
    }

    #[test]
    fn of_what_is_too_long_the_beginning_is_kept_and_the_next_is_found() {
        let long = "x".repeat(5 * LIMIT);
        let json = format!("{{\"a\":\"{long}\"}}\n{{}}\n");
        assert_eq!(cut(RecordFormat::Jsonlog, &[json.as_bytes()])[1], "{}");
        let csv = format!("2026-01-31 23:59:59.123 UTC,\"never closed {long}\n{CSV}{CSV}");
        let emitted = cut(RecordFormat::Csvlog, &[csv.as_bytes()]);
        assert_eq!((emitted.len(), emitted[0].len(), &*emitted[1]), (3, LIMIT, CSV.trim_end()));
    }

    #[test]
    fn the_hole_that_a_truncation_leaves_is_skipped() {
        let hole = vec![0; 3 * LIMIT];
        for format in [RecordFormat::Stderr, RecordFormat::Csvlog, RecordFormat::Jsonlog] {
            assert_eq!(cut(format, &[&hole, b"\0a\n"]), ["a"], "{format:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_record() {
        for format in [RecordFormat::Stderr, RecordFormat::Csvlog, RecordFormat::Jsonlog] {
            assert_eq!(cut(format, &[b"\xef", b"\xbb\xbfa\n", b"b\n"]), ["a", "b"], "{format:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_little_is_kept_and_pieces_make_no_difference(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'"'), Just(b'\t'), any::<u8>()], 0..400),
            at in 0..400_usize,
            format in prop_oneof![Just(RecordFormat::Stderr), Just(RecordFormat::Csvlog), Just(RecordFormat::Jsonlog)],
        ) {
            let (begun, rest) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(cut(format, &[begun, rest]), cut(format, &[&bytes]));
            let mut records = Records::new(format);
            for _ in 0..200 {
                records.take(&bytes, &mut |record| assert!(record.bytes.len() <= LIMIT));
                prop_assert!(records.kept_bytes() <= LIMIT);
            }
        }
    }
}
