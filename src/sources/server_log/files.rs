//! The files of the log: found by a path with wildcards, each read wherever it grows, under
//! whatever name, so that nothing is lost when they are rotated.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use super::file::{Followed, id};
use super::format::Format;
use super::rights;
use super::tally::Tally;

/// More files than these, the newest, are not looked at.
const MOST: usize = 100;
/// A file that has not grown for so long, and is not the newest, will not grow again.
const QUIET: Duration = Duration::from_secs(60);
/// What rotation makes of old files.
const COMPRESSED: [&str; 7] = ["gz", "bz2", "xz", "zst", "lz4", "Z", "zip"];
/// How much is read at once.
const PIECE: usize = 64 * 1024;

type Listed = Vec<(PathBuf, Metadata)>;

/// The files of one server's log.
#[derive(Debug)]
pub(super) struct Files {
    path: String,
    format: Option<Format>,
    known: Vec<Followed>,
    /// Whether the files that were there from before are known.
    begun: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The file that was written to last, and its format.
    pub(super) newest: Option<(PathBuf, Format)>,
    /// The formats of all files that are written to.
    pub(super) formats: Vec<Format>,
    /// Bytes that are there to be read.
    pub(super) behind: u64,
    /// Why some file was not read.
    pub(super) trouble: Option<Error>,
}

impl Seen {
    /// What is followed, in words.
    pub(super) fn note(&self) -> Option<String> {
        let (path, format) = self.newest.as_ref()?;
        Some(format!("follows {} ({})", path.display(), format.as_str()))
    }
}

impl Files {
    pub(super) fn new(path: String, format: Option<Format>) -> Self {
        Self { path, format, known: Vec::new(), begun: false }
    }

    /// Finds what the files grew by.
    pub(super) fn find(&mut self, tally: &mut Tally) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        let (listed, hidden) = self.list()?;
        // Whoever may look only later is not to count all that was there before.
        let from_the_end = !self.begun;
        self.begun |= hidden.is_none() || !listed.is_empty();
        seen.trouble = hidden.filter(|_| listed.is_empty());
        self.meet(listed, from_the_end);
        self.look(tally, &mut seen);
        self.choose(&mut seen);
        seen.behind = self.known.iter().map(Followed::behind).sum();
        Ok(seen)
    }

    /// Reads what was found, but no more than so many bytes.
    pub(super) fn read(&mut self, limit: u64, tally: &mut Tally, seen: &mut Seen) {
        seen.behind = 0;
        self.read_on(limit, tally, seen);
        self.let_go(tally);
        if seen.newest.is_none() && seen.trouble.is_none() {
            seen.trouble = Some(Error::NoFile(self.path.clone()));
        }
    }

    /// The files that there are, the newest last, and why others were not found.
    fn list(&self) -> Result<(Listed, Option<Error>), Error> {
        let mut files = Vec::new();
        let mut hidden = None;
        let paths = glob::glob(&self.path).map_err(|error| Error::path(&self.path, &error))?;
        for path in paths {
            let found = path.map_err(|error| (error.path().to_owned(), error.into()));
            let found = found.and_then(|path| match fs::metadata(&path) {
                Ok(metadata) => Ok((path, metadata)),
                Err(error) => Err((path, error)),
            });
            match found {
                Ok((path, metadata)) if metadata.is_file() && !is_compressed(&path) => {
                    files.push((path, metadata));
                }
                // One that has vanished meanwhile is none.
                Err((path, error)) if error.kind() != io::ErrorKind::NotFound => {
                    hidden = Some(rights::explain(&path, error));
                }
                _ => {}
            }
        }
        if files.is_empty() {
            hidden = hidden.or_else(|| rights::hidden(&self.path));
        }
        files.sort_by_cached_key(|(path, metadata)| (metadata.modified().ok(), path.clone()));
        files.drain(..files.len().saturating_sub(MOST));
        Ok((files, hidden))
    }

    /// Files from before are read from their end, those that appear from their beginning, unless
    /// they are copies.
    fn meet(&mut self, listed: Listed, from_the_end: bool) {
        self.known.iter_mut().for_each(|known| known.listed = false);
        for (path, metadata) in listed {
            if let Some(known) = self.known.iter_mut().find(|known| known.id == id(&metadata)) {
                known.see(path, &metadata);
                continue;
            }
            let copied = self.known.iter().any(|known| known.is_copied_to(&path));
            self.known.push(Followed::new(path, &metadata, copied || from_the_end));
        }
        self.known.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)));
    }

    /// Finds those that were truncated; the copies made of them are read before anything else.
    fn look(&mut self, tally: &mut Tally, seen: &mut Seen) {
        let mut copies = Vec::new();
        for known in &mut self.known {
            match known.look() {
                Ok(true) => copies.extend(known.restart(tally)),
                Ok(false) => {}
                Err(error) => seen.trouble = Some(rights::explain(&known.path, error)),
            }
        }
        for copy in &mut copies {
            if let Some(at) = self.known.iter().position(|known| known.id == copy.id) {
                copy.listed = self.known.remove(at).listed;
            }
        }
        self.known.splice(0..0, copies);
    }

    /// The one format that is read of those that are written: two would count everything twice.
    fn choose(&mut self, seen: &mut Seen) {
        let listed = self.known.iter().filter(|known| known.listed);
        let Some(newest) = listed.map(|known| known.modified).max() else { return };
        for known in self.known.iter_mut().filter(|known| known.listed) {
            if known.modified + QUIET < newest {
                continue;
            }
            // Opened even before it grows, so that it is known under any name.
            let format = known.open().map(drop).and_then(|()| match self.format {
                Some(format) => Ok(format),
                None => known.format(),
            });
            match format {
                Ok(format) => {
                    seen.formats.push(format);
                    let said = seen.newest.as_ref().map(|(_, format)| *format);
                    if said.is_none_or(|said| format >= said) {
                        seen.newest = Some((known.path.clone(), format));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => seen.trouble = Some(rights::explain(&known.path, error)),
            }
        }
        seen.formats.sort_unstable();
        seen.formats.dedup();
    }

    fn read_on(&mut self, limit: u64, tally: &mut Tally, seen: &mut Seen) {
        let chosen = seen.formats.last().copied();
        let mut left = limit;
        let mut buffer = vec![0; PIECE];
        for known in &mut self.known {
            if known.behind() == 0 && !known.is_open() {
                continue;
            }
            let read = match self.format.map_or_else(|| known.format(), Ok) {
                Ok(format) if Some(format) == chosen || chosen.is_none() => {
                    known.read(format, left, &mut buffer, tally)
                }
                Ok(_) => {
                    known.skip();
                    Ok(0)
                }
                Err(error) => Err(error),
            };
            match read {
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => seen.trouble = Some(rights::explain(&known.path, error)),
            }
            seen.behind += known.behind();
        }
    }

    /// Closes what will not grow again, and forgets what is gone.
    fn let_go(&mut self, tally: &mut Tally) {
        let now = Instant::now();
        let newest =
            self.known.iter().filter(|known| known.listed).map(|known| known.modified).max();
        self.known.retain_mut(|known| {
            let done = known.behind() == 0;
            let quiet = done && now.duration_since(known.grew) > QUIET;
            let gone = !known.listed && (!known.is_open() || quiet || done && known.is_gone());
            if gone || quiet && Some(known.modified) != newest {
                known.close(tally);
            }
            !gone
        });
    }
}

fn is_compressed(path: &Path) -> bool {
    let end = path.extension().and_then(|end| end.to_str());
    end.is_some_and(|end| COMPRESSED.contains(&end))
}
