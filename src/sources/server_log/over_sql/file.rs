//! One file of the log on the server, read from where it was left.

use tokio::time::Instant;

use super::queries::{Listed, STEP, read};
use crate::sources::server_log::error::Error;
use crate::sources::server_log::parse::RecordFormat;
use crate::sources::server_log::tail::{Records, Sink};
use poolwatch_client::Checkout;

/// The number of first bytes by which a file is recognized: they hold the time of its first message.
pub(super) const HEAD: i64 = 256;
/// The number of bytes by which its format is recognized: the first record of JSON must be whole.
const FIRST_RECORD: i64 = 16 * 1024;
/// Fewer tell nothing.
const TELLING: usize = 16;

/// A file, whatever its name is at the moment.
#[derive(Debug)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) modified: f64,
    /// True while the server lists it.
    pub(super) listed: bool,
    /// The time when it last grew.
    pub(super) grew: Instant,
    pub(super) size: i64,
    /// True while it is no more than a copy of another file, whose end is read there.
    is_copy: bool,
    offset: i64,
    head: Vec<u8>,
    records: Option<Records>,
    format: Option<RecordFormat>,
}

impl RemoteFile {
    /// A file to be read from its beginning, or only what comes.
    pub(super) fn new(listed: &Listed, head: Vec<u8>, from_the_end: bool, is_copy: bool) -> Self {
        Self {
            name: listed.name.clone(),
            modified: listed.modified,
            listed: true,
            grew: Instant::now(),
            size: listed.size,
            is_copy,
            offset: if from_the_end || is_copy { listed.size } else { 0 },
            head,
            records: None,
            format: None,
        }
    }

    /// Takes in what the server lists of it, perhaps under another name.
    pub(super) fn update(&mut self, listed: &Listed, head: Vec<u8>) {
        self.name.clone_from(&listed.name);
        (self.size, self.modified, self.listed) = (listed.size, listed.modified, true);
        if head.len() > self.head.len() {
            self.head = head;
        }
    }

    /// Returns true when a file that begins so, and has this size, may be this one.
    pub(super) fn may_be(&self, head: &[u8], size: i64) -> bool {
        size >= self.offset && head.starts_with(&self.head)
    }

    /// Returns true when a file that begins so is surely this one or a copy of it.
    pub(super) fn is_copied_to(&self, head: &[u8]) -> bool {
        self.head.len() >= TELLING && head.starts_with(&self.head)
    }

    /// Returns true when a copy of this file holds what was not read of it.
    pub(super) fn is_held_by(&self, copy: &Self) -> bool {
        copy.is_copy && copy.size >= self.offset && self.is_copied_to(&copy.head)
    }

    /// Reads on in this copy where the original was left.
    pub(super) fn take_over(&mut self, original: &mut Self) {
        (self.offset, self.is_copy) = (original.offset, false);
        self.records = original.records.take();
    }

    /// The bytes that are there to be read.
    pub(super) fn behind(&self) -> u64 {
        self.size.saturating_sub(self.offset).unsigned_abs()
    }

    /// Leaves out what is there.
    pub(super) fn skip(&mut self) {
        (self.offset, self.records) = (self.size, None);
    }

    /// The format that the settings say, or else the one that it has by its content, or by its name
    /// as long as there is none.
    pub(super) async fn format(
        &mut self,
        set: Option<RecordFormat>,
        connection: &mut Checkout,
    ) -> Result<RecordFormat, Error> {
        if let Some(format) = set.or(self.format) {
            return Ok(format);
        }
        let head = match self.size {
            0 => Vec::new(),
            _ => read(connection, &self.name, 0, FIRST_RECORD).await?.unwrap_or_default(),
        };
        let format = RecordFormat::from_head(&head, &self.name);
        self.format = Some(format).filter(|_| !head.is_empty());
        Ok(format)
    }

    /// Reads one step on, and returns the number of bytes. What a quiet file ends with is whole.
    pub(super) async fn read(
        &mut self,
        format: RecordFormat,
        limit: i64,
        connection: &mut Checkout,
        sink: &mut impl Sink,
    ) -> Result<u64, Error> {
        if self.behind() == 0 {
            self.flush(sink);
            return Ok(0);
        }
        let wanted = (self.size - self.offset).min(STEP).min(limit);
        // The first time the byte before tells whether a record begins here.
        let before = i64::from(self.records.is_none() && self.offset > 0);
        let bytes = read(connection, &self.name, self.offset - before, wanted + before).await?;
        let bytes = bytes.unwrap_or_default();
        let records = self.records.get_or_insert_with(|| match before {
            0 => Records::new(format),
            _ => Records::within(format, bytes.first() == Some(&b'\n')),
        });
        let grown = bytes.get(usize::from(before > 0)..).unwrap_or_default();
        records.take(grown, &mut |record| sink.record(format, record));
        self.offset += i64::try_from(grown.len()).unwrap_or(0);
        self.grew = Instant::now();
        sink.read(grown.len() as u64);
        Ok(grown.len() as u64)
    }

    /// Begins anew, for the file was truncated, and nobody copied it.
    pub(super) fn restart(&mut self, listed: &Listed, head: Vec<u8>, sink: &mut impl Sink) {
        self.flush(sink);
        if self.records.as_ref().is_some_and(Records::is_open) {
            sink.truncated();
        }
        *self = Self::new(listed, head, false, false);
    }

    /// Takes what it ended with for whole.
    pub(super) fn flush(&mut self, sink: &mut impl Sink) {
        if let Some(records) = &mut self.records {
            let format = records.format();
            records.flush(&mut |record| sink.record(format, record));
        }
    }
}
