//! Reading what may hang, as a file on a mount whose server is gone, or a pipe that nobody writes
//! to: beside the runtime's only thread, and beside those that resolve names. What hangs is waited
//! for by one thread, however often it is asked for.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::joint::Joint;

/// How long one read may take.
pub const LIMIT: Duration = Duration::from_secs(5);

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
    let read = reading.get(LIMIT, move || Ok(std::fs::read(owned)?.into())).await;
    match read.ok_or_else(hangs)? {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(again(&error)),
    }
}

/// The text of a file.
pub async fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path).await?)
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
    /// How many threads may hang here.
    const MOST: usize = 4;
    static HANGING: AtomicUsize = AtomicUsize::new(0);
    let (send, made) = oneshot::channel();
    if HANGING.fetch_add(1, Relaxed) >= MOST {
        HANGING.fetch_sub(1, Relaxed);
        return None;
    }
    let begun = thread::Builder::new().name("files".into()).spawn(move || {
        let made = work();
        HANGING.fetch_sub(1, Relaxed);
        // Whoever wanted it may have given it up.
        let _ = send.send(made);
    });
    if begun.is_err() {
        HANGING.fetch_sub(1, Relaxed);
    }
    timeout(LIMIT, made).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
