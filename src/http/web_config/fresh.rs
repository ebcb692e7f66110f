//! Something made of files, made again when one of them changes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How old a change must be before it can be told from the next by its time alone.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells one state of a file from another; `None` for a file that cannot be seen.
type Mark = Option<(u64, u64, i64, i64, i64, i64)>;

/// What was made of some files, and their state then.
#[derive(Debug)]
pub(super) struct Fresh<T>(Mutex<Option<Made<T>>>);

#[derive(Debug)]
struct Made<T> {
    files: Vec<PathBuf>,
    marks: Vec<Mark>,
    value: T,
}

impl<T: Clone> Fresh<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// What the files make now: what they made before, where none of them has changed.
    pub(super) fn get(&self, files: Vec<PathBuf>, make: impl FnOnce() -> T) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let marks: Vec<_> = files.iter().map(|file| mark(file)).collect();
        if let Some(made) = known.as_ref().filter(|made| made.files == files && made.marks == marks)
        {
            return made.value.clone();
        }
        let value = make();
        let settled = marks.iter().all(is_settled);
        *known = settled.then(|| Made { files, marks, value: value.clone() });
        value
    }
}

fn mark(file: &Path) -> Mark {
    // Following links: Kubernetes swaps a link to renew what is mounted.
    let seen: Metadata = std::fs::metadata(file).ok()?;
    let (modified, changed) =
        ((seen.mtime(), seen.mtime_nsec()), (seen.ctime(), seen.ctime_nsec()));
    Some((seen.ino(), seen.size(), modified.0, modified.1, changed.0, changed.1))
}

/// Whether the file changed so long ago that a change after reading it would show in its time.
fn is_settled(mark: &Mark) -> bool {
    let Some((.., changed, _)) = *mark else { return true };
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(changed).unwrap_or(0));
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_at_once_even_if_it_looks_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fresh = Fresh::new();
        let read = || std::fs::read_to_string(file.path()).unwrap();
        for text in ["a", "b", "c"] {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(fresh.get(vec![file.path().into()], read), text);
        }
    }

    #[test]
    fn what_did_not_change_is_not_made_again() {
        let fresh = Fresh::new();
        let old = vec![PathBuf::from("/proc/self/exe"), PathBuf::from("/does/not/exist")];
        let first = fresh.get(vec![PathBuf::from("/bin/sh")], || 1);
        assert_eq!(fresh.get(vec![PathBuf::from("/bin/sh")], || 2), first);
        assert_eq!(fresh.get(old, || 3), 3);
    }
}
