//! Other settings for a socket that is in use. A new path is opened before the old one is closed, and
//! reports that came on the old one stay counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use super::queue::Queue;
use super::receiver::Receiver;
use super::settings::Settings;
use super::socket::Socket;
use poolwatch_client::report;

/// Brings other settings to [`Workers`](super::Workers) that another task reads.
#[derive(Clone, Debug)]
pub struct Reopening {
    queue: Arc<Queue>,
    /// The settings last brought, and those of them that were not taken yet.
    last: Arc<Mutex<(Settings, Option<Changed>)>>,
}

/// Settings with whatever had to be opened for them.
#[derive(Debug)]
pub struct Changed {
    pub(super) settings: Settings,
    pub(super) receiver: Option<Receiver>,
}

impl Reopening {
    pub(super) fn new(settings: &Settings, queue: &Arc<Queue>) -> Self {
        let last = Arc::new(Mutex::new((settings.clone(), None)));
        Self { queue: Arc::clone(queue), last }
    }

    /// Opens the socket that the settings need, to find out whether they can be taken.
    pub fn prepare(&self, settings: &Settings) -> Result<Changed, Error> {
        let last = self.last().0.clone();
        let stays = match &settings.socket {
            Some(path) => path == last.path(),
            None => report::usual_sockets().iter().any(|usual| usual == last.path()),
        };
        if !stays {
            let (settings, receiver) = Receiver::open_first(settings, &self.queue)?;
            return Ok(Changed { settings, receiver: Some(receiver) });
        }
        let settings = settings.at(last.path().to_owned());
        if (&settings.group, settings.mode) != (&last.group, last.mode) {
            Socket::set_permissions(&settings)?;
        }
        Ok(Changed { settings, receiver: None })
    }

    /// Has them taken at the next reading.
    pub fn bring(&self, changed: Changed) {
        let mut last = self.last();
        // Brought twice between two readings: the receiver of the first may still be the right one.
        let waiting = last.1.take().and_then(|waiting| waiting.receiver);
        let receiver = changed.receiver.or(waiting);
        *last = (changed.settings.clone(), Some(Changed { receiver, ..changed }));
    }

    pub(super) fn take(&self) -> Option<Changed> {
        self.last().1.take()
    }

    fn last(&self) -> MutexGuard<'_, (Settings, Option<Changed>)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
