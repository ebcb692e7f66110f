//! One file of the log, read from where it was left.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::time::Instant;

use super::Sink;
use super::records::Records;
use crate::sources::server_log::parse::RecordFormat;

/// The number of first bytes by which a file is recognized: they hold the time of its first message.
const HEAD: usize = 256;
/// The number of bytes by which its format is recognized: the first record of JSON must be whole.
const FIRST_RECORD: usize = 16 * 1024;
/// Fewer tell nothing.
const TELLING: usize = 16;

/// A file, whatever its name is at the moment.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) id: Id,
    pub(super) path: PathBuf,
    pub(super) modified: SystemTime,
    /// True while the path in the settings leads to it.
    pub(super) listed: bool,
    /// The time when it last grew.
    pub(super) grew: Instant,
    /// Open while it may grow, so that it can be read to its end under any name.
    open: Option<File>,
    length: u64,
    offset: u64,
    head: Vec<u8>,
    /// When it had been written to as its first bytes were last compared.
    compared: SystemTime,
    records: Option<Records>,
}

/// Device and inode, by which a file is recognized when it is renamed.
pub(super) type Id = (u64, u64);

pub(super) fn id(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

impl Followed {
    /// A file to be read from its beginning, or only what comes.
    pub(super) fn new(path: PathBuf, metadata: &Metadata, from_the_end: bool) -> Self {
        Self {
            id: id(metadata),
            path,
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            listed: true,
            grew: Instant::now(),
            open: None,
            length: metadata.len(),
            offset: if from_the_end { metadata.len() } else { 0 },
            head: Vec::new(),
            compared: SystemTime::UNIX_EPOCH,
            records: None,
        }
    }

    /// Takes in the file's present metadata, by its name.
    pub(super) fn update(&mut self, path: PathBuf, metadata: &Metadata) {
        self.path = path;
        self.modified = metadata.modified().unwrap_or(self.modified);
        self.length = metadata.len();
        self.listed = true;
    }

    pub(super) fn open(&mut self) -> io::Result<&File> {
        if self.open.is_none() {
            let file = File::open(&self.path)?;
            if id(&file.metadata()?) != self.id {
                // Rotated since it was listed: another has the name now.
                return Err(io::ErrorKind::NotFound.into());
            }
            if self.head.is_empty() {
                self.head = head(&file, self.offset)?;
            }
            self.open = Some(file);
        }
        Ok(self.open.as_ref().expect("it was opened just now"))
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes in an open file's present metadata, whatever its name; true when its content is
    /// another's.
    pub(super) fn refresh(&mut self) -> io::Result<bool> {
        let Some(file) = &self.open else { return Ok(self.length < self.offset) };
        let metadata = file.metadata()?;
        self.modified = metadata.modified().unwrap_or(self.modified);
        // After a truncation it may have its old length again.
        let changed = metadata.len() != self.offset || self.modified != self.compared;
        self.length = metadata.len();
        self.compared = self.modified;
        let same = !changed || self.head.is_empty() || begins(file, &self.head);
        Ok(self.length < self.offset || !same)
    }

    /// True when no name leads to it any more.
    pub(super) fn is_gone(&self) -> bool {
        let links = self.open.as_ref().and_then(|file| file.metadata().ok());
        links.is_none_or(|metadata| metadata.nlink() == 0)
    }

    /// The bytes that are there to be read.
    pub(super) fn behind(&self) -> u64 {
        self.length.saturating_sub(self.offset)
    }

    /// Leaves out what is there.
    pub(super) fn skip(&mut self) {
        self.offset = self.length;
        self.records = None;
    }

    /// The format that it has by its content, or by its name as long as there is none.
    pub(super) fn format(&mut self) -> io::Result<RecordFormat> {
        if let Some(records) = &self.records {
            return Ok(records.format());
        }
        let name = self.path.to_string_lossy().into_owned();
        Ok(RecordFormat::from_head(&beginning(self.open()?, u64::MAX, FIRST_RECORD)?, &name))
    }

    /// Reads on, but no more than so many bytes, nor beyond what was there when the file was looked
    /// at: of what came since then nobody asked which sessions wrote it. Returns the number of bytes.
    /// What a quiet file ends with is whole.
    pub(super) fn read(
        &mut self,
        format: RecordFormat,
        limit: u64,
        buffer: &mut [u8],
        sink: &mut impl Sink,
    ) -> io::Result<u64> {
        if self.behind() == 0 {
            if let Some(records) = &mut self.records {
                records.flush(&mut |record| sink.record(format, record));
            }
            return Ok(0);
        }
        self.open()?;
        self.begin(format)?;
        let (Some(file), Some(records)) = (&self.open, &mut self.records) else { return Ok(0) };
        let mut taken = 0;
        while taken < limit && self.offset < self.length {
            let there = usize::try_from(self.length - self.offset).unwrap_or(usize::MAX);
            let most = there.min(buffer.len());
            let count = file.read_at(&mut buffer[..most], self.offset)?;
            if count == 0 {
                break;
            }
            records.take(&buffer[..count], &mut |record| sink.record(format, record));
            self.offset += count as u64;
            taken += count as u64;
        }
        if self.head.len() < HEAD {
            self.head = head(file, self.offset)?;
        }
        self.grew = Instant::now();
        sink.read(taken);
        Ok(taken)
    }

    /// Begins with the first record that is whole from where the reading begins.
    fn begin(&mut self, format: RecordFormat) -> io::Result<()> {
        let (Some(file), None) = (&self.open, &self.records) else { return Ok(()) };
        self.records = Some(if self.offset == 0 {
            Records::new(format)
        } else {
            let mut before = [0];
            file.read_exact_at(&mut before, self.offset - 1)?;
            Records::within(format, before == *b"\n")
        });
        Ok(())
    }

    /// Begins anew, for the file was truncated. What was not read of it is in a copy, if there is
    /// one.
    pub(super) fn restart(&mut self, sink: &mut impl Sink) -> Option<Self> {
        let copy = self.copy();
        if copy.is_none()
            && let Some(mut records) = self.records.take()
        {
            let format = records.format();
            records.flush(&mut |record| sink.record(format, record));
            if records.is_open() {
                sink.truncated();
            }
        }
        (self.offset, self.records) = (0, None);
        self.head.clear();
        copy
    }

    /// A copy of what the file was, to be read from where this one was left.
    fn copy(&mut self) -> Option<Self> {
        let name = self.path.file_name()?.as_encoded_bytes();
        let beside = std::fs::read_dir(self.path.parent()?).ok()?.flatten();
        let named = beside.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(name));
        let (path, metadata) = named
            .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
            .find(|(path, metadata)| {
                let other = id(metadata) != self.id && metadata.len() >= self.offset;
                other && self.is_copied_to(path)
            })?;
        let mut copy = Self::new(path, &metadata, false);
        copy.offset = self.offset;
        copy.records = self.records.take();
        copy.listed = false;
        Some(copy)
    }

    /// True when another file begins as this one does.
    pub(super) fn is_copied_to(&self, path: &Path) -> bool {
        let begins_so = |file: File| begins(&file, &self.head);
        self.head.len() >= TELLING && File::open(path).is_ok_and(begins_so)
    }

    /// Reads no further for now. What it ended with is whole, or never will be.
    pub(super) fn close(&mut self, sink: &mut impl Sink) {
        if let Some(records) = &mut self.records {
            let format = records.format();
            records.flush(&mut |record| sink.record(format, record));
        }
        self.open = None;
    }
}

/// The first bytes of a file, of no more than have been read.
fn head(file: &File, upto: u64) -> io::Result<Vec<u8>> {
    beginning(file, upto, HEAD)
}

fn beginning(file: &File, upto: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; usize::try_from(upto).map_or(most, |upto| upto.min(most))];
    let count = file.read_at(&mut head, 0)?;
    head.truncate(count);
    Ok(head)
}

fn begins(file: &File, head: &[u8]) -> bool {
    let mut now = vec![0; head.len()];
    file.read_exact_at(&mut now, 0).is_ok() && now == head
}
