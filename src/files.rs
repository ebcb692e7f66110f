//! Reading what may hang, as a file on a mount whose server is gone, or a pipe that nobody writes
//! to: beside the runtime's only thread, and beside those that resolve names. What hangs is waited
//! for by one thread, however often it is asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::single_flight::SingleFlight;

/// The timeout of one read.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout of work that reads several files: longer than that of one, which can so be named.
pub(crate) const WORK_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest file that is read: a device such as `/dev/zero` never ends.
const MAX_BYTES: u64 = 64 << 20;

/// The outcome of a read, for all who wait for it.
type ReadResult = Result<Arc<[u8]>, Arc<io::Error>>;

/// The reads under way, by path: paths come from the settings alone.
static READS: LazyLock<Mutex<HashMap<PathBuf, Arc<SingleFlight<ReadResult>>>>> =
    LazyLock::new(Mutex::default);

/// The bytes of a file.
pub(crate) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let reading = {
        let mut all = READS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(path.to_owned()).or_default())
    };
    let owned = path.to_owned();
    let read = reading.get(READ_TIMEOUT, move || Ok(read_bounded(&owned)?.into())).await;
    match read.ok_or_else(timed_out)? {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(copy_of(&error)),
    }
}

/// The text of a file.
pub(crate) async fn read_to_string(path: &Path) -> io::Result<String> {
    text(read(path).await?)
}

/// The bytes of a file, for a caller outside the runtime or before it has anything else to do.
/// It is read anew each time: another file may have taken the place of one that hangs.
pub(crate) fn read_blocking(path: &Path) -> io::Result<Vec<u8>> {
    static HANGING: AtomicUsize = AtomicUsize::new(0);
    let path = path.to_owned();
    block_on(run_counted(&HANGING, READ_TIMEOUT, move || read_bounded(&path)))?
        .ok_or_else(timed_out)?
}

/// The text of a file, for a caller outside the runtime or before it has anything else to do.
pub(crate) fn read_to_string_blocking(path: &Path) -> io::Result<String> {
    text(read_blocking(path)?)
}

/// True when there is a file, for a caller outside the runtime; `None` when that cannot be told.
pub(crate) fn is_file_blocking(path: &Path) -> Option<bool> {
    let path = path.to_owned();
    block_on(run_in_thread(move || path.is_file())).ok().flatten()
}

/// Waits for what ends by itself, on a thread with a runtime of its own: the caller may be within
/// another.
fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let run =
            || Ok(runtime::Builder::new_current_thread().enable_time().build()?.block_on(work));
        let begun = thread::Builder::new().name("files".into()).spawn_scoped(scope, run)?;
        begun.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has over 64 MiB"));
    }
    Ok(bytes)
}

/// Bytes as text.
pub(crate) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Copies an error for one more caller.
fn copy_of(error: &io::Error) -> io::Error {
    let of_system = error.raw_os_error().map(io::Error::from_raw_os_error);
    of_system.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string()))
}

fn timed_out() -> io::Error {
    let message = format!(
        "it could not be read within {} s: is it a pipe, or on a mount whose server does not answer?",
        READ_TIMEOUT.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// Runs work that reads files on a thread of its own. `None` when it takes longer than the
/// limit, or when too much hangs already.
pub(crate) async fn run_in_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    run_in_thread_within(READ_TIMEOUT, work).await
}

/// The same with a timeout of its own.
pub(crate) async fn run_in_thread_within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    static HANGING: AtomicUsize = AtomicUsize::new(0);
    run_counted(&HANGING, limit, work).await
}

/// Runs work on a thread of its own, unless too many of them hang.
async fn run_counted<T: Send + 'static>(
    hanging: &'static AtomicUsize,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let place = HangingThread::take(hanging)?;
    let (send, made) = oneshot::channel();
    let begun = thread::Builder::new().name("files".into()).spawn(move || {
        let made = work();
        drop(place);
        // Whoever wanted it may have given it up.
        let _ = send.send(made);
    });
    begun.ok()?;
    timeout(limit, made).await.ok()?.ok()
}

/// One of the threads that may hang; the place is free again when this is dropped.
struct HangingThread(&'static AtomicUsize);

impl HangingThread {
    /// The number of threads that may hang.
    const MAX: usize = 4;

    fn take(hanging: &'static AtomicUsize) -> Option<Self> {
        let place = Self(hanging);
        (hanging.fetch_add(1, Relaxed) < Self::MAX).then_some(place)
    }
}

impl Drop for HangingThread {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let error = read_blocking(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it has over 64 MiB");
    }

    #[tokio::test]
    async fn a_file_is_read_and_its_error_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(read(&file).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        for text in ["a", "b"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read_to_string(&file).await.unwrap(), text);
        }
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(read_to_string(&file).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn what_panics_makes_nothing() {
        assert_eq!(run_in_thread(|| panic!("it is broken")).await, None::<u8>);
        assert_eq!(run_in_thread(|| 7).await, Some(7));
    }
}
