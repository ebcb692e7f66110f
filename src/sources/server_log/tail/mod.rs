//! The files of the log: found by a path with wildcards, each read wherever it grows, under
//! whatever name, so that nothing is lost when they are rotated.

mod file;
mod permissions;
mod records;

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use self::file::{Followed, id};
pub(super) use self::records::{Record, Records};
use super::error::Error;
use super::parse::RecordFormat;

#[cfg(test)]
pub(super) use self::records::LIMIT;

/// More files than these, the newest, are not looked at.
pub(super) const MOST: usize = 100;
/// A file that has not grown for so long, and is not the newest, will not grow again.
pub(super) const QUIET: Duration = Duration::from_secs(60);
/// The file extensions of old files that rotation compressed.
const COMPRESSED: [&str; 7] = ["gz", "bz2", "xz", "zst", "lz4", "Z", "zip"];
/// The bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Takes what the files grow by.
pub(super) trait Sink {
    /// Takes a record.
    fn record(&mut self, format: RecordFormat, record: Record<'_>);

    /// Takes the number of bytes that were read.
    fn read(&mut self, bytes: u64);

    /// A file was truncated in the midst of a record.
    fn truncated(&mut self);
}

type Listed = Vec<(PathBuf, Metadata)>;

/// The files of one server's log.
#[derive(Debug)]
pub(super) struct Files {
    path: String,
    format: Option<RecordFormat>,
    followed: Vec<Followed>,
    /// True once the files that were there from before are followed.
    begun: bool,
}

/// The files that were found, and the bytes that are still to be read.
#[derive(Debug, Default)]
pub(super) struct FoundFiles {
    /// The file that was written to last, and its format.
    pub(super) newest: Option<(PathBuf, RecordFormat)>,
    /// The formats of all files that are written to.
    pub(super) formats: Vec<RecordFormat>,
    /// Bytes that are there to be read.
    pub(super) behind: u64,
    /// The error of a file that was not read.
    pub(super) trouble: Option<Error>,
}

impl FoundFiles {
    /// The file that is followed, in words.
    pub(super) fn note(&self) -> Option<String> {
        let (path, format) = self.newest.as_ref()?;
        Some(format!("follows {} ({})", path.display(), format.as_str()))
    }
}

impl Files {
    pub(super) fn new(path: String, format: Option<RecordFormat>) -> Self {
        Self { path, format, followed: Vec::new(), begun: false }
    }

    /// Finds what the files grew by.
    pub(super) fn find(&mut self, sink: &mut impl Sink) -> Result<FoundFiles, Error> {
        let mut found = FoundFiles::default();
        let (listed, hidden) = self.list()?;
        // Whoever may look only later is not to count all that was there before.
        let from_the_end = !self.begun;
        self.begun |= hidden.is_none() || !listed.is_empty();
        found.trouble = hidden.filter(|_| listed.is_empty());
        self.follow(listed, from_the_end);
        self.refresh(sink, &mut found);
        self.choose_format(&mut found);
        found.behind = self.followed.iter().map(Followed::behind).sum();
        Ok(found)
    }

    /// Reads what was found, but no more than so many bytes.
    pub(super) fn read(&mut self, limit: u64, sink: &mut impl Sink, found: &mut FoundFiles) {
        found.behind = 0;
        self.read_on(limit, sink, found);
        self.close_quiet(sink);
        if found.newest.is_none() && found.trouble.is_none() {
            found.trouble = Some(Error::NoFile(self.path.clone()));
        }
    }

    /// The files that there are, the newest last, and why others were not found.
    fn list(&self) -> Result<(Listed, Option<Error>), Error> {
        let mut files = Vec::new();
        let mut hidden = None;
        let paths = glob::glob(&self.path).map_err(|error| Error::path(&self.path, &error))?;
        for path in paths {
            let entry = path.map_err(|error| (error.path().to_owned(), error.into()));
            let entry = entry.and_then(|path| match fs::metadata(&path) {
                Ok(metadata) => Ok((path, metadata)),
                Err(error) => Err((path, error)),
            });
            match entry {
                Ok((path, metadata)) if metadata.is_file() && !is_compressed(&path) => {
                    files.push((path, metadata));
                }
                // One that has vanished meanwhile is none.
                Err((path, error)) if error.kind() != io::ErrorKind::NotFound => {
                    hidden = Some(permissions::explain(&path, error));
                }
                _ => {}
            }
        }
        if files.is_empty() {
            hidden = hidden.or_else(|| permissions::hidden(&self.path));
        }
        files.sort_by_cached_key(|(path, metadata)| (metadata.modified().ok(), path.clone()));
        files.drain(..files.len().saturating_sub(MOST));
        Ok((files, hidden))
    }

