//! The files of a log on another machine, read through the server itself: listed by
//! `pg_ls_logdir`, and read by `pg_read_binary_file` wherever they grow, in steps.
//!
//! The server tells no inode: a file is recognized by its first bytes, under whatever name.

mod file;
mod queries;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use glob::Pattern;
use tokio::time::Instant;

use self::file::{HEAD, RemoteFile};
use self::queries::{Listed, list, read};
use super::error::Error;
use super::parse::RecordFormat;
use super::tail::{FoundFiles, MOST, QUIET, Sink, is_compressed};
use poolwatch_client::Checkout;

/// A reading asks for no more once it has gone on for so long; the rest waits.
const READING: Duration = Duration::from_secs(2);

/// The seconds within which a file may have been written to without another time or size.
const RECENT: f64 = 2.0;

/// The files of one server's log, as the server itself gives them.
#[derive(Debug)]
pub(super) struct RemoteFiles {
    /// The names that are read; all where there is none.
    names: Option<Pattern>,
    format: Option<RecordFormat>,
    followed: Vec<RemoteFile>,
    /// True once the files that were there from before are followed.
    begun: bool,
}

/// The files as they are listed, with the first bytes of those that are new or have changed.
type Heads = HashMap<String, Vec<u8>>;

impl RemoteFiles {
    /// Of a path only the last part counts, for the server has one folder.
    pub(super) fn new(path: Option<&str>, format: Option<RecordFormat>) -> Self {
        let name = path.and_then(|path| Path::new(path).file_name()?.to_str());
        let names = name.and_then(|name| Pattern::new(name).ok());
        Self { names, format, followed: Vec::new(), begun: false }
    }

    /// Finds what the files grew by.
    pub(super) async fn find(
        &mut self,
        connection: &mut Checkout,
        sink: &mut impl Sink,
    ) -> Result<FoundFiles, Error> {
        let most = i64::try_from(MOST).expect("it is small");
        let mut listed = list(connection, most).await?;
        listed.retain(|file| self.is_wanted(file));
        let heads = self.heads(connection, &listed).await?;
        self.follow(&listed, heads, sink);
        self.begun = true;
        let mut found = FoundFiles::default();
        self.choose_format(connection, &mut found).await?;
        found.behind = self.followed.iter().map(RemoteFile::behind).sum();
        Ok(found)
    }

    /// Reads what was found, but no more than so many bytes.
    pub(super) async fn read(
        &mut self,
        limit: u64,
        connection: &mut Checkout,
        sink: &mut impl Sink,
        found: &mut FoundFiles,
    ) -> Result<(), Error> {
        let chosen = found.formats.last().copied();
        let mut left = i64::try_from(limit).unwrap_or(i64::MAX);
        let began = Instant::now();
        found.behind = 0;
        for file in &mut self.followed {
            let format = file.format(self.format, connection).await?;
            if chosen.is_some_and(|chosen| chosen != format) {
                file.skip();
                continue;
            }
            while left > 0 && began.elapsed() < READING {
                let read = file.read(format, left, connection, sink).await?;
                left = left.saturating_sub_unsigned(read);
                if read == 0 {
                    break;
                }
            }
            found.behind += file.behind();
        }
        self.forget_gone(sink);
        if found.newest.is_none() {
            found.trouble = Some(Error::NoServerFile);
        }
        Ok(())
    }

    fn is_wanted(&self, file: &Listed) -> bool {
        let named = self.names.as_ref().is_none_or(|names| names.matches(&file.name));
        named && !is_compressed(Path::new(&file.name))
    }

    /// The first bytes of each file that is new or was written to since; the server tells the time
    /// in whole seconds.
    async fn heads(&self, connection: &mut Checkout, listed: &[Listed]) -> Result<Heads, Error> {
        let mut heads = Heads::new();
        let newest = listed.last().map_or(0.0, |file| file.modified);
        let changed = |file: &&Listed| {
            let known = self.followed.iter().find(|followed| followed.name == file.name);
            let same =
                |known: &RemoteFile| known.size == file.size && known.modified == file.modified;
            file.modified >= newest - RECENT || !known.is_some_and(same)
        };
        for file in listed.iter().filter(changed) {
            let head = read(connection, &file.name, 0, HEAD).await?;
            heads.extend(head.map(|head| (file.name.clone(), head)));
        }
        Ok(heads)
    }

    /// Files from before are read from their end, those that appear from their beginning, unless
    /// they are copies.
    fn follow(&mut self, listed: &[Listed], mut heads: Heads, sink: &mut impl Sink) {
        self.followed.iter_mut().for_each(|file| file.listed = false);
        let mut new: Vec<&Listed> = Vec::new();
        for one in listed {
            let file = self.followed.iter_mut().find(|file| file.name == one.name);
            match (file, heads.get(&one.name)) {
                (Some(file), None) => file.listed = true,
                (Some(file), Some(head)) if file.may_be(head, one.size) => {
                    file.update(one, head.clone());
                }
                (_, Some(_)) => new.push(one),
                // It vanished meanwhile.
                (None, None) => {}
            }
        }
        // What lost its name may have another; of a file that was truncated there may be a copy.
        for file in self.followed.iter_mut().filter(|file| !file.listed) {
            let moved = |one: &&Listed| {
                let head = heads.get(&one.name);
                head.is_some_and(|head| file.is_copied_to(head) && file.may_be(head, one.size))
            };
            if let Some(at) = new.iter().position(moved) {
                let one = new.remove(at);
                file.update(one, heads.remove(&one.name).unwrap_or_default());
            }
        }
        for one in new {
            let head = heads.remove(&one.name).unwrap_or_default();
            let named = |file: &RemoteFile| file.name == one.name && !file.listed;
            if let Some(at) = self.followed.iter().position(named) {
                let mut file = self.followed.remove(at);
                let holds = |copy: &&mut RemoteFile| file.is_held_by(copy);
                if let Some(copy) = self.followed.iter_mut().find(holds) {
                    copy.take_over(&mut file);
                }
                file.restart(one, head, sink);
                self.followed.push(file);
                continue;
            }
            let is_copy = self.followed.iter().any(|file| file.is_copied_to(&head));
            self.followed.push(RemoteFile::new(one, head, !self.begun, is_copy));
        }
        self.followed.sort_by(|a, b| a.modified.total_cmp(&b.modified).then(a.name.cmp(&b.name)));
    }

    /// The one format that is read of those that are written: two would count everything twice.
    async fn choose_format(
        &mut self,
        connection: &mut Checkout,
        found: &mut FoundFiles,
    ) -> Result<(), Error> {
        let listed = self.followed.iter().filter(|file| file.listed);
        let Some(newest) = listed.map(|file| file.modified).reduce(f64::max) else { return Ok(()) };
        for file in self.followed.iter_mut().filter(|file| file.listed) {
            if file.modified + QUIET.as_secs_f64() < newest {
                continue;
            }
            let format = file.format(self.format, connection).await?;
            found.formats.push(format);
            if found.newest.as_ref().is_none_or(|(_, before)| format >= *before) {
                found.newest = Some((PathBuf::from(&file.name), format));
            }
        }
        found.formats.sort_unstable();
        found.formats.dedup();
        Ok(())
    }

    /// Forgets what is gone, and takes the end of what is no longer written for whole.
    fn forget_gone(&mut self, sink: &mut impl Sink) {
        let now = Instant::now();
        self.followed.retain_mut(|file| {
            if !file.listed || (file.behind() == 0 && now.duration_since(file.grew) > QUIET) {
                file.flush(sink);
            }
            file.listed
        });
    }
}
