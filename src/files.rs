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

use crate::joint::Joint;

/// How long one read may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// How long reading several files may take: longer than one of them, which can so be named.
pub const WORK_LIMIT: Duration = Duration::from_secs(15);

/// How many bytes of a file are read: a device such as `/dev/zero` never ends.
const LARGEST: u64 = 64 << 20;

/// What was read, for all who wanted it.
type Outcome = Result<Arc<[u8]>, Arc<io::Error>>;

/// What is being read, by path: paths come from the settings alone.
static READING: LazyLock<Mutex<HashMap<PathBuf, Arc<Joint<Outcome>>>>> =
    LazyLock::new(Mutex::default);

/// The bytes of a file.
pub async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let reading = {
        let mut all = READING.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(path.to_owned()).or_default())
    };
    let owned = path.to_owned();
    let read = reading.get(LIMIT, move || Ok(whole(&owned)?.into())).await;
    match read.ok_or_else(hangs)? {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(again(&error)),
    }
}

/// The text of a file.
pub async fn read_to_string(path: &Path) -> io::Result<String> {
    text(read(path).await?)
}

/// The bytes of a file, for a caller outside the runtime or before it has anything else to do.
/// It is read anew each time: another file may have taken the place of one that hangs.
pub fn read_blocking(path: &Path) -> io::Result<Vec<u8>> {
    static HANGING: AtomicUsize = AtomicUsize::new(0);
    let path = path.to_owned();
    block_on(on_a_thread(&HANGING, LIMIT, move || whole(&path)))?.ok_or_else(hangs)?
}

/// The text of a file, for a caller outside the runtime or before it has anything else to do.
pub fn read_to_string_blocking(path: &Path) -> io::Result<String> {
    text(read_blocking(path)?)
}

/// Says whether there is a file, for a caller outside the runtime; `None` when that cannot be told.
pub fn is_file_blocking(path: &Path) -> Option<bool> {
    let path = path.to_owned();
    block_on(apart(move || path.is_file())).ok().flatten()
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

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has over 64 MiB"));
    }
    Ok(bytes)
}

/// Bytes as text.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The same error for one more.
fn again(error: &io::Error) -> io::Error {
    let of_system = error.raw_os_error().map(io::Error::from_raw_os_error);
    of_system.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string()))
}

fn hangs() -> io::Error {
    let message = format!(
        "it could not be read within {} s: is it a pipe, or on a mount whose server does not answer?",
        LIMIT.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// Does something that reads files on a thread of its own. `None` when it takes longer than the
/// limit, or when too much hangs already.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    apart_within(LIMIT, work).await
}

/// The same with a limit of its own.
pub async fn apart_within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    static HANGING: AtomicUsize = AtomicUsize::new(0);
    on_a_thread(&HANGING, limit, work).await
}

/// Does something on a thread of its own, where not too many of them hang.
async fn on_a_thread<T: Send + 'static>(
    hanging: &'static AtomicUsize,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let place = Place::take(hanging)?;
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
struct Place(&'static AtomicUsize);

impl Place {
    /// How many threads may hang.
    const MOST: usize = 4;

    fn take(hanging: &'static AtomicUsize) -> Option<Self> {
        let place = Self(hanging);
        (hanging.fetch_add(1, Relaxed) < Self::MOST).then_some(place)
    }
}

impl Drop for Place {
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
        assert_eq!(apart(|| panic!("it is broken")).await, None::<u8>);
        assert_eq!(apart(|| 7).await, Some(7));
    }
}