    /// Files from before are read from their end, those that appear from their beginning, unless
    /// they are copies.
    fn follow(&mut self, listed: Listed, from_the_end: bool) {
        self.followed.iter_mut().for_each(|file| file.listed = false);
        for (path, metadata) in listed {
            if let Some(file) = self.followed.iter_mut().find(|file| file.id == id(&metadata)) {
                file.update(path, &metadata);
                continue;
            }
            let copied = self.followed.iter().any(|file| file.is_copied_to(&path));
            self.followed.push(Followed::new(path, &metadata, copied || from_the_end));
        }
        self.followed.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
    }

    /// Finds those that were truncated; the copies made of them are read before anything else.
    fn refresh(&mut self, sink: &mut impl Sink, found: &mut FoundFiles) {
        let mut copies = Vec::new();
        for file in &mut self.followed {
            match file.refresh() {
                Ok(true) => copies.extend(file.restart(sink)),
                Ok(false) => {}
                Err(error) => found.trouble = Some(permissions::explain(&file.path, error)),
            }
        }
        for copy in &mut copies {
            if let Some(at) = self.followed.iter().position(|file| file.id == copy.id) {
                copy.listed = self.followed.remove(at).listed;
            }
        }
        self.followed.splice(0..0, copies);
    }

    /// The one format that is read of those that are written: two would count everything twice.
    fn choose_format(&mut self, found: &mut FoundFiles) {
        let listed = self.followed.iter().filter(|file| file.listed);
        let Some(newest) = listed.map(|file| file.modified).max() else { return };
        for file in self.followed.iter_mut().filter(|file| file.listed) {
            if file.modified + QUIET < newest {
                continue;
            }
            // Opened even before it grows, so that it is file under any name.
            let format = file.open().map(drop).and_then(|()| match self.format {
                Some(format) => Ok(format),
                None => file.format(),
            });
            match format {
                Ok(format) => {
                    found.formats.push(format);
                    let before = found.newest.as_ref().map(|(_, format)| *format);
                    if before.is_none_or(|before| format >= before) {
                        found.newest = Some((file.path.clone(), format));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => found.trouble = Some(permissions::explain(&file.path, error)),
            }
        }
        found.formats.sort_unstable();
        found.formats.dedup();
    }

    fn read_on(&mut self, limit: u64, sink: &mut impl Sink, found: &mut FoundFiles) {
        let chosen = found.formats.last().copied();
        let mut left = limit;
        let mut buffer = vec![0; PIECE];
        for file in &mut self.followed {
            if file.behind() == 0 && !file.is_open() {
                continue;
            }
            let read = match self.format.map_or_else(|| file.format(), Ok) {
                Ok(format) if Some(format) == chosen || chosen.is_none() => {
                    file.read(format, left, &mut buffer, sink)
                }
                Ok(_) => {
                    file.skip();
                    Ok(0)
                }
                Err(error) => Err(error),
            };
            match read {
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => found.trouble = Some(permissions::explain(&file.path, error)),
            }
            found.behind += file.behind();
        }
    }

    /// Closes what will not grow again, and forgets what is gone.
    fn close_quiet(&mut self, sink: &mut impl Sink) {
        let now = Instant::now();
        let newest =
            self.followed.iter().filter(|file| file.listed).map(|file| file.modified).max();
        self.followed.retain_mut(|file| {
            let done = file.behind() == 0;
            let quiet = done && now.duration_since(file.grew) > QUIET;
            let gone = !file.listed && (!file.is_open() || quiet || done && file.is_gone());
            if gone || quiet && Some(file.modified) != newest {
                file.close(sink);
            }
            !gone
        });
    }
}

pub(super) fn is_compressed(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    end.is_some_and(|end| COMPRESSED.contains(&end))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[derive(Default)]
    struct Taken(Vec<String>);

    impl Sink for Taken {
        fn record(&mut self, _: RecordFormat, record: Record<'_>) {
            self.0.push(String::from_utf8_lossy(record.bytes).into_owned());
        }

        fn read(&mut self, _: u64) {}

        fn truncated(&mut self) {}
    }

    #[test]
    fn what_is_written_while_the_sessions_are_asked_for_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = fs::File::create(&path).unwrap();
        let path = path.to_string_lossy().into_owned();
        let mut files = Files::new(path, Some(RecordFormat::Stderr));
        let mut taken = Taken::default();
        files.find(&mut taken).unwrap();
        writeln!(file, "first").unwrap();
        let mut found = files.find(&mut taken).unwrap();
        // The last record is kept until another begins: only the third shows that the second is read.
        writeln!(file, "second\nthird").unwrap();
        files.read(u64::MAX, &mut taken, &mut found);
        assert!(!taken.0.iter().any(|record| record == "second"), "{:?}", taken.0);
        for _ in 0..2 {
            let mut found = files.find(&mut taken).unwrap();
            files.read(u64::MAX, &mut taken, &mut found);
        }
        assert_eq!(taken.0, ["first", "second", "third"]);
    }
}
