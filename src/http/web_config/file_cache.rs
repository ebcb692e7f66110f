//! Something made of files, made again when one of them changes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::single_flight::SingleFlight;

/// The age from which a change can be told from the next by its time alone.
const SETTLED: Duration = Duration::from_secs(2);
/// The most time that looking at the files may take. A request's time is that of a probe: seconds.
const LIMIT: Duration = Duration::from_millis(500);

/// A value that tells one state of a file from another; `None` for a file that cannot be seen.
type Fingerprint = Option<(u64, u64, i64, i64, i64, i64)>;

/// The value that was made of some files, and their state then.
#[derive(Debug)]
pub(super) struct FileCache<T> {
    last: Arc<Mutex<Made<T>>>,
    flight: SingleFlight<T>,
    hangs: AtomicBool,
}

#[derive(Debug)]
struct Made<T> {
    files: Vec<PathBuf>,
    /// `None` where a change would not show.
    fingerprints: Option<Vec<Fingerprint>>,
    value: T,
}

impl<T: Clone + Send + Sync + 'static> FileCache<T> {
    /// Something that was made already.
    pub(super) fn new(value: T) -> Self {
        let last = Arc::new(Mutex::new(Made { files: Vec::new(), fingerprints: None, value }));
        Self { last, flight: SingleFlight::default(), hangs: AtomicBool::new(false) }
    }

    /// The value that the files make now: the last one, where none of them has changed. They are
    /// looked at on a thread of its own. Where that hangs, as on a mount whose server is gone, it
    /// is what they made last.
    pub(super) async fn get(
        &self,
        files: Vec<PathBuf>,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let last = Arc::clone(&self.last);
        let named = files.clone();
        let made = self.flight.get(LIMIT, move || look(&last, named, make)).await;
        let hangs = made.is_none();
        if hangs != self.hangs.swap(hangs, Relaxed) {
            if hangs {
                tracing::error!(?files, "these cannot be looked at; they count as unchanged");
            } else {
                tracing::info!(?files, "these can be looked at again");
            }
        }
        made.unwrap_or_else(|| {
            self.last.lock().unwrap_or_else(PoisonError::into_inner).value.clone()
        })
    }
}

fn look<T: Clone>(last: &Mutex<Made<T>>, files: Vec<PathBuf>, make: impl FnOnce() -> T) -> T {
    let fingerprints: Vec<_> = files.iter().map(|file| fingerprint(file)).collect();
    {
        let last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.files == files && last.fingerprints.as_ref() == Some(&fingerprints) {
            return last.value.clone();
        }
    }
    let value = make();
    let fingerprints = fingerprints.iter().all(is_settled).then_some(fingerprints);
    *last.lock().unwrap_or_else(PoisonError::into_inner) =
        Made { files, fingerprints, value: value.clone() };
    value
}

fn fingerprint(file: &Path) -> Fingerprint {
    // Following links: Kubernetes swaps a link to renew what is mounted.
    let metadata: Metadata = std::fs::metadata(file).ok()?;
    let (modified, changed) =
        ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
    Some((metadata.ino(), metadata.size(), modified.0, modified.1, changed.0, changed.1))
}

/// Returns true if the file changed so long ago that a change after reading it would show in its
/// time.
fn is_settled(fingerprint: &Fingerprint) -> bool {
    let Some((.., changed, _)) = *fingerprint else { return true };
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(changed).unwrap_or(0));
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_change_is_seen_at_once_even_if_it_looks_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = FileCache::new(String::new());
        for text in ["a", "b", "c"] {
            std::fs::write(file.path(), text).unwrap();
            let path = file.path().to_owned();
            let read = move || std::fs::read_to_string(path).unwrap();
            assert_eq!(cache.get(vec![file.path().into()], read).await, text);
        }
    }

    #[tokio::test]
    async fn what_did_not_change_is_not_made_again() {
        let cache = FileCache::new(0);
        let old = vec![PathBuf::from("/proc/self/exe"), PathBuf::from("/does/not/exist")];
        let first = cache.get(vec![PathBuf::from("/bin/sh")], || 1).await;
        assert_eq!(cache.get(vec![PathBuf::from("/bin/sh")], || 2).await, first);
        assert_eq!(cache.get(old, || 3).await, 3);
    }

    #[tokio::test]
    async fn while_files_hang_they_make_what_they_made() {
        let cache = FileCache::new(0);
        assert_eq!(cache.get(vec![PathBuf::from("/does/not/exist")], || 1).await, 1);
        let (hang, wait) = mpsc::channel::<()>();
        let hung = cache.get(vec![PathBuf::from("/dev/null")], move || {
            let _ = wait.recv();
            2
        });
        assert_eq!(hung.await, 1);
        assert_eq!(cache.get(Vec::new(), || 3).await, 1);
        drop(hang);
        while cache.get(Vec::new(), || 3).await != 3 {}
    }
}
